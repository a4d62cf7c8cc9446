"""Encoder runtimes: `encode(pixel_values: float32 [n, 3, h, w]) -> float32 [n, d]`, L2-normalised.

A runtime is found by name and loaded from a bundle; `auto` loads the fastest of those that the bundle has a form for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from clip_har.component import Registry

if TYPE_CHECKING:
    from clip_har.models.bundle import ModelBundle


class EncoderRuntime(Protocol):
    """Runs the image encoder of a bundle. Safe to call from several threads.

    Attributes:
        name: the runtime's name in `RUNTIMES`.
        lanes: 1 if pictures are best encoded in batches, by one thread at a time; otherwise in how many threads they
            are best encoded one by one (such a runtime has `encode_in_lane`, see `clip_har.inference.runtimes.onnx`).
    """

    name: str
    lanes: int

    @classmethod
    def load(cls, bundle: ModelBundle, *, device: str = "auto", threads: int | None = None) -> EncoderRuntime:
        """Make a bundle ready to be run.

        Args:
            device: auto, cpu, cuda or cuda:N.
            threads: CPU threads; as many as there are cores if not given.

        Raises:
            ConfigError: if the bundle has no form for this runtime, or it does not run here; the message says what is
                missing and what makes it.
            BundleError: if the form is not what it was when it passed the gate.
        """

    def encode(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32 [n, 3, h, w] → float32 [n, d], L2-normalised."""


AUTO = "auto"

RUNTIMES: Registry[EncoderRuntime] = Registry(
    "runtime",
    {
        AUTO: "clip_har.inference.runtimes.choosing:FastestRuntime",
        "torch": "clip_har.inference.runtimes.torch:TorchRuntime",
        "onnx": "clip_har.inference.runtimes.onnx:OnnxRuntime",
        "onnx-int8": "clip_har.inference.runtimes.onnx:Int8OnnxRuntime",
        "onnx-tensorrt": "clip_har.inference.runtimes.onnx:TensorRTProviderRuntime",
        "tensorrt": "clip_har.inference.runtimes.tensorrt:TensorRTRuntime",
    },
)
