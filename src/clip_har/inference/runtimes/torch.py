"""PyTorch: what every bundle can be run with, on a CPU or a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from clip_har.models.bundle import ModelBundle
    from clip_har.models.dual_encoder import DualEncoder


class TorchRuntime:
    """PyTorch, on the device where the encoder is.

    Attributes:
        encoder: the bundle's encoders.
    """

    name = "torch"
    lanes = 1

    def __init__(self, encoder: DualEncoder) -> None:
        self.encoder = encoder

    @classmethod
    def load(cls, bundle: ModelBundle, *, device: str = "auto", threads: int | None = None) -> TorchRuntime:
        """Load the bundle's encoders.

        Args:
            threads: torch's CPU threads, which are the whole process's; if not given, they are left alone.
        """
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        return cls(bundle.load_encoder(device))

    def encode(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32 [n, 3, h, w] → float32 [n, d], L2-normalised."""
        return self.encoder.encode_images(np.ascontiguousarray(pixel_values))
