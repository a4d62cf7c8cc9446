"""Step: fit one adaptation method. A pipeline has one of these for each candidate."""

from dataclasses import replace
from typing import Annotated

from zenml import step

from clip_har.adaptation import METHODS, AnyMethodConfig
from clip_har.adaptation.base import AdaptedModel
from clip_har.adaptation.projection import PooledFeatures
from clip_har.adaptation.search.result import SearchResult
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCacheConfig
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.embeddings import EmbeddingSet
from clip_har.models.prompts import PromptConfig
from clip_har.progress import progress
from clip_har.training.embedding_cache import EmbeddingCacheConfig
from materializers.adapted_model import AdaptedModelMaterializer
from steps.training.context import adaptation_context


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
    embedding_cache: EmbeddingCacheConfig,
    workspace: str,
    pooled: PooledFeatures | None = None,
    found: SearchResult | None = None,
) -> Annotated[AdaptedModel, "candidate"]:
    """The method fitted on the train split, with the settings that a search found if there was one."""
    if found is not None:
        method = found.applied_to(method)
    with progress(f"fitting {name}") as report:
        context = adaptation_context(
            manifest=manifest,
            embeddings=embeddings,
            model=model,
            prompts=prompts,
            compute=compute,
            seed=seed,
            limits=limits,
            cache=cache,
            embedding_cache=embedding_cache,
            workspace=workspace,
            progress=report,
            method=method,
            pooled=pooled,
        )
        adapted = METHODS.get(method.method)(method).adapt(context, name)
        return adapted if found is None else replace(adapted, remarks=[*adapted.remarks, found.remark()])
