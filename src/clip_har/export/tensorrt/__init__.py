"""TensorRT engines, built from ONNX with `tensorrt` or `tensorrt_rtx`."""

from clip_har.export.tensorrt.building import build_engine, file_name
from clip_har.export.tensorrt.config import FLOAT32_OPERATORS, TensorRTConfig
from clip_har.export.tensorrt.mixed_precision import with_precision

__all__ = ["FLOAT32_OPERATORS", "TensorRTConfig", "build_engine", "file_name", "with_precision"]
