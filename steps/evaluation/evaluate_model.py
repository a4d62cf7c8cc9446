"""Step: measure a bundle on a split, beside zero-shot where there is one."""

from typing import Annotated

from zenml import step

from clip_har.adaptation.base import AdaptedModel
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.evaluation.evaluate import ZERO_SHOT, EvaluationConfig, EvaluationReport, evaluate_bundle
from clip_har.inference.predictor import Predictor
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.models.embeddings import EmbeddingSet
from clip_har.progress import progress
from clip_har.training.embedding_cache import EmbeddingCache, EmbeddingCacheConfig
from materializers.evaluation_report import EvaluationReportMaterializer


@step(output_materializers=EvaluationReportMaterializer)
def evaluate_model(
    bundle: ModelBundle,
    manifest: Manifest,
    evaluation: EvaluationConfig,
    compute: ComputeConfig,
    limits: ImageLimits,
    embedding_cache: EmbeddingCacheConfig,
    workspace: str,
    embeddings: EmbeddingSet | None = None,
    candidates: list[AdaptedModel] = [],  # noqa: B006 - ZenML takes no Optional here, and nothing changes it
) -> Annotated[EvaluationReport, "evaluation"]:
    """The report as data; embeddings are used where the bundle's image encoder made them."""
    untrained = [candidate for candidate in candidates if candidate.method == ZERO_SHOT]
    zero_shot = (
        (untrained[0].head, untrained[0].class_matrix) if untrained and bundle.info.method != ZERO_SHOT else None
    )

    def embed(samples: Manifest, predictor: Predictor) -> EmbeddingSet | None:
        if predictor.runtime.name != "torch":  # others round otherwise
            return None
        kept = EmbeddingCache.of(embedding_cache, workspace)
        return kept.embed(samples, predictor.encoder, batch_size=compute.batch_size, limits=limits, progress=report)

    with progress(f"measuring on the {evaluation.split} split") as report:
        return evaluate_bundle(
            bundle,
            manifest,
            evaluation,
            compute,
            embeddings=embeddings,
            zero_shot=zero_shot,
            limits=limits,
            progress=report,
            embed=embed,
        )
