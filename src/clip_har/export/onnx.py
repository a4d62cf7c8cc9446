"""ONNX: encoders in float32, and in float16 with norms, softmax and sums kept in float32."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.errors import ModelError
from clip_har.export.base import ExportContext, Exporter, Run
from clip_har.export.tensorrt import FLOAT32_OPERATORS, with_precision
from clip_har.export.tracing import TracedEncoder, quiet
from clip_har.inference.exported import EncoderName, ExportedForm
from clip_har.storage import write_atomic

if TYPE_CHECKING:
    import onnx
    import onnxruntime

_MOST_BYTES = 2**31 - 1  # of a protobuf message


class OnnxExporter(Exporter):
    """ONNX in float32."""

    format, precision, suffix = "onnx", "fp32", ".onnx"

    def make(self, context: ExportContext, encoder: EncoderName) -> ExportedForm:
        path = context.float_onnx(encoder)
        return self.form(context, encoder, path, context.traced(encoder).details | {"opset": context.config.opset})

    @classmethod
    def open(cls, path: Path, form: ExportedForm, threads: int) -> Run:
        from clip_har.inference.runtimes.sessions import cpu_session

        return _runner(cpu_session(path, threads))


class HalfOnnxExporter(OnnxExporter):
    """ONNX in float16; inputs and outputs stay float32.

    It is measured on the GPU that it is for, where there is one: ONNX Runtime's CPU kernels compute most of it in float32.
    """

    precision = "fp16"

    @classmethod
    def on_gpu(cls) -> bool:
        import onnxruntime

        from clip_har.inference.machine import has_nvidia_gpu
        from clip_har.inference.runtimes.sessions import CUDA

        return has_nvidia_gpu() and CUDA in onnxruntime.get_available_providers()

    @classmethod
    def open(cls, path: Path, form: ExportedForm, threads: int) -> Run:
        if not cls.on_gpu():
            return super().open(path, form, threads)
        from clip_har.inference.runtimes.sessions import CUDA, gpu_session

        return _runner(gpu_session(path, "cuda:0", [(CUDA, {})]))

    def make(self, context: ExportContext, encoder: EncoderName) -> ExportedForm:
        import onnx

        half = with_precision(onnx.load(context.float_onnx(encoder)), "fp16", FLOAT32_OPERATORS)
        path = self.place(context, encoder)
        _write(half, path)
        details = {"opset": context.config.opset, "float32_operators": list(FLOAT32_OPERATORS)}
        return self.form(context, encoder, path, context.traced(encoder).details | details)


def _runner(session: onnxruntime.InferenceSession) -> Run:
    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        return session.run(None, dict(inputs))[0]

    return run


def write_onnx(traced: TracedEncoder, target: Path, opset: int) -> None:
    """Write an encoder as ONNX: named inputs, a free batch (and length), embeddings normalised inside.

    Raises:
        ModelError: if torch's exporter cannot write it, or ONNX's checker refuses what it wrote.
    """
    import torch

    try:
        with quiet():
            program = torch.onnx.export(
                traced.program,
                (),
                dynamo=True,
                input_names=list(traced.inputs),
                output_names=[traced.output],
                opset_version=opset,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(f"The {traced.name} encoder cannot be written as ONNX: {error}") from error
    model = program.model_proto
    _tidy(model, traced)
    _write(model, target)


def _tidy(model: onnx.ModelProto, traced: TracedEncoder) -> None:
    """Sizes by their names, and nothing of the machine that the file was made on (source files, their folders)."""
    graph = model.graph
    graph.name, graph.doc_string = f"{traced.name}_encoder", ""
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    symbols = {re.compile(rf"\b{symbol}\b"): name for symbol, name in traced.dimensions.items()}
    for info in (*graph.input, *graph.output, *graph.value_info):
        for dimension in info.type.tensor_type.shape.dim:
            for symbol, name in symbols.items():
                if dimension.dim_param:
                    dimension.dim_param = symbol.sub(name, dimension.dim_param)


def _write(model: onnx.ModelProto, target: Path) -> None:
    import onnx

    if model.ByteSize() > _MOST_BYTES:
        raise ModelError(f"The encoder has {model.ByteSize() / 1e9:.1f} GB of weights; one ONNX file holds 2.1 GB.")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"ONNX's checker refuses {target.name}: {error}") from error
    write_atomic(target, model.SerializeToString())
