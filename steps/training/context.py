"""What the steps that fit a method give it: the backbone loaded anew, the data, and where things are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def adaptation_context(
    *,
    manifest: Manifest,
    embeddings: EmbeddingSet,
    model: ModelConfig,
    prompts: PromptConfig,
    compute: ComputeConfig,
    seed: int,
    limits: ImageLimits,
    cache: PixelCacheConfig,
    embedding_cache: EmbeddingCacheConfig,
    workspace: str,
    progress: Callable[[int, int, str], None],
    method: MethodConfig | None = None,
    pooled: PooledFeatures | None = None,
) -> AdaptationContext:
    """The context of a fit; its encoder is its own, since methods may change it.

    Args:
        method: config of the method to fit, whose training then goes on where it was cut off; no training does without.
    """
    from clip_har.models.dual_encoder import DualEncoder

    encoder = DualEncoder.load(model, compute.device)
    key = ""
    if method is not None:
        key = sha256_json(
            {
                "method": what_is_trained(method),
                "data": manifest.content_hash,
                "embeddings": embeddings.key,
                "text_encoder": encoder.text_encoder_hash(),
                "prompts": prompts.model_dump(mode="json"),
                "dtype": model.dtype,
                "seed": seed,
                "device": encoder.device.type,
                "kept_pixels": cache.model_dump(mode="json", include={"enabled", "above"}),
                "code": hash_of_modules(METHODS.module(method.method)),
            }
        )
    return AdaptationContext(
        encoder,
        manifest,
        embeddings,
        prompts,
        compute,
        seed,
        progress,
        limits=limits,
        pooled=pooled,
        cache=PixelCache(Path(workspace) / "pixels", cache),
        embedding_cache=EmbeddingCache.of(embedding_cache, workspace),
        key=key,
        workspace=Path(workspace),
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
