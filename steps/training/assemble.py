"""Step: make the winner into a bundle."""

from dataclasses import replace
from typing import Annotated

from zenml import step

from clip_har.adaptation.assembly import assemble_bundle
from clip_har.adaptation.base import AdaptedModel
from clip_har.adaptation.open_vocabulary import OpenVocabularyReport
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.evaluation.leaderboard import Leaderboard
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.bundle import ModelBundle
from clip_har.models.calibration import CalibrationConfig
from clip_har.models.embeddings import EmbeddingSet
from clip_har.models.prompts import PromptConfig
from clip_har.training.embedding_cache import EmbeddingCache, EmbeddingCacheConfig
from materializers.model_bundle import ModelBundleMaterializer
from steps.scratch import scratch_folder


@step(output_materializers=ModelBundleMaterializer)
def assemble(
    candidates: list[AdaptedModel],
    leaderboard: Leaderboard,
    manifest: Manifest,
    embeddings: EmbeddingSet,
    model: ModelConfig,
    prompts: PromptConfig,
    compute: ComputeConfig,
    limits: ImageLimits,
    embedding_cache: EmbeddingCacheConfig,
    workspace: str,
    calibration: CalibrationConfig,
    vocabularies: list[OpenVocabularyReport] = [],  # noqa: B006 - ZenML takes no Optional here, and nothing changes it
) -> Annotated[ModelBundle, "bundle"]:
    """The bundle of the leaderboard's winner, calibrated on the calibration split."""
    winner = next(candidate for candidate in candidates if candidate.name == leaderboard.winner.name)
    for report in vocabularies:
        if report.name == winner.name:
            winner = replace(winner, open_vocabulary=report.verdict())
    figures = {name: estimate.value for name, estimate in leaderboard.winner.metrics.items()}
    return assemble_bundle(
        scratch_folder() / "bundle",
        winner,
        manifest,
        embeddings,
        model,
        prompts,
        compute,
        figures,
        limits,
        EmbeddingCache.of(embedding_cache, workspace),
        calibration,
    )
