"""fp32 ONNX encoders → int8 ones, checked against them on a probe."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.errors import ModelError
from clip_har.export.quantisation.config import QuantisationConfig, QuantisationResult, QuantisationTrial
from clip_har.export.quantisation.graph import QuantisableGraph
from clip_har.export.quantisation.measuring import Batch, cosines, embeddings, observe, open_session
from clip_har.export.quantisation.search import Search
from clip_har.progress import Report
from clip_har.storage import write_atomic

if TYPE_CHECKING:
    import onnx


def quantise_image_encoder(
    source: Path,
    target: Path,
    calibration: np.ndarray,
    probe: np.ndarray,
    config: QuantisationConfig,
    progress: Report | None = None,
) -> QuantisationResult:
    """Write the int8 form (QDQ, fixed scales, weights per channel) of an image encoder.

    Everything is quantised first; if the probe's mean cosine stays below the wanted one, the harm of each group of layers
    is measured and the worst for their work are left in float. The nearest form is written even where none reaches it:
    see `QuantisationResult.reached`.

    Args:
        source: fp32 ONNX: pixel_values float32 [batch, 3, h, w] → embeddings.
        target: where the int8 ONNX is written.
        calibration: training images, float32 [n, 3, h, w], normalised as for the encoder. May be a memory map.
        probe: other images, float32 [m, 3, h, w].
        progress: called as `progress(done, total, note)`.

    Raises:
        ModelError: if the graph cannot be quantised at all.
    """
    name = _only_input(source)
    return quantise_static(
        source,
        target,
        _in_batches(name, calibration[: config.calibration_samples], config.calibration_batch),
        _in_batches(name, probe[: config.probe_samples], config.calibration_batch),
        config,
        progress,
    )


def quantise_text_encoder(
    source: Path,
    target: Path,
    calibration: Sequence[Batch],
    probe: Sequence[Batch],
    config: QuantisationConfig,
    progress: Report | None = None,
) -> QuantisationResult:
    """As `quantise_image_encoder`, for a text encoder.

    Args:
        calibration: batches of what the tokenizer gives (`input_ids`, …, int64 [batch, length]); each batch may have a
            length of its own.
        probe: the same, of other texts.
    """
    return quantise_static(
        source,
        target,
        _first(calibration, config.calibration_samples),
        _first(probe, config.probe_samples),
        config,
        progress,
    )


def quantise_static(
    source: Path,
    target: Path,
    calibration: Sequence[Batch],
    probe: Sequence[Batch],
    config: QuantisationConfig,
    progress: Report | None = None,
) -> QuantisationResult:
    """The work behind both: batches of named inputs in, an int8 file out."""
    _require_samples(calibration, probe)
    graph = QuantisableGraph.read(source)
    counter = _Counter(progress, len(calibration) + len(config.ranges) + config.candidates + config.attempts)
    observed = observe(graph, calibration, config.threads, lambda done: counter.step("calibrating"))
    reference = embeddings(open_session(source, config.threads), probe)
    search = Search(graph, observed, probe, reference, config, counter.step)
    form = search.best()
    _write(form.model, target)
    counter.finish()
    left_in_float = form.trial.left_in_float
    return QuantisationResult(
        scheme="static",
        ranges=form.ranges,
        cosine_mean=form.trial.cosine_mean,
        cosine_minimum=form.trial.cosine_minimum,
        wanted_cosine=config.wanted_cosine,
        quantised=len(graph.weighted) - len(left_in_float),
        left_in_float=left_in_float,
        share_of_work=1.0 - graph.work(list(left_in_float)) / graph.work(graph.weighted),
        calibration_samples=_count(calibration),
        probe_samples=_count(probe),
        trials=tuple(search.trials),
    )


def quantise_dynamic(
    source: Path, target: Path, probe: Sequence[Batch], config: QuantisationConfig
) -> QuantisationResult:
    """Write an int8 form whose scales are taken from each batch as it comes: for batches of one only.

    In a larger batch an embedding would depend on its neighbours. Only matrix products are quantised: convolutions lose
    their accuracy and their speed this way.

    Args:
        probe: batches of named inputs; they are run one sample at a time.

    Raises:
        ModelError: if the graph has no matrix products with weights, or cannot be prepared.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    _require_samples(probe, probe)
    graph = QuantisableGraph.read(source)
    products = [
        node.name for node in graph.model.graph.node if node.op_type == "MatMul" and node.name in graph.weighted
    ]
    if graph.convolutional or not products:
        raise ModelError(f"{source} has no layers that dynamic quantisation serves (matrix products with weights).")
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "dynamic.onnx"
        quantize_dynamic(
            graph.model,
            written,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=config.reduced_weight_range,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=products,
        )
        data = written.read_bytes()
    write_atomic(target, data)
    single = _one_by_one(_first(probe, config.probe_samples))
    reference = embeddings(open_session(source, config.threads), single)
    values = cosines(embeddings(open_session(Path(target), config.threads), single), reference)
    left_in_float = tuple(name for name in graph.weighted if name not in products)
    trial = QuantisationTrial(
        what="dynamic, one sample at a time",
        left_in_float=left_in_float,
        cosine_mean=float(values.mean()),
        cosine_minimum=float(values.min()),
    )
    return QuantisationResult(
        scheme="dynamic",
        ranges=None,
        cosine_mean=trial.cosine_mean,
        cosine_minimum=trial.cosine_minimum,
        wanted_cosine=config.wanted_cosine,
        quantised=len(products),
        left_in_float=left_in_float,
        share_of_work=graph.work(products) / graph.work(graph.weighted),
        calibration_samples=0,
        probe_samples=len(single),
        trials=(trial,),
    )


class _Counter:
    """Progress whose length is known only at most: what was not needed is skipped at the end."""

    def __init__(self, progress: Report | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def step(self, note: str) -> None:
        self._done = min(self._done + 1, self._total - 1)
        if self._progress is not None:
            self._progress(self._done, self._total, note)

    def finish(self) -> None:
        if self._progress is not None:
            self._progress(self._total, self._total, "")


def _only_input(source: Path) -> str:
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf, NoSuchFile

    try:
        inputs = [value.name for value in open_session(Path(source), 1).get_inputs()]
    except (Fail, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
        raise ModelError(f"{source} is not an ONNX encoder that can be run: {error}") from error
    if len(inputs) != 1:
        raise ModelError(f"{source} takes {', '.join(inputs)}; an image encoder takes pixel_values only.")
    return inputs[0]


def _in_batches(name: str, values: np.ndarray, size: int) -> list[Batch]:
    return [{name: values[start : start + size]} for start in range(0, len(values), size)]


def _count(batches: Sequence[Batch]) -> int:
    return sum(_length(batch) for batch in batches)


def _length(batch: Batch) -> int:
    return len(next(iter(batch.values())))


def _first(batches: Sequence[Batch], most: int) -> list[Batch]:
    """The first `most` samples, in the batches that they came in."""
    kept: list[Batch] = []
    for batch in batches:
        wanted = most - _count(kept)
        if wanted <= 0:
            break
        kept.append({name: values[:wanted] for name, values in batch.items()})
    return kept


def _one_by_one(batches: Sequence[Batch]) -> list[Batch]:
    return [
        {name: values[index : index + 1] for name, values in batch.items()}
        for batch in batches
        for index in range(_length(batch))
    ]


def _require_samples(calibration: Sequence[Mapping], probe: Sequence[Mapping]) -> None:
    for what, batches in (("calibrate on", calibration), ("compare on", probe)):
        if not batches or not _count(batches):
            raise ModelError(f"Quantisation needs samples to {what}; none were given.")


def _write(model: onnx.ModelProto, target: Path) -> None:
    write_atomic(target, model.SerializeToString())
