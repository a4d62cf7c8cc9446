"""MLflow on SQLite, read back with its own client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clip_har.tracking.mlflow import MlflowTracker
from clip_har.tracking.record import record_run

pytestmark = pytest.mark.slow  # importing MLflow and making its tables takes some seconds


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


def runs(uri: str, experiment: str) -> list:
    import mlflow

    client = mlflow.MlflowClient(uri)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def test_a_run_is_recorded_and_read_back(uri: str, tmp_path: Path) -> None:
    import mlflow

    (tmp_path / "metrics.json").write_text(json.dumps({"test": {"accuracy": {"value": 0.75, "low": 0.7, "high": 0.8}}}))
    (tmp_path / "run.json").write_text(
        json.dumps({"run": "train-1", "model_id": "abc", "environment": {"git_revision": "f00"}})
    )
    (tmp_path / "report.html").write_text("<p>report</p>")
    history = [{"step": step, "epoch": step, "accuracy": step / 10, "log_loss": 1.0} for step in (0, 5, 9)]
    record_run(
        lambda: MlflowTracker(uri, "whole"),
        tmp_path,
        "seed: 3\nmodel: {backbone: b, revision: null}\n",
        {"lora": history},
    )
    (run,) = runs(uri, "whole")
    assert run.info.run_name == "train-1"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "3", "model.backbone": "b", "model.revision": "None"}
    assert (run.data.tags["model_id"], run.data.tags["git_revision"]) == ("abc", "f00")
    assert run.data.metrics["test.accuracy"] == 0.75
    client = mlflow.MlflowClient(uri)
    curve = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "lora.accuracy")]
    assert curve == [(0, 0.0), (5, 0.5), (9, 0.9)]
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"report.html", "metrics.json", "run.json"}
    copy = client.download_artifacts(run.info.run_id, "report.html", str(tmp_path))
    assert Path(copy).read_text() == "<p>report</p>"


def test_artifacts_lie_beside_the_database(uri: str) -> None:
    tracker = MlflowTracker(uri, "places")
    tracker.start("a", {}, {})
    (run,) = runs(uri, "places")
    place = Path(uri.removeprefix("sqlite:///")).parent
    assert run.info.artifact_uri.startswith(place.as_uri())
    assert str(uri) in tracker.link()


def test_a_failed_run_says_so_and_a_second_shares_the_experiment(uri: str) -> None:
    for succeeded in (True, False):
        tracker = MlflowTracker(uri, "twice")
        tracker.start(f"run {succeeded}", {}, {})
        tracker.finish(succeeded)
    assert {run.info.run_name: run.info.status for run in runs(uri, "twice")} == {
        "run True": "FINISHED",
        "run False": "FAILED",
    }


def test_more_than_one_request_holds(uri: str) -> None:
    """MLflow takes 100 parameters and 1,000 metrics at a time."""
    tracker = MlflowTracker(uri, "large")
    tracker.start("large", {f"section.key{number}": "x" * 9000 for number in range(230)}, {})
    tracker.metrics({f"metric{number}": float(number) for number in range(1300)})
    tracker.finish()
    (run,) = runs(uri, "large")
    assert len(run.data.params) == 230
    assert set(map(len, run.data.params.values())) == {500}
    assert run.data.metrics == {f"metric{number}": float(number) for number in range(1300)}


def test_names_of_any_label_are_recorded(uri: str) -> None:
    tracker = MlflowTracker(uri, "names")
    tracker.start("names", {"prompts.class_names.rock'n'roll (live)": "a"}, {})
    tracker.metrics({"test.per_class.rock'n'roll (live).f1": 0.5, "test.per_class.使う.f1": 0.25})
    tracker.finish()
    (run,) = runs(uri, "names")
    assert list(run.data.params.values()) == ["a"]
    assert sorted(run.data.metrics.values()) == [0.25, 0.5]
    assert "test.per_class.rock_n_roll _live_.f1" in run.data.metrics
