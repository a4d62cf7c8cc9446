"""The last linear layer of an image encoder, and what goes into it: found in any dual encoder, and cached.

In CLIP it is `visual_projection`. SigLIP has no projection of its own: there it is the second layer of the pooling head's
network, to whose output a residual is added. So an embedding is `W x + b + rest`, where `rest` is zero for CLIP and
does not depend on W for either; both `x` and `rest` can be cached, and that this holds is tested on the model itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.component import Artifact
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.errors import ModelError
from clip_har.hashing import sha256_json
from clip_har.models.embeddings import EmbeddingSet, preprocessing_hash
from clip_har.training.embedding_cache import EMBEDDINGS, EmbeddingCache

if TYPE_CHECKING:
    import torch

    from clip_har.data.pixel_cache import PixelCache
    from clip_har.models.dual_encoder import DualEncoder

# In CLIP and its kin, and in SigLIP.
_NAMES = ("visual_projection", "vision_model.head.mlp.fc2")
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class PooledFeatures(Artifact):
    """What an image encoder's last linear layer takes, by sample.

    Attributes:
        inputs: x, float32 [n, k]; not normalised.
        rest: what is added to the layer's output, float32 [n, d]; None if nothing is.
    """

    inputs: EmbeddingSet
    rest: EmbeddingSet | None = None

    def of(self, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
        """x and rest of these samples."""
        return self.inputs.of(ids), None if self.rest is None else self.rest.of(ids)

    @property
    def content_hash(self) -> str:
        """sha256 of ids, numbers and key."""
        return sha256_json([self.inputs.content_hash, self.rest and self.rest.content_hash])

    def write(self, folder: str | Path) -> None:
        """Write `inputs/` and, where there is one, `rest/` into a folder, as EmbeddingSet does."""
        self.inputs.write(Path(folder) / "inputs")
        if self.rest is not None:
            self.rest.write(Path(folder) / "rest")

    @classmethod
    def read(cls, folder: str | Path) -> PooledFeatures:
        """Read what `write` wrote."""
        rest = Path(folder) / "rest"
        return cls(EmbeddingSet.read(Path(folder) / "inputs"), EmbeddingSet.read(rest) if rest.is_dir() else None)


def find_projection(encoder: DualEncoder) -> str:
    """Name of the image encoder's last linear layer.

    Raises:
        ModelError: if there is none that embeddings are linear in.
    """
    return _find(encoder)[0]


def _find(encoder: DualEncoder) -> tuple[str, bool]:
    """The layer's name, and whether something is added to what it gives."""
    import torch

    modules = dict(encoder.model.named_modules())
    for name in _NAMES:
        if isinstance(modules.get(name), torch.nn.Linear):
            return name, _adds_to(encoder, name)
    raise ModelError(
        f"The image encoder of {encoder.backbone!r} ({encoder.model_type}) has no linear projection at its end that could "
        f"be tuned (looked for: {', '.join(_NAMES)})."
    )


def _adds_to(encoder: DualEncoder, name: str) -> bool:
    """Whether there is a `rest`. The layer is changed a little: embeddings must change as `W x + b + rest` says."""
    import torch

    height, width = encoder.preprocessing.output_size
    generator = torch.Generator().manual_seed(0)
    pixels = encoder.image_tensor(torch.randn(2, 3, height, width, generator=generator).numpy())
    layer = encoder.model.get_submodule(name)
    with torch.no_grad():
        _, inputs, rest = _pooled(encoder, layer, pixels)
        kept = layer.weight.detach().clone()
        layer.weight.mul_(-2.0)
        try:
            expected = torch.nn.functional.linear(inputs, layer.weight, layer.bias) + rest
            expected = expected / expected.norm(dim=-1, keepdim=True)
            found = encoder.image_features(pixels)
        finally:
            layer.weight.copy_(kept)
    off = float((expected - found).abs().max())
    if off > (_TOLERANCE if encoder.dtype == torch.float32 else 30 * _TOLERANCE):
        raise ModelError(f"The embeddings of {encoder.backbone!r} are not linear in {name}: it cannot be tuned apart.")
    return bool(rest.abs().max() > 1e-5 * inputs.abs().max())


def _pooled(
    encoder: DualEncoder, layer: torch.nn.Linear, pixels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings [n, d], x [n, k] and rest [n, d] of pictures [n, 3, h, w]."""
    import torch

    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda module, given, output: seen.append(given[0]))
    try:
        features = encoder.model.get_image_features(pixel_values=pixels)
    finally:
        hook.remove()
    features = features if isinstance(features, torch.Tensor) else features.pooler_output
    inputs = seen[-1].reshape(len(pixels), -1, layer.in_features)[:, 0]
    return features / features.norm(p=2, dim=-1, keepdim=True), inputs, features - layer(inputs)


def embed_pooled(
    manifest: Manifest,
    encoder: DualEncoder,
    *,
    batch_size: int = 32,
    limits: ImageLimits | None = None,
    cache: PixelCache | None = None,
    embedding_cache: EmbeddingCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PooledFeatures:
    """What the projection takes, of every photograph of a Manifest.

    Args:
        cache: where decoded pictures are kept.
        embedding_cache: where the features are kept; the same to the last bit.

    Raises:
        ModelError: if the encoder has no projection that can be tuned.
    """
    (pooled, *rest) = _rows(manifest, encoder, False, embedding_cache, batch_size, limits, cache, progress)
    return PooledFeatures(pooled, *rest)


def embed_with_pooled(
    manifest: Manifest,
    encoder: DualEncoder,
    *,
    batch_size: int = 32,
    limits: ImageLimits | None = None,
    cache: PixelCache | None = None,
    embedding_cache: EmbeddingCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[EmbeddingSet, PooledFeatures]:
    """`EmbeddingCache.embed` and `embed_pooled` in one pass through the encoder, to the last bit.

    Raises:
        ModelError: as `embed_pooled`.
    """
    (embeddings, pooled, *rest) = _rows(manifest, encoder, True, embedding_cache, batch_size, limits, cache, progress)
    return embeddings, PooledFeatures(pooled, *rest)


def _rows(
    manifest: Manifest,
    encoder: DualEncoder,
    with_embeddings: bool,
    embedding_cache: EmbeddingCache | None,
    batch_size: int,
    limits: ImageLimits | None,
    cache: PixelCache | None,
    progress: Callable[[int, int], None] | None,
) -> list[EmbeddingSet]:
    """Embeddings if they are wanted, x, and rest if there is one."""
    import torch

    name, adds = _find(encoder)
    layer = encoder.model.get_submodule(name)
    wanted = slice(0 if with_embeddings else 1, 3 if adds else 2)
    ours = (sys.modules[__name__],)
    kinds = {EMBEDDINGS: (), "pooled": ours, "pooled_rest": ours}

    def encode(pixel_values: np.ndarray) -> tuple[np.ndarray, ...]:
        with torch.inference_mode():
            found = _pooled(encoder, layer, encoder.image_tensor(pixel_values))
            return tuple(part.float().cpu().numpy() for part in found[wanted])

    kept = embedding_cache or EmbeddingCache.none()
    parts = kept.rows(
        manifest,
        encoder,
        dict(list(kinds.items())[wanted]),
        encode,
        batch_size=batch_size,
        limits=limits,
        pixels=cache,
        progress=progress,
    )
    key = encoder.image_encoder_hash(), preprocessing_hash(encoder.preprocessing)
    return [EmbeddingSet(tuple(manifest.ids), part, *key) for part in parts]
