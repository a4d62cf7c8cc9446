"""ZenML materializers, one for each typed artifact: metadata, content hash and, where a person would look, a picture."""

from materializers.adapted_model import AdaptedModelMaterializer
from materializers.embedding_set import EmbeddingSetMaterializer
from materializers.evaluation_report import EvaluationReportMaterializer
from materializers.fingerprint import FingerprintMaterializer
from materializers.leaderboard import LeaderboardMaterializer
from materializers.manifest import ManifestMaterializer
from materializers.model_bundle import ModelBundleMaterializer
from materializers.validation_report import ValidationReportMaterializer

__all__ = [
    "AdaptedModelMaterializer",
    "EmbeddingSetMaterializer",
    "EvaluationReportMaterializer",
    "FingerprintMaterializer",
    "LeaderboardMaterializer",
    "ManifestMaterializer",
    "ModelBundleMaterializer",
    "ValidationReportMaterializer",
]
