"""The last linear layer of an image encoder, and what goes into it: found in any dual encoder, and cached.

In CLIP it is `visual_projection`. SigLIP has no projection of its own: there it is the second layer of the pooling head's
network, to whose output a residual is added. So an embedding is `W x + b + rest`, where `rest` is zero for CLIP and
does not depend on W for either; both `x` and `rest` can be cached, and that this holds is tested on the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clip_har.component import Artifact
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.errors import ModelError
from clip_har.models.embeddings import EmbeddingSet, embed_manifest

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


def find_projection(encoder: DualEncoder) -> str:
    """Name of the image encoder's last linear layer.

    Raises:
        ModelError: if there is none that embeddings are linear in.
    """
    import torch

    modules = dict(encoder.model.named_modules())
    for name in _NAMES:
        if isinstance(modules.get(name), torch.nn.Linear):
            _require_linear(encoder, name)
            return name
    raise ModelError(
        f"The image encoder of {encoder.backbone!r} ({encoder.model_type}) has no linear projection at its end that could "
        f"be tuned (looked for: {', '.join(_NAMES)})."
    )


def _require_linear(encoder: DualEncoder, name: str) -> None:
    """Change the layer a little: embeddings must change as `W x + b + rest` says."""
    import torch

    height, width = encoder.preprocessing.output_size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(2, 3, height, width, generator=generator).to(encoder.device, encoder.dtype)
    layer = encoder.model.get_submodule(name)
    inputs, rest = _pooled(encoder, layer, pixels)
    kept = layer.weight.detach().clone()
    with torch.no_grad():
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


def _pooled(encoder: DualEncoder, layer: torch.nn.Linear, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x [n, k] and rest [n, d] of pictures [n, 3, h, w]."""
    import torch

    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda module, given, output: seen.append(given[0]))
    try:
        with torch.no_grad():
            features = encoder.model.get_image_features(pixel_values=pixels)
            features = features if isinstance(features, torch.Tensor) else features.pooler_output
            inputs = seen[-1].reshape(len(pixels), -1, layer.in_features)[:, 0]
            return inputs, features - layer(inputs)
    finally:
        hook.remove()


def embed_pooled(
    manifest: Manifest,
    encoder: DualEncoder,
    *,
    batch_size: int = 32,
    limits: ImageLimits | None = None,
    cache: PixelCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PooledFeatures:
    """What the projection takes, of every photograph of a Manifest.

    Raises:
        ModelError: if the encoder has no projection that can be tuned.
    """
    import torch

    layer = encoder.model.get_submodule(find_projection(encoder))

    def encode(pixel_values: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(pixel_values).to(encoder.device, encoder.dtype)
        return torch.cat(_pooled(encoder, layer, pixels), dim=1).float().cpu().numpy()

    both = embed_manifest(
        manifest,
        encode,
        encoder.image_encoder_hash(),
        encoder.preprocessing,
        batch_size=batch_size,
        limits=limits,
        cache=cache,
        progress=progress,
    )
    width = layer.in_features
    rest = np.ascontiguousarray(both.matrix[:, width:])
    inputs = np.ascontiguousarray(both.matrix[:, :width])
    is_nothing = np.abs(rest).max() <= 1e-5 * np.abs(inputs).max()
    return PooledFeatures(
        EmbeddingSet(both.ids, inputs, *both.key), None if is_nothing else EmbeddingSet(both.ids, rest, *both.key)
    )
