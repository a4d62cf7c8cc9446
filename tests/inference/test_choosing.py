"""`auto`: the fastest by measured figures; measured once for a machine and a model, and again when either changes."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from clip_har.component import Registry
from clip_har.errors import BundleError, ConfigError
from clip_har.inference.exported import ExportedForm, Exports
from clip_har.inference.predictor import Predictor
from clip_har.inference.runtimes import cache, choosing
from clip_har.inference.runtimes.choosing import choose, measure
from clip_har.models.bundle import ModelBundle


class Sleeping:
    """A runtime of known speed."""

    name = "sleeping"
    lanes = 1
    seconds = 0.002
    loads: ClassVar[list[str]] = []
    encodes: ClassVar[list[str]] = []

    @classmethod
    def load(cls, bundle: ModelBundle, *, device: str = "auto", threads: int | None = None) -> Sleeping:
        Sleeping.loads.append(cls.name)
        return cls()

    def encode(self, pixel_values: np.ndarray) -> np.ndarray:
        Sleeping.encodes.append(self.name)
        time.sleep(self.seconds)
        return np.zeros((len(pixel_values), 4), dtype=np.float32)


class Slow(Sleeping):
    name = "slow"
    seconds = 0.03


class Fast(Sleeping):
    name = "fast"


class Missing(Sleeping):
    name = "missing"

    @classmethod
    def load(cls, bundle: ModelBundle, *, device: str = "auto", threads: int | None = None) -> Sleeping:
        raise ConfigError("no such form")


class Damaged(Sleeping):
    name = "damaged"

    @classmethod
    def load(cls, bundle: ModelBundle, *, device: str = "auto", threads: int | None = None) -> Sleeping:
        raise BundleError("fast.onnx is damaged")


def registry(*kinds: type[Sleeping]) -> Registry:
    made: Registry = Registry("runtime", {})
    for kind in kinds:
        made.register(kind.name, kind)
    return made


@pytest.fixture(autouse=True)
def forgotten() -> None:
    Sleeping.loads.clear()
    Sleeping.encodes.clear()
    cache._say_once.cache_clear()


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_ROUNDS", 3)


def test_the_fastest_is_chosen_whatever_the_order(exported: ModelBundle, own_cache: Path) -> None:
    assert choose(exported, registry(Slow, Missing, Fast)).name == "fast"
    Sleeping.loads.clear()
    assert choose(exported, registry(Fast, Slow, Missing)).name == "fast"
    assert Sleeping.loads == ["fast", "slow"], "another set of runtimes is another question"


def test_the_choice_is_kept_for_this_machine_and_model(exported: ModelBundle, own_cache: Path) -> None:
    choose(exported, registry(Slow, Fast))
    (kept,) = (own_cache / "runtimes").iterdir()
    found = json.loads(kept.read_text())
    assert found["fastest"] == "fast"
    assert found["milliseconds"]["slow"] > found["milliseconds"]["fast"] > 0
    Sleeping.loads.clear()
    Sleeping.encodes.clear()
    assert choose(exported, registry(Slow, Fast)).name == "fast"
    assert Sleeping.loads == ["fast"]
    assert not Sleeping.encodes


@pytest.mark.usefixtures("few_rounds")
@pytest.mark.parametrize("change", ["host", "exports", "device", "threads", "cache"])
def test_it_is_measured_again_when_something_changes(
    exported: ModelBundle, own_cache: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    asked = {"device": "auto", "threads": None}
    runtimes = registry(Slow, Fast)
    choose(exported, runtimes, **asked)
    Sleeping.encodes.clear()
    if change == "host":
        monkeypatch.setattr(choosing, "host_facts", lambda: {"processor": "another"})
    elif change == "exports":
        form = ExportedForm(encoder="image", format="onnx", precision="fp16", file="onnx/a.onnx", sha256="0" * 64)
        other = Exports(model_id=exported.model_id, forms=(form,))
        monkeypatch.setattr(Exports, "read", classmethod(lambda cls, bundle: other))
    elif change == "cache":
        (kept,) = (own_cache / "runtimes").iterdir()
        kept.write_text("{")
    else:
        asked[change] = {"device": "cpu", "threads": 1}[change]
    assert choose(exported, runtimes, **asked).name == "fast"
    assert Sleeping.encodes


@pytest.mark.usefixtures("few_rounds")
def test_a_damaged_form_is_left_out_and_said(exported: ModelBundle) -> None:
    with pytest.warns(RuntimeWarning, match=r"'damaged' is left out: fast\.onnx is damaged"):
        assert choose(exported, registry(Slow, Damaged)).name == "slow"


@pytest.mark.usefixtures("few_rounds")
def test_a_choice_that_does_not_load_any_more_is_made_anew(
    exported: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(exported, registry(Slow, Fast))
    monkeypatch.setattr(Fast, "load", Missing.load)
    assert choose(exported, registry(Slow, Fast)).name == "slow"


def test_nothing_that_runs_is_an_error(exported: ModelBundle) -> None:
    with pytest.raises(ConfigError, match=r"None of the runtimes \(missing\) can run .* on the device 'cpu'"):
        choose(exported, registry(Missing), device="cpu")


@pytest.mark.usefixtures("few_rounds")
def test_without_a_place_to_keep_it_it_is_measured_again_and_said_once(
    exported: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            Sleeping.encodes.clear()
            assert choose(exported, registry(Slow, Fast)).name == "fast"
            assert Sleeping.encodes
    assert len(said) == 1
    assert "measured at each start" in str(said[0].message)
    assert str(blocked) in str(said[0].message)


def test_a_hopeless_runtime_is_not_measured_to_the_end() -> None:
    figures = measure({"slow": Slow(), "fast": Fast(), "sleeping": Sleeping()}, (3, 8, 8))
    assert figures["slow"] > max(figures["fast"], figures["sleeping"])
    assert Sleeping.encodes.count("fast") > Sleeping.encodes.count("slow") > 0


def test_a_bundle_without_exports_needs_no_measuring(exported: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    none = Exports(model_id=exported.model_id)
    monkeypatch.setattr(Exports, "read", classmethod(lambda cls, bundle: none))
    monkeypatch.setattr(choosing, "measure", lambda *_: pytest.fail("measured"))
    assert Predictor.load(exported, device="cpu").runtime.name == "torch"


def test_auto_takes_one_of_the_bundles_own_forms(exported: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"torch": 3.0, "onnx": 1.0, "onnx-int8": 2.0}
    monkeypatch.setattr(choosing, "measure", lambda loaded, shape: {name: figures[name] for name in loaded})
    predictor = Predictor.load(exported, device="cpu")
    assert predictor.runtime.name == "onnx"
    figures["onnx"] = 9.0
    assert Predictor.load(exported, device="cpu").runtime.name == "onnx", "kept"
    assert Predictor.load(exported, device="cpu", threads=1).runtime.name == "onnx-int8"
