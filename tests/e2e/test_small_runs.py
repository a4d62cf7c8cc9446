"""What a run leaves and prints, that it is the same again, and that it can be stopped at any moment."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.command import Finished, Workplace
from tests.e2e.conftest import LABELS, TRAIN

pytestmark = pytest.mark.slow


def test_a_run_leaves_bundle_report_metrics_and_record(first_run: tuple[Workplace, Finished]) -> None:
    place, _ = first_run
    assert {path.name for path in place.latest.iterdir()} >= {"bundle", "report.html", "metrics.json", "run.json"}
    record, metrics = place.record(), place.metrics()
    assert set(metrics) == {"data", "test", "validation"}
    assert metrics["data"]["found"] == 4 * 30 + 2
    assert metrics["data"]["accepted"] + metrics["data"]["rejected"] == metrics["data"]["found"]
    assert metrics["data"]["rejected"] == 2
    assert {"zero_shot", "linear_probe", "lora"} < set(metrics["validation"])
    for key in ("model_id", "data_hash", "code_hash", "environment", "settings", "steps", "run_id"):
        assert record[key], key
    assert not re.search(r"seconds|date|_id\b", json.dumps(metrics)), "no times and no ids"
    # the report has the time of each step
    report = (place.latest / "report.html").read_text()
    for step in ("embed_images", "adapt_lora", "evaluate_model"):
        assert step in report


def test_a_run_prints_a_table_where_things_are_and_what_is_next(first_run: tuple[Workplace, Finished]) -> None:
    _, done = first_run
    for word in ("linear_probe", "lora", "zero_shot", "accuracy", "95 % interval", "bundle", "report", "Next:"):
        assert word in done.out
    named = re.search(r"report\s+(\S+report\.html)", done.out)
    assert named is not None
    assert Path(named[1]).is_file()
    assert "Traceback" not in done.err
    assert "FutureWarning" not in done.err


def test_the_bundle_predicts_and_loads_without_our_code(first_run: tuple[Workplace, Finished]) -> None:
    from clip_har.inference.predictor import Predictor

    place, _ = first_run
    photographs = [sorted((place.folder / "photos" / label).glob("*.jpg"))[3] for label in LABELS]
    predictions = Predictor.load(place.latest / "bundle").predict(photographs, top_k=2)
    assert len(predictions) == len(LABELS)
    script = (
        "import sys, json\nsys.modules['clip_har'] = None\nfrom transformers import AutoModel, AutoProcessor\n"
        "model = AutoModel.from_pretrained(sys.argv[1]); AutoProcessor.from_pretrained(sys.argv[1])\n"
        "print(type(model).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(place.latest / "bundle")], capture_output=True, text=True, cwd=place.folder
    )
    assert done.stdout.strip() == "CLIPModel", done.stderr


def test_the_run_is_tracked_and_versioned(first_run: tuple[Workplace, Finished]) -> None:
    import mlflow

    place, _ = first_run
    client = mlflow.MlflowClient(f"sqlite:///{place.workspace}/mlflow.db")
    experiment = client.get_experiment_by_name("clip-har").experiment_id
    (first,) = client.search_runs([experiment], f"attributes.run_name = '{place.record()['name']}'")
    assert first.info.status == "FINISHED"
    assert first.data.params["adaptation.lora.rank"] == "4"
    assert first.data.tags["model_id"]
    assert {"test/accuracy", "lora/accuracy", "validation/lora/accuracy"} <= first.data.metrics.keys()
    assert {file.path for file in client.list_artifacts(first.info.run_id)} >= {"report.html", "metrics.json"}
    assert place.record()["model_version"]


@pytest.mark.thorough
def test_two_runs_without_the_cache_give_the_same_metrics_byte_for_byte(
    first_run: tuple[Workplace, Finished], tmp_path: Path
) -> None:
    first, _ = first_run
    assert "cached" not in first.statuses().values()
    place = first.copy(tmp_path / "place")
    done = place.run_anew("train", *TRAIN, "--no-cache")
    assert done.code == 0, done.err
    assert "cached" not in place.statuses().values()
    assert place.latest.name != first.latest.name
    assert (place.latest / "metrics.json").read_bytes() == (first.latest / "metrics.json").read_bytes()
    assert place.record()["model_id"] == first.record()["model_id"]


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(furnished: Path, tmp_path: Path) -> None:
    shutil.copytree(furnished, tmp_path / "place")
    place = Workplace(tmp_path / "place")
    slowly = ("--set", "adaptation.methods=[lora]", "--set", "adaptation.lora.training.epochs=400")
    stopped = place.interrupt("train", *TRAIN, *slowly, at="… adapt_lora")
    assert stopped.code == 130, stopped.err
    assert "Stopped" in stopped.err
    assert "Traceback" not in stopped.err
    assert [path.name for path in place.outputs.iterdir()] == ["data"], "the version of the data, and nothing half"
    done = place.run("train", *TRAIN, "--set", "adaptation.methods=[lora]")
    assert done.code == 0, done.err
    assert "data on the stack" not in done.err, "the version that was published is used"
    assert "embed_images" in set(place.statuses()) - place.ran()
    assert set(statuses_in_mlflow(place).values()) <= {"FINISHED", "FAILED"}, "no run is left open"


def statuses_in_mlflow(place: Workplace) -> dict[str, str]:
    """Name of each recorded run → its status."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{place.workspace}/mlflow.db")
    experiment = client.get_experiment_by_name("clip-har").experiment_id
    return {run.info.run_name: run.info.status for run in client.search_runs([experiment])}


def test_evaluate_measures_a_bundle_on_other_photographs(
    first_run: tuple[Workplace, Finished], furnished: Path, tmp_path: Path
) -> None:
    first, _ = first_run
    shutil.copytree(furnished, tmp_path / "place")
    place = Workplace(tmp_path / "place")
    shutil.copytree(furnished / "photos", tmp_path / "others")
    for path in (tmp_path / "others").rglob("*.jpg"):
        if path.stat().st_size > 100:
            with Image.open(path) as image:
                image.rotate(180).save(path, quality=90)
    bundle = first.latest / "bundle"
    done = place.run("evaluate", *TRAIN, "--set", f"data.path={tmp_path / 'others'}", "--set", f"bundle={bundle}")
    assert done.code == 0, done.err
    assert place.record()["pipeline"] == "evaluate"
    assert place.metrics()["test"]["samples"] > 0
    assert place.record()["model_id"] == json.loads((bundle.parent / "run.json").read_text())["model_id"]
