"""deploy: exported, gated, timed and published; again from the cache; and what a stricter gate keeps out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.profile import REFERENCE, ReferenceProfile
from clip_har.registry.champion import Registry
from clip_har.serving.packaging.store import BentoStore
from clip_har.serving.settings import load_settings
from tests.command import Finished, Workplace
from tests.e2e.conftest import TRAIN

pytestmark = pytest.mark.slow

FEW = ("--set", "export.forms=[onnx,torch-export]", "--set", "export.encoders=[image]")


def test_deploy(first_run, tmp_path: Path) -> None:
    trained, _ = first_run
    place = trained.copy(tmp_path / "place")
    model_id = place.record()["model_id"]
    before = place.latest

    done = place.run("deploy", *TRAIN, *FEW, "--set", "serving.bento.enabled=true", "--set", "serving.threads=1")
    assert done.code == 0, done.err
    assert "open_data" in place.ran(), "the version that the bundle was trained on"
    _assert_bento(place, done)
    _assert_profile(place)
    assert place.latest != before
    assert "2 of 2 forms are kept." in done.said
    assert "onnx image fp32" in done.out
    assert "run.py --pipeline evaluate --config config.yaml" in done.out
    assert place.record()["bento"]["built"] is True
    bundle = place.latest / "bundle"
    exports = json.loads((bundle / "attachments" / "exports" / "exports.json").read_text())
    assert exports["model_id"] == place.record()["model_id"] == model_id
    assert (bundle / "attachments" / "exports" / "onnx" / "image-fp32.onnx").is_file()
    assert (place.latest / "export_report.html").read_text().startswith("<!doctype html>")
    assert json.loads((place.latest / "export_report.json").read_text())["split"] == "validation"
    assert not (before / "bundle" / "attachments" / "exports").exists(), "the trained bundle is left as it was"

    measured = {}
    for runtime in ("torch", "onnx"):
        done = place.run("evaluate", *TRAIN, "--set", f"evaluation.runtime={runtime}", "--set", f"bundle={bundle}")
        assert done.code == 0, done.err
        measured[runtime] = place.metrics()["test"]
    assert measured["torch"].get("runtime") is None
    assert measured["onnx"].pop("runtime") == "onnx"
    assert measured["onnx"]["accuracy"] == measured["torch"]["accuracy"]

    done = place.run("deploy", *TRAIN, *FEW)
    assert done.code == 0, done.err
    assert place.ran() == {"open_data", "open_bundle", "benchmark_forms", "promote", "publish_exports"}
    assert "is the champion already" in done.said, "a first version keeps to the bounds"

    strict = ("--set", "export.gate.fp32.cosine_minimum=1", "--set", "export.gate.fp32.agreement=1")
    alone = ("--set", f"bundle={bundle}", "--set", "promotion.enabled=false", "--set", "monitor.profile.enabled=false")
    done = place.run("deploy", *TRAIN, *FEW, *strict, *alone)
    assert done.code == 0, done.err
    assert "promote" not in place.ran()
    assert not (place.latest / "promotion.html").exists()
    assert "profile_reference" not in place.ran()
    assert not (place.latest / "bundle" / "attachments" / REFERENCE).exists(), "that of another export would mislead"
    assert "export_model" not in place.ran(), "the gate's bounds change nothing that it makes"
    assert "gate_forms" in place.ran()
    report = json.loads((place.latest / "export_report.json").read_text())
    kept = {row["form"]["format"]: row["accepted"] for row in report["forms"]}
    assert not kept["onnx"], "float32 differs in its last digits"
    assert "wanted: at least 1." in done.said
    exports = json.loads((place.latest / "bundle" / "attachments" / "exports" / "exports.json").read_text())
    assert "onnx" not in {form["format"] for form in exports["forms"]}


def _assert_profile(place: Workplace) -> None:
    """What is published and what is promoted can be monitored: the profile is of the held-out photographs, by what serves."""
    for bundle in (ModelBundle.load(place.latest / "bundle"), Registry.of(place.workspace).champion()):
        profile = ReferenceProfile.of(bundle)
        assert profile.splits == ("calibration", "validation", "test")
        assert len(profile.observations) > 20
        assert profile.runtime in {"torch", "onnx", "torch-export"}
        assert profile.data_revision == bundle.info.data_revision


def _assert_bento(place: Workplace, done: Finished) -> None:
    """The champion is in a Bento with its forms and the run's settings; it is told how to serve it."""
    champion = Registry.of(place.workspace).champion()
    bento = place.record()["bento"]
    assert bento["model_id"] == champion.model_id
    assert BentoStore.of(place.workspace).latest("clip-har") == bento["tag"].partition(":")[2]
    assert f"BENTOML_HOME=workspace/bentoml bentoml serve {bento['tag']}" in done.out
    assert "make serve" in done.out
    packed = Path(bento["path"]) / "src"
    assert ModelBundle.load(packed / "bundle").model_id == champion.model_id
    assert (packed / "bundle" / "attachments" / "exports" / "onnx" / "image-fp32.onnx").is_file()
    assert load_settings({}, packed).threads == 1
    assert not list(place.folder.glob("bentoml")), "nothing is written beside the workspace"


def test_mistakes_are_found_at_once(furnished: Path, tmp_path: Path) -> None:
    shutil.copytree(furnished, tmp_path / "place")
    place = Workplace(tmp_path / "place")
    for settings, said in (
        ((), "There is no bundle yet"),
        (("--set", "bundle=nowhere"), "bundle: there is no folder 'nowhere'"),
        (("--set", "export.forms=[onx]"), "export.forms: there is no exporter 'onx'. Did you mean 'onnx'?"),
        (("--set", "export.gate.int8.accuracy=1"), "export.gate.int8.accuracy: unknown key"),
        (
            ("--set", "promotion.metric=recall"),
            "promotion.metric: wanted: 'accuracy', 'balanced_accuracy' or 'macro_f1'",
        ),
        (("--set", "bundle=champion"), "bundle: there is no champion"),
    ):
        done = place.run("deploy", *TRAIN, *settings)
        assert (done.code, done.out) == (2, "")
        assert said in done.said, done.err
        assert "Traceback" not in done.err
