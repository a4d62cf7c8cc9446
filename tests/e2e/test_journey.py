"""The one end-to-end test of the design: data → train → evaluate → export → promote → serve → capture → monitor, and batch, on real
photographs where they are present.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from PIL import Image, ImageEnhance

from clip_har.capture import CaptureStore
from clip_har.inference.predictor import Predictor
from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry
from tests.command import PROJECT, Workplace
from tests.serving.engines import Served, serving_process

pytestmark = pytest.mark.slow

HAR_LOCAL = str(PROJECT / "configs" / "har_local.yaml")


def _assert_self_contained(report: Path) -> None:
    html = report.read_text()
    for reference in re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", html):
        own = reference.startswith(("data:", "#"))
        assert own or (report.parent / reference).is_file(), reference  # another page of the run
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


def _model_id(run: Path) -> str:
    return json.loads((run / "run.json").read_text())["model_id"]


def _assert_champion(place: Workplace, trained: Path) -> None:
    """The first version that keeps to the bounds is the champion, and MLflow shows it."""
    import mlflow

    assert place.metrics()["promotion"]["outcome"] == "promoted"
    assert Registry.of(place.workspace).champion().model_id == _model_id(trained)
    shown = mlflow.MlflowClient(f"sqlite:///{place.workspace / 'mlflow.db'}")
    assert shown.get_model_version_by_alias("clip-har", "champion").tags["model_id"] == _model_id(trained)
    _assert_self_contained(place.latest / "promotion.html")


def _assert_tracked(place: Workplace, method: str) -> None:
    """The run that was just published is in MLflow, with a trained method's curve."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{place.workspace / 'mlflow.db'}")
    (run,) = client.search_runs(
        [client.get_experiment_by_name("clip-har").experiment_id], f"run_name = '{place.record()['run']}'"
    )
    assert run.info.status == "FINISHED"
    steps = [point.step for point in client.get_metric_history(run.info.run_id, f"{method}/loss")]
    assert steps == sorted(set(steps))
    assert steps
    test = place.metrics()["test"]["accuracy"]["value"]
    assert run.data.metrics["test/accuracy"] == pytest.approx(test)


def _assert_served(place: Workplace, photographs: list[Path]) -> None:
    """The champion answers over REST and gRPC as the Predictor does; what was seen and told is captured."""
    champion = Registry.of(place.workspace).champion()
    expected = Predictor.load(champion, runtime="onnx", device="cpu").predict(photographs)
    with serving_process(None, place.folder / "service", workspace=place.workspace) as served:
        answered = _asked_over_rest(served, photographs)
        assert {answer["model_id"] for answer, _ in answered} == {champion.model_id}
        for (_, result), one in zip(answered, expected, strict=True):
            assert [entry["label"] for entry in result["labels"]] == list(one.labels)
            assert [entry["score"] for entry in result["labels"]] == pytest.approx(one.scores, abs=1e-5)
        over_grpc = _asked_over_grpc(served, photographs[0])
        assert [score.score for score in over_grpc.labels] == pytest.approx(expected[0].scores, abs=1e-5)
        told = answered[0][1]["prediction_id"]
        done = httpx.post(f"{served.rest_url}/v1/feedback", json={"prediction_id": told, "label": champion.labels[0]})
        assert done.status_code == 200, done.text
    table = CaptureStore(place.workspace / "capture").with_feedback().to_pylist()
    assert {row["id"] for row in table} == {result["prediction_id"] for _, result in answered} | {
        over_grpc.prediction_id
    }
    assert [row["feedback_label"] for row in table if row["id"] == told] == [champion.labels[0]]


def _asked_over_rest(served: Served, photographs: list[Path]) -> list[tuple[dict, dict]]:
    """(answer, its one result) for each photograph."""
    with httpx.Client(base_url=served.rest_url, timeout=30) as client:
        found = [client.post("/v1/predict", files={"images": path.read_bytes()}).json() for path in photographs]
    return [(answer, answer["results"][0]) for answer in found]


def _asked_over_grpc(served: Served, photograph: Path) -> Any:
    from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1
    from clip_har.serving.schemas.rpc.action_recognition_pb2_grpc import ActionRecognitionStub

    with grpc.insecure_channel(served.grpc_target) as channel:
        request = v1.PredictRequest(images=[v1.Image(content=photograph.read_bytes())])
        return ActionRecognitionStub(channel).Predict(request, timeout=30).results[0]


def _assert_monitored(place: Workplace, photographs: list[Path], *settings: str) -> None:
    """When the service has seen darker pictures than the model knows, `monitor` says that they are darker."""
    since = datetime.now(UTC).isoformat()
    with (
        serving_process(None, place.folder / "service", workspace=place.workspace) as served,
        httpx.Client(base_url=served.rest_url, timeout=60) as client,
    ):
        for start in range(0, len(photographs), 16):
            images = [("images", _darkened(path)) for path in photographs[start : start + 16]]
            assert client.post("/v1/predict", files=images).status_code == 200
    window = (
        "--set",
        f"monitor.since={since}",
        "--set",
        "monitor.retrain=never",
        "--set",
        "monitor.alert.exit_on=never",
    )
    done = place.run("monitor", *settings, *window)
    assert done.code == 0, done.err
    report = json.loads((place.latest / "drift_report.json").read_text())
    assert report["window"]["pictures"] == len(photographs)
    assert report["model_id"] == Registry.of(place.workspace).champion().model_id
    assert report["cause"] == "brightness", report["said"]
    assert report["decided"]["state"] in ("watch", "retrain")
    _assert_self_contained(place.latest / "report.html")
    assert (place.latest / "evidently.html").is_file()
    assert json.loads((place.workspace / "reports" / "drift.json").read_text()) == report


def _darkened(path: Path) -> bytes:
    stream = io.BytesIO()
    with Image.open(path) as image:
        ImageEnhance.Brightness(image.convert("RGB")).enhance(0.25).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def _some(paths: Iterable[Path]) -> list[Path]:
    """A few dozen of them, over all classes, without those that are broken on purpose."""
    found = sorted(paths)
    return [path for path in found[:: max(1, len(found) // 66)] if _is_whole(path)][:64]


def _is_whole(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            image.load()
    except OSError:
        return False
    return True


def _assert_table(place: Workplace, folder: Path, *settings: str) -> None:
    """`batch` gives a row for every photograph, answered by the champion."""
    import pyarrow.parquet as pq

    done = place.run("batch", *settings, "--set", f"batch.source={folder}")
    assert done.code == 0, done.err
    table = pq.read_table(place.latest / "predictions.parquet")
    assert table.num_rows == sum(path.is_file() for path in folder.rglob("*"))
    assert place.record()["model_id"] == Registry.of(place.workspace).champion().model_id
    _assert_self_contained(place.latest / "report.html")


def test_the_drawn_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default configuration, smaller; then what the tutorial does with the bundle."""
    place = Workplace(tmp_path)
    smaller = ("--set", "data.per_class=24", "--set", "adaptation.lora.training.max_steps=10")
    done = place.run_anew("train", *smaller)
    assert done.code == 0, done.err
    metrics = place.metrics()
    assert {"zero_shot", "linear_probe", "lora"} < set(metrics["validation"])
    _assert_tracked(place, "lora")
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
    _assert_champion(place, trained)
    done = place.run(
        "evaluate", *smaller, "--set", "bundle=champion", "--set", "data.seed=1", "--set", "data.nuisances.light=0.7"
    )
    assert done.code == 0, done.err
    assert place.record()["pipeline"] == "evaluate"
    assert place.record()["model_id"] == _model_id(trained)
    drawings = sorted((place.workspace / "samples").rglob("*.jpg"))[:6]
    _assert_served(place, drawings)
    _assert_monitored(place, _some((place.workspace / "samples").rglob("*.jpg")), *smaller)
    done = place.run("rollback", *smaller)
    assert (done.code, done.out) == (2, ""), done.err
    assert "There is nothing to go back to" in done.said
    done = place.run("publish", *smaller, "--set", "hub.repository=someone/actions", "--set", "hub.dry_run=true")
    assert done.code == 0, done.err
    assert ModelBundle.load(place.latest / "would_send").model_id == _model_id(trained)
    assert "model-index" in (place.latest / "would_send" / "README.md").read_text()


def test_real_photographs(few_har_photographs: Path, har_dual_encoder: Path, tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    settings = ("--set", f"data.path={few_har_photographs}", "--set", f"model.backbone={har_dual_encoder}")
    quick = ("--set", "adaptation.lora.training.max_steps=40")
    done = place.run_anew("train", "--config", HAR_LOCAL, *settings, *quick)
    assert done.code == 0, done.err
    metrics = place.metrics()
    validation, test = metrics["validation"], metrics["test"]
    for method in ("zero_shot_single", "zero_shot", "linear_probe", "lora"):
        # 15 classes: chance is 6.7 %; the backbone was aligned on other photographs of 12 of them
        assert validation[method]["accuracy"]["low"] > 0.25
    assert test["accuracy"]["low"] > 0.25
    assert test["samples"] == place.metrics()["test"]["samples"] > 60
    _assert_self_contained(place.latest / "report.html")

    bundle = place.latest / "bundle"
    photographs = sorted((few_har_photographs / "train").iterdir())[:8]
    predictor = Predictor.load(bundle)
    together, alone = predictor.predict(photographs), [predictor.predict([path])[0] for path in photographs]
    for one, other in zip(together, alone, strict=True):
        assert one.labels == other.labels
        assert one.scores == pytest.approx(other.scores, abs=1e-5)

    trained = place.latest
    less = ("--set", "export.encoders=[image]", "--set", "serving.bento.enabled=false")
    done = place.run("deploy", "--config", HAR_LOCAL, *settings, *less)
    assert done.code == 0, done.err
    _assert_champion(place, trained)
    _assert_exported(place, trained, ("fp32", "fp16"))  # whether int8 passes is for the gate to say
    for runtime in ("onnx", "auto"):
        answers = Predictor.load(place.latest / "bundle", runtime=runtime, device="cpu").predict(photographs)
        assert [one.label for one in answers] == [one.label for one in together] or runtime == "auto"

    _assert_served(place, photographs)
    (tmp_path / "some").mkdir()
    for path in photographs:
        (tmp_path / "some" / path.name).symlink_to(path)
    _assert_table(place, tmp_path / "some", "--config", HAR_LOCAL, *settings)
    _assert_monitored(place, _some((few_har_photographs / "train").iterdir()), "--config", HAR_LOCAL, *settings)
    done = place.run("evaluate", "--config", HAR_LOCAL, *settings, "--set", "evaluation.split=validation")
    assert done.code == 0, done.err
    again = place.metrics()["validation"]
    assert again["accuracy"]["value"] == validation[validation["winner"]]["accuracy"]["value"]
    assert json.loads((place.latest / "run.json").read_text())["pipeline"] == "evaluate"
