"""Running ONNX graphs in memory: activations for calibration, embeddings for comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.errors import ModelError
from clip_har.export.quantisation.graph import QuantisableGraph
from clip_har.export.quantisation.ranges import ActivationRanges

if TYPE_CHECKING:
    import onnx
    import onnxruntime

Batch = Mapping[str, np.ndarray]
"""Inputs of the encoder, by name."""


def open_session(model: onnx.ModelProto | Path, threads: int | None) -> onnxruntime.InferenceSession:
    """A session on the CPU, where int8 forms run."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def embeddings(session: onnxruntime.InferenceSession, batches: Sequence[Batch]) -> np.ndarray:
    """float32 [n, d] of all samples of all batches."""
    return np.concatenate([session.run(None, dict(batch))[0] for batch in batches])


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosine of each row with the same row of the other, [n, d] → [n]; 0 where a row is not finite."""
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.nan_to_num((one * other).sum(axis=1) / np.maximum(norms, 1e-12), nan=0.0, posinf=0.0, neginf=0.0)


def observe(
    graph: QuantisableGraph,
    batches: Sequence[Batch],
    threads: int | None,
    report: Callable[[int], None],
) -> ActivationRanges:
    """Ranges of all activations that quantisation needs; one batch's activations are in memory at a time.

    Args:
        report: called with the number of batches that are done.

    Raises:
        ModelError: if the graph's activations are not finite.
    """
    import onnx

    inputs = {value.name for value in graph.model.graph.input}
    wanted = [name for name in graph.activations if name not in inputs]
    given = [name for name in graph.activations if name in inputs]
    existing = {value.name for value in graph.model.graph.output}
    added = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in wanted
        if name not in existing
    ]
    kept = len(graph.model.graph.output)
    graph.model.graph.output.extend(added)
    try:
        session = open_session(graph.model, threads)
    finally:
        del graph.model.graph.output[kept:]
    ranges = ActivationRanges()
    for done, batch in enumerate(batches, start=1):
        values = dict(zip(wanted, session.run(wanted, dict(batch)), strict=True))
        values |= {name: np.asarray(batch[name]) for name in given}
        broken = next((name for name, array in values.items() if not np.isfinite(array).all()), None)
        if broken is not None:
            raise ModelError(
                f"The float encoder gives infinite or undefined values ({broken}); it cannot be calibrated."
            )
        ranges.add(values)
        report(done)
    return ranges
