"""What the steps that fit a method give it: the backbone loaded anew, the data, and where things are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from clip_har.adaptation import METHODS
from clip_har.adaptation.base import AdaptationContext, MethodConfig
from clip_har.adaptation.projection import PooledFeatures
from clip_har.component import ComponentConfig
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.hashing import sha256_json
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.embeddings import EmbeddingSet
from clip_har.models.prompts import PromptConfig
from clip_har.training.embedding_cache import EmbeddingCache, EmbeddingCacheConfig
from steps.code import hash_of_modules


class FitSettings(ComponentConfig):
    """What every fit of a run is given besides its data and its method."""

    model: ModelConfig = Field(description="The backbone.")
    prompts: PromptConfig = Field(description="Texts of the classes.")
    compute: ComputeConfig = Field(description="Where it runs.")
    seed: int = Field(description="Of everything random.")
    limits: ImageLimits = Field(description="What is accepted as an image.")
    cache: PixelCacheConfig = Field(description="Decoded pictures kept.")
    embedding_cache: EmbeddingCacheConfig = Field(description="Embeddings kept.")
    workspace: str = Field(description="Folder of the system's own state.")


def adaptation_context(
    manifest: Manifest,
    embeddings: EmbeddingSet,
    fit: FitSettings,
    method: MethodConfig,
    pooled: PooledFeatures | None,
    progress: Callable[[int, int, str], None],
) -> AdaptationContext:
    """The context of a fit; its encoder is its own, since methods may change it.

    Args:
        method: config of the method to fit, whose training goes on where it was cut off.
    """
    from clip_har.models.dual_encoder import DualEncoder

    encoder = DualEncoder.load(fit.model, fit.compute.device)
    key = sha256_json(
        {
            "method": what_is_trained(method),
            "data": manifest.content_hash,
            "embeddings": embeddings.key,
            "text_encoder": encoder.text_encoder_hash(),
            "prompts": fit.prompts.model_dump(mode="json"),
            "dtype": fit.model.dtype,
            "seed": fit.seed,
            "device": encoder.device.type,
            "kept_pixels": fit.cache.model_dump(mode="json", include={"enabled", "above"}),
            "code": hash_of_modules(METHODS.module(method.method)),
        }
    )
    return AdaptationContext(
        encoder,
        manifest,
        embeddings,
        fit.prompts,
        fit.compute,
        fit.seed,
        progress,
        limits=fit.limits,
        pooled=pooled,
        cache=PixelCache(Path(fit.workspace) / "pixels", fit.cache),
        embedding_cache=EmbeddingCache.of(fit.embedding_cache, fit.workspace),
        key=key,
        workspace=Path(fit.workspace),
    )


def what_is_trained(config: ComponentConfig) -> dict[str, Any]:
    """A config without what changes no training: how often it is saved, and over how many processes it is spread.

    The trainer tells modes apart by itself.
    """
    return _without_machinery(config.model_dump(mode="json"))


def _without_machinery(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_machinery(item) for key, item in value.items() if key not in ("checkpoint", "distributed")}
