"""Step: fit one adaptation method. A pipeline has one of these for each candidate."""

from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.adaptation import METHODS, AnyMethodConfig
from clip_har.adaptation.base import AdaptationContext, AdaptedModel
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.embeddings import EmbeddingSet
from clip_har.models.prompts import PromptConfig
from clip_har.progress import progress
from materializers.adapted_model import AdaptedModelMaterializer


@step(output_materializers=AdaptedModelMaterializer)
def adapt(
    manifest: Manifest,
    embeddings: EmbeddingSet,
    name: str,
    method: AnyMethodConfig,
    model: ModelConfig,
    prompts: PromptConfig,
    compute: ComputeConfig,
    seed: int,
    limits: ImageLimits,
    cache: PixelCacheConfig,
    workspace: str,
) -> Annotated[AdaptedModel, "candidate"]:
    """The method fitted on the train split."""
    from clip_har.models.dual_encoder import DualEncoder

    encoder = DualEncoder.load(model, compute.device)
    with progress(f"fitting {name}") as report:
        context = AdaptationContext(
            encoder,
            manifest,
            embeddings,
            prompts,
            compute,
            seed,
            report,
            limits=limits,
            cache=PixelCache(Path(workspace) / "pixels", cache),
        )
        return METHODS.get(method.method)(method).adapt(context, name)
