"""TensorRT's runtime: what fits a device, shapes, streams, addresses; on a stand-in, and on a GPU where there is one."""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from clip_har.adaptation import METHODS
from clip_har.errors import BundleError, ConfigError, ModelError
from clip_har.hashing import sha256_bytes
from clip_har.inference.exported import ExportedForm, Exports
from clip_har.inference.runtimes import RUNTIMES
from clip_har.inference.runtimes.tensorrt import TensorRTRuntime
from clip_har.inference.tensorrt_engine import EngineMetadata, ShapeRange, TensorRTEngine
from clip_har.models.bundle import ModelBundle
from clip_har.storage import write_json
from tests.adaptation.tiny_study import Study
from tests.tensorrt_stand_in import TensorRTStandIn, weighted_sum

VERSION = "10.9.0.34"
SHAPE = (3, 2, 2)
MOST = 4


class FakeStream:
    """Notes in `events` who waits for whom."""

    events: list[tuple[str, str]]

    def __init__(self, name: str, number: int, events: list[tuple[str, str]]) -> None:
        self.name, self.cuda_stream, self.events = name, number, events

    def wait_stream(self, other: FakeStream) -> None:
        self.events.append((self.name, other.name))


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """torch.cuda of a machine with one GPU, compute capability 8.6, whose memory is the host's."""
    found: list[tuple[str, str]] = []
    current = FakeStream("current", 0, found)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device=None: (8, 6))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device=None: "a card")
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr("torch.cuda.Stream", lambda device: FakeStream("engine", 77, found))
    monkeypatch.setattr("torch.cuda.current_stream", lambda device: current)
    return found


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> TensorRTStandIn:
    made = TensorRTStandIn("tensorrt", VERSION)
    monkeypatch.setitem(sys.modules, "tensorrt", made)
    return made


def metadata(data: bytes, **changes: object) -> EngineMetadata:
    values = {
        "package": "tensorrt",
        "version": VERSION,
        "compute_capabilities": ("8.6",),
        "precision": "fp16",
        "onnx_sha256": "0" * 64,
        "engine_sha256": sha256_bytes(data),
        "inputs": {"pixel_values": {"smallest": (1, *SHAPE), "usual": (2, *SHAPE), "largest": (MOST, *SHAPE)}},
        "output": "embeds",
    }
    return EngineMetadata.model_validate({**values, **changes})


def plan(package: TensorRTStandIn, least: int = 1) -> bytes:
    return package.engine({"pixel_values": ("FLOAT", (least, *SHAPE), (MOST, *SHAPE))})


def pictures(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((count, *SHAPE)).astype(np.float32))


def expected(values: torch.Tensor) -> np.ndarray:
    return weighted_sum(values.numpy())[:, None] * np.arange(1, 5, dtype=np.float32)


@pytest.fixture
def engine(package: TensorRTStandIn, events: list, monkeypatch: pytest.MonkeyPatch) -> TensorRTEngine:
    """On the stand-in's GPU, with memory of the host."""
    monkeypatch.setattr(EngineMetadata, "misfit", lambda self, device: None)
    data = plan(package)
    return TensorRTEngine(data, metadata(data), torch.device("cpu"))


@pytest.mark.parametrize("count", [1, 3, MOST])
def test_a_batch_in_bounds_is_one_run(engine: TensorRTEngine, package: TensorRTStandIn, count: int) -> None:
    values = pictures(count)
    found = engine.run({"pixel_values": values})
    assert found.numpy() == pytest.approx(expected(values), rel=1e-5)
    assert package.runs == [{"pixel_values": (count, *SHAPE)}]


def test_a_batch_beyond_the_largest_is_done_in_parts(engine: TensorRTEngine, package: TensorRTStandIn) -> None:
    values = pictures(2 * MOST + 1)
    found = engine.run({"pixel_values": values})
    assert found.numpy() == pytest.approx(expected(values), rel=1e-5)
    assert [run["pixel_values"][0] for run in package.runs] == [MOST, MOST, 1]


def test_a_batch_below_the_smallest_is_filled_up(
    package: TensorRTStandIn, events: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EngineMetadata, "misfit", lambda self, device: None)
    data = plan(package, least=3)
    inputs = {"pixel_values": ShapeRange(smallest=(3, *SHAPE), usual=(3, *SHAPE), largest=(MOST, *SHAPE))}
    engine = TensorRTEngine(data, metadata(data, inputs=inputs), torch.device("cpu"))
    values = pictures(MOST + 1)
    found = engine.run({"pixel_values": values})
    assert found.numpy() == pytest.approx(expected(values), rel=1e-5)
    assert [run["pixel_values"][0] for run in package.runs] == [MOST, 3]


def test_an_empty_batch_gives_no_rows(engine: TensorRTEngine) -> None:
    assert engine.run({"pixel_values": pictures(0)}).shape == (0, 4)


def test_streams_wait_for_each_other_on_both_sides(
    engine: TensorRTEngine, package: TensorRTStandIn, events: list[tuple[str, str]]
) -> None:
    engine.run({"pixel_values": pictures(2)})
    assert events == [("engine", "current"), ("current", "engine")]
    assert package.streams == [77], "never the default stream"


def test_other_types_and_layouts_are_made_what_the_engine_takes(engine: TensorRTEngine) -> None:
    values = pictures(4).half()
    assert engine.run({"pixel_values": values}).numpy() == pytest.approx(expected(values), rel=1e-3, abs=1e-3)
    strided = pictures(4).contiguous(memory_format=torch.channels_last)
    assert not strided.is_contiguous()
    assert engine.run({"pixel_values": strided}).numpy() == pytest.approx(expected(strided), rel=1e-5)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "takes pixel_values; it was given nothing"),
        ({"input_ids": torch.zeros(1, 3)}, "takes pixel_values; it was given input_ids"),
        ({"pixel_values": torch.zeros(2, 3, 4, 4)}, r"shape \[2, 3, 4, 4\]; the engine was built for \[1, 3, 2, 2\]"),
        ({"pixel_values": torch.zeros(2, 12)}, r"shape \[2, 12\]"),
        ({"pixel_values": torch.zeros(2, *SHAPE, device="meta")}, "is on meta; the engine runs on cpu"),
    ],
    ids=["none", "another", "larger", "flat", "elsewhere"],
)
def test_inputs_that_do_not_fit_are_refused(engine: TensorRTEngine, inputs: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        engine.run(inputs)


def test_a_run_that_fails_says_why(engine: TensorRTEngine, package: TensorRTStandIn) -> None:
    package.failure = "out of memory"
    with pytest.raises(ModelError, match="could not run the engine: out of memory"):
        engine.run({"pixel_values": pictures(1)})
    package.failure = ""
    assert engine.run({"pixel_values": pictures(1)}).shape == (1, 4)


def test_texts_have_two_inputs_of_integers_and_a_free_length(
    package: TensorRTStandIn, events: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EngineMetadata, "misfit", lambda self, device: None)
    names = ("input_ids", "attention_mask")
    data = package.engine(dict.fromkeys(names, ("INT64", (1, 1), (4, 9))))
    ranges = {name: {"smallest": (1, 1), "usual": (2, 5), "largest": (4, 9)} for name in names}
    engine = TensorRTEngine(data, metadata(data, inputs=ranges), torch.device("cpu"))
    tokens = torch.arange(12, dtype=torch.int32).reshape(2, 6)
    mask = torch.ones(2, 6, dtype=torch.int64)
    found = engine.run({"input_ids": tokens, "attention_mask": mask})
    assert found.numpy() == pytest.approx(expected(tokens) + expected(mask))
    with pytest.raises(ModelError, match=r"input_ids has shape \[2, 10\]"):
        engine.run({name: torch.ones(2, 10, dtype=torch.int64) for name in names})


def test_threads_take_turns(engine: TensorRTEngine) -> None:
    """One context holds one run's shapes and addresses: two at once would write into each other's memory."""
    batches = [pictures(4) * factor for factor in range(1, 9)]
    found: dict[int, np.ndarray] = {}

    def work(index: int) -> None:
        for _ in range(5):
            found[index] = engine.run({"pixel_values": batches[index]}).numpy()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[index] == pytest.approx(expected(batch), rel=1e-5) for index, batch in enumerate(batches))


CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"compute_capabilities": ("8.9", "12.0")}, r"for compute capability 8\.9, 12\.0; a card has 8\.6"),
        ({"compute_capabilities": ("8.0", "8.6")}, None),
        ({"version": "10.8.0.43"}, r"built with tensorrt 10\.8\.0\.43; here is version 10\.9\.0\.34"),
        ({"package": "tensorrt_rtx"}, r"tensorrt_rtx .* cannot be imported .*clip-har\[tensorrt-rtx\]"),
    ],
    ids=["fits", "another GPU", "one of several", "another version", "another package"],
)
def test_an_engine_that_does_not_fit_is_refused_with_the_reason(
    package: TensorRTStandIn, events: list, monkeypatch: pytest.MonkeyPatch, changes: dict, reason: str | None
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    data = plan(package)
    made = metadata(data, **changes)
    if reason is None:
        assert made.misfit(CUDA) is None
        return
    assert made.misfit(CUDA) is not None
    with pytest.raises(ConfigError, match=reason):
        TensorRTEngine(data, made, CUDA)


def test_a_device_without_cuda_is_refused(package: TensorRTStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    made = metadata(plan(package))
    assert "not cpu" in (made.misfit(torch.device("cpu")) or "")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "sees none here" in (made.misfit(CUDA) or "")


def test_tensorrts_own_refusal_is_passed_on(package: TensorRTStandIn, events: list) -> None:
    data = b"no plan at all"
    with pytest.raises(ConfigError, match="refuses the engine: the plan's magic tag"):
        TensorRTEngine(data, metadata(data), CUDA)
    package.invalid = True
    with pytest.raises(ConfigError, match=r"unfit for this device \(diagnostics 64\)"):
        TensorRTEngine(plan(package), metadata(plan(package)), CUDA)


def test_a_file_that_is_not_its_metadatas_is_refused(package: TensorRTStandIn, events: list, tmp_path: Path) -> None:
    path = tmp_path / "image.engine"
    path.write_bytes(plan(package))
    with pytest.raises(BundleError, match=r"image\.engine\.json, which says what the engine is for, cannot be read"):
        TensorRTEngine.load(path, CUDA)
    write_json(EngineMetadata.place(path), metadata(b"another").model_dump(mode="json"))
    with pytest.raises(BundleError, match=r"image\.engine is damaged"):
        TensorRTEngine.load(path, CUDA)
    write_json(EngineMetadata.place(path), metadata(plan(package)).model_dump(mode="json"))
    assert TensorRTEngine.load(path, CUDA).metadata == metadata(plan(package))


def test_shape_ranges_must_grow() -> None:
    with pytest.raises(ValidationError, match="must grow"):
        ShapeRange(smallest=(2, 3), usual=(1, 3), largest=(4, 3))


# The runtime of a bundle.


@pytest.fixture
def bundle(study: Study, tmp_path: Path) -> ModelBundle:
    return study.assemble(tmp_path / "bundle", study.fit(METHODS.get("zero_shot").Config()))


def export(bundle: ModelBundle, package: TensorRTStandIn, **precisions: dict) -> None:
    """Engines, by precision, with what their metadata say otherwise."""
    forms = []
    for precision, changes in precisions.items():
        path = Exports.folder(bundle) / "tensorrt" / f"image-{precision}.engine"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = plan(package)
        path.write_bytes(data)
        write_json(EngineMetadata.place(path), metadata(data, precision=precision, **changes).model_dump(mode="json"))
        forms.append(
            ExportedForm(
                encoder="image",
                format="tensorrt",
                precision=precision,
                file=f"tensorrt/{path.name}",
                sha256=sha256_bytes(data),
            )
        )
    Exports(model_id=bundle.model_id, forms=tuple(forms)).write(bundle)


def test_the_registry_has_it() -> None:
    assert RUNTIMES.get("tensorrt") is TensorRTRuntime


def test_a_bundle_without_engines_says_what_makes_one(bundle: ModelBundle) -> None:
    with pytest.raises(ConfigError, match=r"no TensorRT engine of its image encoder\. Export one"):
        TensorRTRuntime.load(bundle, device="cpu")


def test_the_lowest_precision_that_fits_is_taken(
    bundle: ModelBundle, package: TensorRTStandIn, events: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(bundle, package, fp32={}, bf16={}, fp16={"compute_capabilities": ("8.9",)})
    runtime = TensorRTRuntime.load(bundle, device="cuda")
    assert runtime._engine.metadata.precision == "bf16"
    assert runtime._engine.device == CUDA, "with its index, as tensors name it"


def test_when_none_fits_every_reason_is_given(bundle: ModelBundle, package: TensorRTStandIn, events: list) -> None:
    export(bundle, package, fp16={"compute_capabilities": ("8.9",)}, fp32={"version": "10.1.0"})
    with pytest.raises(ConfigError, match=r"image-fp16\.engine: .*8\.9.*\n.*image-fp32\.engine: .*10\.1\.0"):
        TensorRTRuntime.load(bundle, device="cuda:0")


def test_arrays_and_tensors_give_the_same(engine: TensorRTEngine) -> None:
    runtime = TensorRTRuntime(engine)
    values = pictures(6)
    from_array = runtime.encode(values.numpy())
    assert from_array.dtype == np.float32
    assert np.array_equal(from_array, runtime.encode_tensor(values).numpy())
    assert from_array == pytest.approx(expected(values), rel=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_an_engine_on_a_gpu_agrees_with_onnx_runtime(tmp_path: Path, precision: str) -> None:
    """Random weights: this is the machinery's accuracy; a model's own is the gate's to measure."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    import importlib.util

    if not any(importlib.util.find_spec(name) for name in ("tensorrt", "tensorrt_rtx")):
        pytest.skip("needs tensorrt or tensorrt-rtx")
    import onnxruntime

    from clip_har.export.tensorrt import TensorRTConfig, build_engine
    from tests.export.small_encoders import sequences, transformer_encoder

    source, target = transformer_encoder(tmp_path / "fp32.onnx"), tmp_path / "engine"
    config = TensorRTConfig(precision=precision, usual_batch=4, largest_batch=16)
    build_engine(source, target, config, timing_cache=tmp_path / "timing.cache")
    runtime = TensorRTRuntime(TensorRTEngine.load(target, torch.device("cuda", 0)))
    values = sequences(37)
    session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    reference = session.run(None, {"tokens": values})[0]
    found = runtime.encode(values)
    least = {"fp32": 0.9999, "fp16": 0.999, "bf16": 0.99}[precision]
    assert (found * reference).sum(axis=1).min() >= least
    on_device = runtime.encode_tensor(torch.from_numpy(values).cuda())
    assert on_device.is_cuda
    assert np.array_equal(on_device.cpu().numpy(), found)
