"""int8 encoders: near the float ones, independent of batch-mates, sensitive layers left in float."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from pydantic import ValidationError

from clip_har.errors import ModelError
from clip_har.export.quantisation import (
    QuantisationConfig,
    QuantisationResult,
    quantise_dynamic,
    quantise_image_encoder,
    quantise_text_encoder,
)
from clip_har.export.quantisation.building import build_int8
from clip_har.export.quantisation.graph import QuantisableGraph
from clip_har.export.quantisation.measuring import cosines, observe
from tests.export.small_encoders import convolutional_encoder, pictures, sequences, transformer_encoder

CONFIG = QuantisationConfig(threads=1)


def run(path: Path, values: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: values})[0]


def quantised_weights(path: Path) -> dict[str, onnx.TensorProto]:
    arrays = onnx.load(path).graph.initializer
    return {array.name: array for array in arrays if array.name.endswith("_quantized") and array.dims}


@pytest.fixture(scope="module")
def convolutional(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, QuantisationResult]:
    folder = tmp_path_factory.mktemp("convolutional")
    source, target = convolutional_encoder(folder / "fp32.onnx"), folder / "int8.onnx"
    return source, target, quantise_image_encoder(source, target, pictures(40), pictures(24, seed=2), CONFIG)


def test_depthwise_convolutions_keep_their_accuracy(convolutional: tuple[Path, Path, QuantisationResult]) -> None:
    source, target, result = convolutional
    values = pictures(50, seed=3)
    found = cosines(run(target, values), run(source, values))
    assert found.mean() > 0.995
    assert result.reached
    assert result.cosine_mean == pytest.approx(found.mean(), abs=0.003)
    assert result.left_in_float == ()
    assert result.share_of_work == 1.0
    assert (result.calibration_samples, result.probe_samples) == (40, 24)


def test_weights_have_a_scale_for_each_channel(convolutional: tuple[Path, Path, QuantisationResult]) -> None:
    _, target, _ = convolutional
    scales = {array.name: array for array in onnx.load(target).graph.initializer if array.name.endswith("_scale")}
    sizes = {dims for array in scales.values() if len(dims := tuple(array.dims)) == 1 and dims != (1,)}
    assert sizes == {(16,), (24,), (8,)}
    weights = quantised_weights(target)
    assert sorted(array.data_type for array in weights.values()).count(onnx.TensorProto.INT8) == 7
    onnx.checker.check_model(str(target), full_check=True)


def test_a_convolution_whose_channels_differ_a_thousandfold_is_left_in_float(tmp_path: Path) -> None:
    """One scale for all channels of an activation leaves most of them at zero; where that is measured, not guessed."""
    source, target = convolutional_encoder(tmp_path / "fp32.onnx", spread=1000), tmp_path / "int8.onnx"
    result = quantise_image_encoder(source, target, pictures(40), pictures(24, seed=2), CONFIG)
    assert result.trials[0].cosine_mean < 0.99
    assert result.reached
    assert {"one_mixed", "two_mixed"} <= set(result.left_in_float) < {*result.left_in_float, "first", "last"}
    assert 0 < result.share_of_work < 1
    values = pictures(50, seed=3)
    assert cosines(run(target, values), run(source, values)).mean() > 0.995


def test_batch_mates_change_nothing(convolutional: tuple[Path, Path, QuantisationResult]) -> None:
    _, target, _ = convolutional
    values = pictures(12, seed=4)
    values[5] *= 50  # a neighbour that would widen any scale taken over the batch
    alone = np.concatenate([run(target, values[index : index + 1]) for index in range(len(values))])
    assert np.abs(alone - run(target, values)).max() < 1e-5


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, QuantisationResult]:
    folder = tmp_path_factory.mktemp("loud")
    source, target = transformer_encoder(folder / "fp32.onnx", loud_channel=True), folder / "int8.onnx"
    return source, target, quantise_image_encoder(source, target, sequences(40), sequences(32, seed=2), CONFIG)


def test_the_sensitive_layer_is_found_and_left_in_float(loud: tuple[Path, Path, QuantisationResult]) -> None:
    source, target, result = loud
    assert result.trials[0].cosine_mean < 0.99, "with all layers in int8 the loud channel does harm"
    assert result.reached
    assert result.left_in_float == ("second",)
    assert result.quantised == 6
    values = sequences(40, seed=3)
    assert cosines(run(target, values), run(source, values)).mean() > 0.995
    assert len(quantised_weights(target)) == 6


def test_every_group_was_measured_alone(loud: tuple[Path, Path, QuantisationResult]) -> None:
    *_, result = loud
    alone = {trial.what: trial.cosine_mean for trial in result.trials if "alone" in trial.what}
    assert len(alone) == 5
    assert min(alone, key=alone.__getitem__) == "second alone in int8"
    assert "trials" not in result.details()


def test_without_a_sensitive_layer_nothing_is_left_in_float(tmp_path: Path) -> None:
    source, target = transformer_encoder(tmp_path / "fp32.onnx"), tmp_path / "int8.onnx"
    result = quantise_image_encoder(source, target, sequences(40), sequences(32, seed=2), CONFIG)
    assert result.left_in_float == ()
    assert len(result.trials) == len(CONFIG.ranges), "nothing else had to be measured"
    assert result.cosine_mean == max(trial.cosine_mean for trial in result.trials)


def test_what_cannot_be_reached_is_said(tmp_path: Path) -> None:
    source, target = transformer_encoder(tmp_path / "fp32.onnx", loud_channel=True), tmp_path / "int8.onnx"
    config = QuantisationConfig(wanted_cosine=0.9999, ranges=("minmax",), attempts=1, threads=1)
    result = quantise_image_encoder(source, target, sequences(16), sequences(16, seed=2), config)
    whole, *_, attempt = result.trials
    assert "in float" in attempt.what
    assert whole.cosine_mean < attempt.cosine_mean < 0.9999
    assert not result.reached
    assert result.cosine_mean == attempt.cosine_mean, "the nearest is written"
    values = sequences(16, seed=2)
    assert cosines(run(target, values), run(source, values)).mean() == pytest.approx(attempt.cosine_mean, abs=1e-6)


def test_all_trials_are_bounded(tmp_path: Path) -> None:
    source = transformer_encoder(tmp_path / "fp32.onnx", loud_channel=True)
    config = QuantisationConfig(wanted_cosine=1.0, ranges=("minmax",), candidates=2, attempts=1, threads=1)
    result = quantise_image_encoder(source, tmp_path / "int8.onnx", sequences(16), sequences(16), config)
    assert len(result.trials) <= 1 + 2 + 1


def test_the_same_data_give_the_same_bytes(tmp_path: Path) -> None:
    source = transformer_encoder(tmp_path / "fp32.onnx")
    for name in ("one", "other"):
        quantise_image_encoder(source, tmp_path / name, sequences(16), sequences(8), CONFIG)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_progress_grows_to_its_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    notes: list[str] = []

    def progress(done: int, total: int, note: str = "") -> None:
        seen.append((done, total))
        notes.append(note)

    source = transformer_encoder(tmp_path / "fp32.onnx", loud_channel=True)
    quantise_image_encoder(source, tmp_path / "int8.onnx", sequences(16), sequences(8), CONFIG, progress)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {seen[-1][0]}
    assert any("second alone in int8" in note for note in notes)


def test_no_more_samples_are_used_than_the_config_allows(tmp_path: Path) -> None:
    config = QuantisationConfig(calibration_samples=6, probe_samples=5, calibration_batch=4, threads=1)
    source = transformer_encoder(tmp_path / "fp32.onnx")
    calibration = sequences(40)
    calibration[6:] = np.nan  # would be noticed
    result = quantise_image_encoder(source, tmp_path / "int8.onnx", calibration, sequences(9), config)
    assert (result.calibration_samples, result.probe_samples) == (6, 5)


class Batches(Sequence[Mapping[str, np.ndarray]]):
    """Batches that are made when they are asked for; counts how many of them are alive."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._made: weakref.WeakSet = weakref.WeakSet()
        self.most_alive = 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    def __iter__(self) -> Iterator[Mapping[str, np.ndarray]]:
        for seed in range(self._count):
            values = np.random.default_rng(seed).standard_normal((2, 6, 32)).astype(np.float32).view(Tracked)
            self._made.add(Holder.of(values))
            self.most_alive = max(self.most_alive, len(self._made))
            yield {"tokens": values}


class Tracked(np.ndarray):
    """An array that carries an object which lives as long as it does."""

    holder: Holder


class Holder:
    @classmethod
    def of(cls, array: Tracked) -> Holder:
        array.holder = cls()
        return array.holder


def test_calibration_holds_no_more_than_a_batch_or_two(tmp_path: Path) -> None:
    graph = QuantisableGraph.read(transformer_encoder(tmp_path / "fp32.onnx"))
    batches = Batches(30)
    steps: list[int] = []
    observe(graph, batches, 1, steps.append)
    assert steps == list(range(1, 31))
    assert batches.most_alive <= 3
    assert [value.name for value in graph.model.graph.output] == ["embeds"], "the graph is as it was"


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    values = sequences(8)
    values[3, 0, 0] = np.inf
    with pytest.raises(ModelError, match="infinite or undefined"):
        quantise_image_encoder(
            transformer_encoder(tmp_path / "fp32.onnx"), tmp_path / "int8.onnx", values, sequences(4), CONFIG
        )


@pytest.mark.parametrize(("calibration", "probe", "missing"), [(0, 4, "calibrate on"), (4, 0, "compare on")])
def test_samples_are_needed(tmp_path: Path, calibration: int, probe: int, missing: str) -> None:
    source = transformer_encoder(tmp_path / "fp32.onnx")
    with pytest.raises(ModelError, match=missing):
        quantise_image_encoder(source, tmp_path / "int8.onnx", sequences(calibration), sequences(probe), CONFIG)


def test_text_batches_may_differ_in_length(tmp_path: Path) -> None:
    model = onnx.load(transformer_encoder(tmp_path / "fp32.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "length"
    del model.graph.value_info[:]
    source = tmp_path / "text.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(model), source)
    calibration = [{"tokens": sequences(4, seed=seed)[:, : 3 + seed % 3]} for seed in range(8)]
    probe = [{"tokens": sequences(4, seed=50)[:, :4]}, {"tokens": sequences(4, seed=51)}]
    config = QuantisationConfig(probe_samples=6, threads=1)
    result = quantise_text_encoder(source, tmp_path / "int8.onnx", calibration, probe, config)
    assert result.reached
    assert (result.calibration_samples, result.probe_samples) == (32, 6)


def test_dynamic_scales_depend_on_batch_mates_and_are_for_single_samples(tmp_path: Path) -> None:
    source, target = transformer_encoder(tmp_path / "fp32.onnx"), tmp_path / "dynamic.onnx"
    result = quantise_dynamic(source, target, [{"tokens": sequences(24)}], CONFIG)
    assert (result.scheme, result.single_only, result.ranges) == ("dynamic", True, None)
    assert result.cosine_mean > 0.995
    assert result.probe_samples == 24
    values = sequences(8, seed=4)
    values[5] *= 50
    alone = np.concatenate([run(target, values[index : index + 1]) for index in range(len(values))])
    assert np.abs(alone - run(target, values)).max() > 1e-4, "this is why it is for single samples only"
    assert "projection" in result.left_in_float


def test_dynamic_quantisation_of_convolutions_is_refused(tmp_path: Path) -> None:
    source = convolutional_encoder(tmp_path / "fp32.onnx")
    with pytest.raises(ModelError, match="dynamic quantisation serves"):
        quantise_dynamic(source, tmp_path / "int8.onnx", [{"pixel_values": pictures(4)}], CONFIG)


def test_weights_may_be_kept_to_seven_bits(tmp_path: Path) -> None:
    graph = QuantisableGraph.read(transformer_encoder(tmp_path / "fp32.onnx"))
    ranges = observe(graph, [{"tokens": sequences(8)}], 1, lambda done: None).ranges("minmax", 99.9)
    largest = {}
    for reduced in (False, True):
        model = build_int8(graph, ranges, graph.nodes, reduced_weight_range=reduced)
        arrays = [
            onnx.numpy_helper.to_array(array)
            for array in model.graph.initializer
            if array.data_type == onnx.TensorProto.INT8 and array.dims
        ]
        largest[reduced] = max(int(np.abs(array.astype(int)).max()) for array in arrays)
    assert largest[False] == 127
    assert largest[True] <= 64


def test_other_than_images_are_refused_as_images(tmp_path: Path) -> None:
    path = transformer_encoder(tmp_path / "encoder.onnx")
    model = onnx.load(path)
    mask = onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, ["batch"])
    model.graph.input.append(mask)
    onnx.save(model, path)
    with pytest.raises(ModelError, match="takes tokens, mask"):
        quantise_image_encoder(path, tmp_path / "int8.onnx", sequences(4), sequences(4), CONFIG)
    with pytest.raises(ModelError, match=r"none\.onnx is not an ONNX encoder"):
        quantise_image_encoder(tmp_path / "none.onnx", tmp_path / "int8.onnx", sequences(4), sequences(4), CONFIG)


def test_the_config_refuses_what_makes_no_sense() -> None:
    for wrong in ({"ranges": ()}, {"wanted_cosine": 1.5}, {"percentile": 30}, {"candidates": 0}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            QuantisationConfig(**wrong)
