"""Encoder runtimes: `encode(pixel_values: float32 [n, 3, h, w]) -> float32 [n, d]`, L2-normalised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from clip_har.component import Registry

if TYPE_CHECKING:
    from clip_har.models.dual_encoder import DualEncoder


class EncoderRuntime(Protocol):
    """Runs the image encoder of a bundle."""

    name: str

    def encode(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32 [n, 3, h, w] → float32 [n, d], L2-normalised."""


class TorchRuntime:
    """PyTorch, on the device where the encoder is."""

    name = "torch"

    def __init__(self, encoder: DualEncoder) -> None:
        self._encoder = encoder

    def encode(self, pixel_values: np.ndarray) -> np.ndarray:
        return self._encoder.encode_images(pixel_values)


RUNTIMES: Registry[EncoderRuntime] = Registry(
    "runtime",
    {"auto": "clip_har.inference.runtimes:TorchRuntime", "torch": "clip_har.inference.runtimes:TorchRuntime"},
)
