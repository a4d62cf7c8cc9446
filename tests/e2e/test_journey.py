"""The one end-to-end test of the design: data → train → evaluate → export, on real photographs where they are present."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.command import PROJECT, Workplace

pytestmark = pytest.mark.slow

HAR_LOCAL = str(PROJECT / "configs" / "har_local.yaml")


def _assert_self_contained(report: Path) -> None:
    html = report.read_text()
    for reference in re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", html):
        assert reference.startswith(("data:", "#")), reference
    assert not re.search(r"@import|url\(\s*['\"]?https?:", html)


def _assert_exported(place: Workplace, trained: Path, wanted: tuple[str, ...]) -> None:
    """The same model, with forms that answer like it, and a report that says so."""
    report = json.loads((place.latest / "export_report.json").read_text())
    kept = {
        row["form"]["precision"] for row in report["forms"] if row["accepted"] and row["form"]["encoder"] == "image"
    }
    assert set(wanted) <= kept, [row["reasons"] for row in report["forms"]]
    assert all(row["accepted"] or row["reasons"] for row in report["forms"])
    assert report["model_id"] == json.loads((trained / "run.json").read_text())["model_id"]
    listed = json.loads((place.latest / "bundle" / "attachments" / "exports" / "exports.json").read_text())
    assert len(listed["forms"]) == sum(row["accepted"] for row in report["forms"])
    assert not (trained / "bundle" / "attachments" / "exports").exists()
    _assert_self_contained(place.latest / "export_report.html")


def test_the_drawn_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default configuration, smaller; then what the tutorial does with the bundle."""
    place = Workplace(tmp_path)
    smaller = ("--set", "data.per_class=24", "--set", "adaptation.lora.training.max_steps=10")
    done = place.run("train", *smaller)
    assert done.code == 0, done.err
    metrics = place.metrics()
    assert {"zero_shot", "linear_probe", "lora"} < set(metrics["validation"])
    assert metrics["data"]["rejected"] > 0, "the sample has flaws for validation to find"
    assert metrics["test"]["accuracy"]["value"] > 1.5 / 15
    _assert_self_contained(place.latest / "report.html")
    monkeypatch.chdir(tmp_path)
    tutorial = (PROJECT / "docs" / "tutorial.md").read_text()
    for code in re.findall(r"```python\n(.*?)```", tutorial, re.DOTALL):
        exec(compile(code, "tutorial.md", "exec", dont_inherit=True), {"__name__": "tutorial"})
    trained = place.latest
    done = place.run("deploy", *smaller)
    assert done.code == 0, done.err
    _assert_exported(place, trained, ("fp32", "fp16", "int8"))
    done = place.run("evaluate", *smaller, "--set", "data.seed=1", "--set", "data.nuisances.light=0.7")
    assert done.code == 0, done.err
    assert place.record()["pipeline"] == "evaluate"


def test_real_photographs(few_har_photographs: Path, har_dual_encoder: Path, tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    settings = ("--set", f"data.path={few_har_photographs}", "--set", f"model.backbone={har_dual_encoder}")
    quick = ("--set", "adaptation.lora.training.max_steps=40")
    done = place.run("train", "--config", HAR_LOCAL, *settings, *quick)
    assert done.code == 0, done.err
    metrics = place.metrics()
    validation, test = metrics["validation"], metrics["test"]
    for method in ("zero_shot_single", "zero_shot", "linear_probe", "lora"):
        # 15 classes: chance is 6.7 %; the backbone was aligned on other photographs of 12 of them
        assert validation[method]["accuracy"]["low"] > 0.25
    assert test["accuracy"]["low"] > 0.25
    assert test["samples"] == place.metrics()["test"]["samples"] > 60
    _assert_self_contained(place.latest / "report.html")

    from clip_har.inference.predictor import Predictor

    bundle = place.latest / "bundle"
    photographs = sorted((few_har_photographs / "train").iterdir())[:8]
    predictor = Predictor.load(bundle)
    together, alone = predictor.predict(photographs), [predictor.predict([path])[0] for path in photographs]
    for one, other in zip(together, alone, strict=True):
        assert one.labels == other.labels
        assert one.scores == pytest.approx(other.scores, abs=1e-5)

    trained = place.latest
    done = place.run("deploy", "--config", HAR_LOCAL, *settings, "--set", "export.encoders=[image]")
    assert done.code == 0, done.err
    _assert_exported(place, trained, ("fp32", "fp16"))  # whether int8 passes is for the gate to say
    for runtime in ("onnx", "auto"):
        answers = Predictor.load(place.latest / "bundle", runtime=runtime, device="cpu").predict(photographs)
        assert [one.label for one in answers] == [one.label for one in together] or runtime == "auto"

    done = place.run("evaluate", "--config", HAR_LOCAL, *settings, "--set", "evaluation.split=validation")
    assert done.code == 0, done.err
    again = place.metrics()["validation"]
    assert again["accuracy"]["value"] == validation[validation["winner"]]["accuracy"]["value"]
    assert json.loads((place.latest / "run.json").read_text())["pipeline"] == "evaluate"
