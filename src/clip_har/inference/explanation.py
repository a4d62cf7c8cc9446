"""Where in a picture an answer comes from: a heat map for one label, drawn over the picture.

Transformers: attention rollout (Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers") with every
attention weighed by the gradient of the label's score, which makes it speak of that label (Chefer et al. 2021, "Generic
Attention-model Explainability", equations 5 and 6). Convolutional encoders: Grad-CAM on the last feature map (Selvaraju et
al. 2017). Both need the encoder in torch. A heat map shows what the score reacts to; it proves no reason.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.errors import ModelError
from clip_har.models.preprocessing import PreprocessingConfig

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from clip_har.models.dual_encoder import DualEncoder

_STEP = 1e-3
_LONGEST_SIDE = 768  # of the drawn picture, in pixels


@dataclass(frozen=True)
class Explanation:
    """A heat map and the picture that shows it.

    Attributes:
        label: what is explained.
        method: attention_rollout or gradient_map.
        heat: float32 [rows, columns] from 0 to 1, over the part of the picture that the encoder sees.
        box: that part (left, top, right, bottom) as shares of the picture's width and height.
        png: the picture with the heat map over it.
    """

    label: str
    method: str
    heat: np.ndarray
    box: tuple[float, float, float, float]
    png: bytes


def score_gradient(score: Callable[[np.ndarray], np.ndarray], embedding: np.ndarray) -> np.ndarray:
    """Gradient of a class head's score at an embedding, float32 [d], by central differences.

    Args:
        score: float32 [n, d] → [n]; any head's logit of one class.
        embedding: float32 [d].
    """
    steps = np.eye(len(embedding), dtype=np.float32) * np.float32(_STEP)
    return ((score(embedding + steps) - score(embedding - steps)) / (2 * _STEP)).astype(np.float32)


def heat_map(encoder: DualEncoder, pixel_values: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, str]:
    """How much each place of the encoder's input adds to a score.

    Args:
        pixel_values: float32 [3, h, w].
        gradient: float32 [d], of the score with respect to the embedding.

    Returns:
        float32 [rows, columns] from 0 to 1, and the name of the method.

    Raises:
        ModelError: if the image encoder has neither attention nor feature maps.
    """
    import torch

    pixels = encoder.image_tensor(pixel_values[None]).requires_grad_(True)
    direction = torch.from_numpy(gradient).to(pixels.device)
    with torch.enable_grad(), _eager(encoder), _watched(encoder.model) as (attentions, maps):
        score = encoder.image_features(pixels)[0].float() @ direction
        weights = [one for one in attentions if one.shape[-1] == one.shape[-2]]
        seen = weights or maps[-1:]
        gradients = torch.autograd.grad(score, seen, allow_unused=True) if seen else ()
    found = [(one, gradient) for one, gradient in zip(seen, gradients, strict=True) if gradient is not None]
    height, width = pixel_values.shape[1:]
    if found and weights:
        return _scaled(_rollout(found, height / width)), "attention_rollout"
    if found:
        values, gradient = found[0]
        shares = gradient.mean(dim=(2, 3), keepdim=True)
        return _scaled((shares * values).sum(dim=1).clamp(min=0)[0]), "gradient_map"
    raise ModelError(
        f"The image encoder of {encoder.backbone!r} ({encoder.model_type}) has neither attention nor feature maps to look at."
    )


def _rollout(attentions: list[tuple[torch.Tensor, torch.Tensor]], shape: float) -> torch.Tensor:
    """Relevance of each patch, [rows, columns], from attentions [1, heads, t, t] and their gradients, layer after layer.

    Args:
        shape: height over width of the input, which the patches share.
    """
    import torch

    tokens = attentions[0][0].shape[-1]
    relevance = torch.eye(tokens, device=attentions[0][0].device)
    for attention, gradient in attentions:
        weighed = (gradient * attention).clamp(min=0).mean(dim=1)[0].float()
        relevance = relevance + weighed @ relevance
    relevance = relevance.detach() - torch.eye(tokens, device=relevance.device)
    for extra in (1, 0):  # with a class token in front, or without
        columns = round(((tokens - extra) / shape) ** 0.5)
        rows, rest = divmod(tokens - extra, max(1, columns))
        if not rest and rows and abs(rows / columns - shape) <= shape / min(rows, columns):
            patches = relevance[0, 1:] if extra else relevance.mean(dim=0)
            return patches.reshape(rows, columns)
    raise ModelError(f"The image encoder's {tokens} tokens are no grid of patches.")


def _scaled(values: torch.Tensor) -> np.ndarray:
    heat = values.detach().float().cpu().numpy()
    span = heat.max() - heat.min()
    return ((heat - heat.min()) / span if span > 0 else np.zeros_like(heat)).astype(np.float32)


@contextmanager
def _eager(encoder: DualEncoder) -> Iterator[None]:
    """Fused attention keeps no weights: the plain one is used meanwhile."""
    vision = getattr(encoder.model, "vision_model", None)
    tower = vision if hasattr(vision, "set_attn_implementation") else encoder.model
    before = getattr(tower.config, "_attn_implementation", None)
    if before in (None, "eager"):
        yield
        return
    tower.set_attn_implementation("eager")
    try:
        yield
    finally:
        tower.set_attn_implementation(before)


@contextmanager
def _watched(model: torch.nn.Module) -> Iterator[tuple[list[torch.Tensor], list[torch.Tensor]]]:
    """Attentions [n, heads, t, t] and feature maps [n, c, h, w] of the image encoder, in order."""
    import torch

    attentions: list[torch.Tensor] = []
    maps: list[torch.Tensor] = []

    def look(module: torch.nn.Module, given: Any, output: Any) -> None:
        for value in output if isinstance(output, tuple) else (output,):
            if not isinstance(value, torch.Tensor) or value.ndim != 4 or not value.requires_grad:
                continue
            if isinstance(output, tuple):
                attentions.append(value)
            elif min(value.shape[2:]) > 1:
                maps.append(value)

    vision = getattr(model, "vision_model", model)
    hooks = [module.register_forward_hook(look) for module in vision.modules()]
    try:
        yield attentions, maps
    finally:
        for hook in hooks:
            hook.remove()


def seen_box(config: PreprocessingConfig, width: int, height: int) -> tuple[float, float, float, float]:
    """The part of a picture that the encoder sees: (left, top, right, bottom) as shares of its width and height."""
    if config.crop is None or config.resize_shortest_edge is None:
        return 0.0, 0.0, 1.0, 1.0
    scale = config.resize_shortest_edge / min(width, height)
    across = min(1.0, config.crop[1] / (width * scale))
    down = min(1.0, config.crop[0] / (height * scale))
    return (1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2


def overlay(image: Image.Image, heat: np.ndarray, box: tuple[float, float, float, float]) -> bytes:
    """The picture, dimmed where the encoder does not look or the heat is low, as PNG.

    Args:
        image: RGB.
        heat: float32 [rows, columns] from 0 to 1.
        box: as from `seen_box`.
    """
    from PIL import Image

    picture = image.convert("RGB")
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    width, height = picture.size
    left, top, right, bottom = (round(share * side) for share, side in zip(box, (width, height) * 2, strict=True))
    size = (max(1, right - left), max(1, bottom - top))
    layer = Image.fromarray(np.round(255 * heat).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    whole = Image.new("L", picture.size, 0)
    whole.paste(layer, (left, top))
    share = np.asarray(whole, dtype=np.float32)[:, :, None] / 255
    base = np.asarray(picture, dtype=np.float32)
    grey = base.mean(axis=2, keepdims=True) * 0.75
    warm = np.float32([255, 96, 0])
    drawn = grey * (1 - share) + (0.55 * base + 0.45 * warm) * share
    buffer = io.BytesIO()
    Image.fromarray(drawn.clip(0, 255).astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()
