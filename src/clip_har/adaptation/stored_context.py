"""An adaptation context as a folder: how the other processes of a training run come to the same encoder and data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pydantic import BaseModel

from clip_har.adaptation.base import AdaptationContext, MethodConfig, StoredEncoders
from clip_har.adaptation.projection import PooledFeatures
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.errors import TrainingError
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.embeddings import EmbeddingSet
from clip_har.models.prompts import PromptConfig
from clip_har.storage import write_json
from clip_har.training.config import TrainerConfig
from clip_har.training.embedding_cache import EmbeddingCache

if TYPE_CHECKING:
    import torch

_ABOUT, _MANIFEST, _ENCODER, _EMBEDDINGS = "context.json", "manifest.parquet", "encoder", "embeddings"
_POOLED = ("pooled_inputs", "pooled_rest")


def trains_in_several_processes(config: BaseModel) -> bool:
    """Whether a method's config, or one inside it, spreads its training over processes."""
    if isinstance(config, TrainerConfig):
        return config.distributed.mode != "single"
    parts = (getattr(config, name) for name in type(config).model_fields)
    return any(isinstance(part, BaseModel) and trains_in_several_processes(part) for part in parts)


@contextmanager
def with_stored_encoder(context: AdaptationContext, config: MethodConfig) -> Iterator[AdaptationContext]:
    """The context for a method that may change the encoder: where other processes need it, stored as it is now."""
    if context.stored_encoder is not None or not trains_in_several_processes(config):
        yield context
        return
    with TemporaryDirectory(prefix="clip-har-encoder-") as folder:
        context.encoder.save(folder)
        yield replace(context, stored_encoder=StoredEncoders(Path(folder)))


def write_context(context: AdaptationContext, folder: Path) -> None:
    """Write all that a method may use into a folder; who is told of its progress apart."""
    stored = context.stored_encoder or context.encoder
    stored.save(folder / _ENCODER)
    root = str(Path(context.manifest.root).resolve())
    replace(context.manifest, root=root).write(folder / _MANIFEST)
    context.embeddings.write(folder / _EMBEDDINGS)
    pooled = (None, None) if context.pooled is None else (context.pooled.inputs, context.pooled.rest)
    for name, part in zip(_POOLED, pooled, strict=True):
        if part is not None:
            part.write(folder / name)
    encoder, cache, rows = context.encoder, context.cache, context.embedding_cache
    about = {
        "backbone": encoder.backbone,
        "dtype": str(encoder.dtype).removeprefix("torch."),
        "decoder_reduction": encoder.preprocessing.decoder_reduction,
        "prompts": context.prompts.model_dump(mode="json"),
        "compute": context.compute.model_dump(mode="json"),
        "limits": context.limits.model_dump(mode="json"),
        "cache": cache and {"folder": str(cache.folder.resolve()), "config": cache.config.model_dump(mode="json")},
        "embedding_cache": rows and {"folder": str(rows.folder.resolve()), "max_bytes": rows.max_bytes},
        "pooled": [part is not None for part in pooled],
        "seed": context.seed,
        "key": context.key,
        "workspace": context.workspace and str(context.workspace.resolve()),
    }
    write_json(folder / _ABOUT, about)


def read_context(folder: Path, device: torch.device) -> AdaptationContext:
    """Read what `write_context` wrote; the encoder is loaded onto a device.

    Raises:
        TrainingError: if there is no context in the folder.
    """
    from clip_har.models.dual_encoder import DualEncoder

    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{folder} holds no adaptation context: {error}") from None
    model = ModelConfig(
        backbone=str(folder / _ENCODER), dtype=about["dtype"], decoder_reduction=about["decoder_reduction"]
    )
    encoder = DualEncoder.load(model, str(device))
    encoder.backbone = about["backbone"]
    inputs, rest = (
        EmbeddingSet.read(folder / name) if there else None
        for name, there in zip(_POOLED, about["pooled"], strict=True)
    )
    cache, rows, workspace = about["cache"], about["embedding_cache"], about["workspace"]
    return AdaptationContext(
        encoder,
        Manifest.read(folder / _MANIFEST),
        EmbeddingSet.read(folder / _EMBEDDINGS),
        PromptConfig.model_validate(about["prompts"]),
        ComputeConfig.model_validate(about["compute"]),
        about["seed"],
        pooled=inputs and PooledFeatures(inputs, rest),
        limits=ImageLimits.model_validate(about["limits"]),
        cache=cache and PixelCache(cache["folder"], PixelCacheConfig.model_validate(cache["config"])),
        embedding_cache=rows and EmbeddingCache(**rows),
        key=about["key"],
        workspace=workspace and Path(workspace),
        stored_encoder=StoredEncoders(folder / _ENCODER),
    )
