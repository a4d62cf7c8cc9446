"""TensorRT: engines of the image encoder, on NVIDIA GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clip_har.errors import ConfigError
from clip_har.inference.exported import ExportedForm, Exports
from clip_har.inference.tensorrt_engine import EngineMetadata, TensorRTEngine

if TYPE_CHECKING:
    import torch

    from clip_har.models.bundle import ModelBundle

_FASTEST_FIRST = ("fp16", "bf16", "fp32")


class TensorRTRuntime:
    """The image encoder as a TensorRT engine."""

    name = "tensorrt"
    lanes = 1

    def __init__(self, engine: TensorRTEngine) -> None:
        self._engine = engine
        self._input = next(iter(engine.metadata.inputs))

    @classmethod
    def load(cls, bundle: ModelBundle, *, device: str = "auto", threads: int | None = None) -> TensorRTRuntime:
        """The bundle's engine that fits the device, in the lowest precision that passed the gate.

        Args:
            device: auto, cuda or cuda:N.
            threads: not used.

        Raises:
            ConfigError: if there is no engine, or none that fits; the message has the reason for each.
            BundleError: if an engine is not what it was when it passed the gate.
        """
        from clip_har.models.dual_encoder import resolve_device

        forms = [form for form in Exports.read(bundle).forms if (form.encoder, form.format) == ("image", "tensorrt")]
        if not forms:
            raise ConfigError(
                f"{bundle.path} has no TensorRT engine of its image encoder. Export one: "
                "python run.py --pipeline deploy --set export.tensorrt.precision=fp16"
            )
        where = _with_index(resolve_device(device))
        reasons = []
        for form in sorted(forms, key=lambda form: _FASTEST_FIRST.index(form.precision)):
            reason = _metadata(bundle, form).misfit(where)
            if reason is None:
                return cls(TensorRTEngine.load(Exports.path(bundle, form), where))
            reasons.append(f"{form.file}: {reason}")
        raise ConfigError("None of the bundle's TensorRT engines can be used here.\n" + "\n".join(reasons))

    def encode(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32 [n, 3, h, w] → float32 [n, d], L2-normalised."""
        import torch

        return self.encode_tensor(torch.from_numpy(pixel_values).to(self._engine.device)).cpu().numpy()

    def encode_tensor(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """float [n, 3, h, w] on the engine's device → float32 [n, d] there, L2-normalised; no copy through the host."""
        return self._engine.run({self._input: pixel_values})


def _metadata(bundle: ModelBundle, form: ExportedForm) -> EngineMetadata:
    return EngineMetadata.read(Exports.folder(bundle) / form.file)


def _with_index(device: torch.device) -> torch.device:
    """cuda → cuda:N: tensors name their GPU in full, and are compared with it."""
    import torch

    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())
