"""From a bundle to forms that run fast: ONNX, int8, TensorRT, torch.export, and the gate that they pass.

To add a form: subclass `Exporter`, and name it in `EXPORTERS`.
"""

from __future__ import annotations

from clip_har.component import Registry
from clip_har.export.base import Exporter

EXPORTERS: Registry[Exporter] = Registry(
    "exporter",
    {
        "onnx": "clip_har.export.onnx:OnnxExporter",
        "onnx-fp16": "clip_har.export.onnx:HalfOnnxExporter",
        "onnx-int8": "clip_har.export.int8:Int8Exporter",
        "onnx-int8-dynamic": "clip_har.export.int8:DynamicInt8Exporter",
        "torch-export": "clip_har.export.torch_export:TorchExporter",
        "tensorrt": "clip_har.export.engines:TensorRTExporter",
    },
)

__all__ = ["EXPORTERS", "Exporter"]
