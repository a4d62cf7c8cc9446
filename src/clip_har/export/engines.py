"""TensorRT engines as an exporter: built from the fp32 ONNX file, run on torch's CUDA tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from clip_har.export.base import ExportContext, Exporter, Run
from clip_har.export.tensorrt import TensorRTConfig, build_engine, file_name
from clip_har.inference.exported import EncoderName, ExportedForm


class TensorRTExporter(Exporter):
    """A TensorRT engine in the precision that `export.tensorrt` names."""

    format, precision, suffix = "tensorrt", "fp16", ".engine"

    def make(self, context: ExportContext, encoder: EncoderName) -> ExportedForm:
        config = context.config.tensorrt or TensorRTConfig()
        written = context.folder / self.format / f"{encoder}-{config.precision}{self.suffix}"
        metadata = build_engine(context.float_onnx(encoder), written, config)
        name = file_name(encoder, config.precision, metadata.compute_capabilities[0])
        path = written.rename(written.with_name(name))
        metadata.place(written).rename(metadata.place(path))
        form = self.form(context, encoder, path, context.traced(encoder).details | metadata.model_dump(mode="json"))
        return form.model_copy(update={"precision": config.precision})

    @classmethod
    def on_gpu(cls) -> bool:
        return True

    @classmethod
    def open(cls, path: Path, form: ExportedForm, threads: int) -> Run:
        import torch

        from clip_har.inference.tensorrt_engine import TensorRTEngine

        device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
        engine = TensorRTEngine.load(path, device)

        def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
            tensors = {name: torch.from_numpy(values).to(device) for name, values in inputs.items()}
            return engine.run(tensors).cpu().numpy()

        return run
