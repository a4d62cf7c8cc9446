"""MLflow on SQLite, read back with its own client; and a server that dies, over HTTP."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from clip_har.tracking.mlflow import MlflowTracker, _impatient
from clip_har.tracking.tracker import RunIdentity

pytestmark = pytest.mark.slow  # importing MLflow and making its tables takes some seconds


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


def started(uri: str, experiment: str, run: RunIdentity | None = None) -> MlflowTracker:
    tracker = MlflowTracker(uri, experiment)
    tracker.start(run or RunIdentity.of(experiment))
    return tracker


def runs(uri: str, experiment: str) -> list:
    import mlflow

    client = mlflow.MlflowClient(uri)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def test_artifacts_lie_beside_the_database(uri: str) -> None:
    tracker = started(uri, "places")
    (run,) = runs(uri, "places")
    place = Path(uri.removeprefix("sqlite:///")).parent
    assert run.info.artifact_uri.startswith(place.as_uri())
    assert str(uri) in tracker.link()


def test_a_failed_run_says_so_and_a_second_shares_the_experiment(uri: str) -> None:
    for succeeded in (True, False):
        started(uri, "twice", RunIdentity.of(f"run {succeeded}")).finish(succeeded)
    assert {run.info.run_name: run.info.status for run in runs(uri, "twice")} == {
        "run True": "FINISHED",
        "run False": "FAILED",
    }


def test_another_process_finds_the_run_again_and_twice_changes_nothing(uri: str) -> None:
    import mlflow

    identity = RunIdentity.of("again")
    for value in (1, 2):
        tracker = started(uri, "again", identity)
        tracker.params({"seed": value, f"only_{value}": value})
        tracker.tags({"state": str(value)})
        tracker.metrics({"loss": 0.5}, 3, 1000.25)
        tracker.many_metrics([({"loss": 0.5}, 3, 1000.25), ({"loss": 0.25, "a": float("nan")}, 4, 1001.0)])
        tracker.table("t", ["a"], [[1]])
    tracker.finish()
    (run,) = runs(uri, "again")
    assert run.data.params == {"seed": "1", "only_1": "1", "only_2": "2"}  # the first value stays
    assert run.data.tags["state"] == "2"
    assert run.data.tags["mlflow.loggedArtifacts"] == '[{"path": "tables/t.json", "type": "table"}]'
    points = mlflow.MlflowClient(uri).get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value, point.timestamp) for point in points] == [(3, 0.5, 1000250), (4, 0.25, 1001000)]
    assert run.data.metrics["a"] != run.data.metrics["a"]


def test_a_trial_lies_in_its_run(uri: str) -> None:
    parent = RunIdentity.of("nested")
    started(uri, "nested", parent)
    started(uri, "nested", parent.inner("trial 0", {"state": "complete"}))
    named = {run.info.run_name: run for run in runs(uri, "nested")}
    assert named["nested trial 0"].data.tags["mlflow.parentRunId"] == named["nested"].info.run_id
    assert "mlflow.parentRunId" not in named["nested"].data.tags


def test_more_than_one_request_holds(uri: str) -> None:
    """MLflow takes 100 parameters and 1,000 metrics at a time."""
    tracker = started(uri, "large")
    tracker.params({f"section.key{number}": "x" * 6000 for number in range(230)})
    tracker.metrics({f"metric{number}": float(number) for number in range(1300)}, 0, time.time())
    tracker.finish()
    (run,) = runs(uri, "large")
    assert len(run.data.params) == 230
    assert set(map(len, run.data.params.values())) == {6000}
    assert run.data.metrics == {f"metric{number}": float(number) for number in range(1300)}


def test_a_dead_server_is_given_up_soon_and_the_environment_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # a port at which nobody answers
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        tracker = MlflowTracker(f"http://127.0.0.1:{port}")
        before = dict(os.environ)
        begun = time.monotonic()
        with pytest.raises(Exception, match=r"Max retries|refused"):
            tracker.start(RunIdentity.of("a"))
        assert time.monotonic() - begun < 20
    assert dict(os.environ) == before
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
    with _impatient(), _impatient():
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "9"
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "20"
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "9"


def test_a_link_tells_no_password() -> None:
    assert MlflowTracker("https://me:secret@host:5000/path/").link() == "https://host:5000/path"
