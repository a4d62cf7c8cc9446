"""A search's trials as runs inside the search's run."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from clip_har.tracking.mlflow import MlflowTracker
from clip_har.tracking.trials import record_trials
from tests.tracking.test_tracker import Recorder

PARAMS = {"candidate": "lora", "fields": {"rank": {"choices": [2, 4]}}}


@pytest.mark.slow
def test_trials_are_nested_in_mlflow(tmp_path: Path) -> None:
    import mlflow

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with record_trials(lambda: MlflowTracker(uri, "nested"), "run search_lora", PARAMS, {"search": "abc"}) as record:
        record(0, {"rank": 2, "towers": ["image"]}, {"accuracy": 0.5, "log_loss": 1.5}, "complete")
        record(1, {"rank": 4, "towers": ["text"]}, {}, "failed")
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("nested").experiment_id])
    named = {run.info.run_name: run for run in runs}
    parent = named.pop("run search_lora")
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"candidate": "lora", "fields.rank.choices": "[2, 4]"}
    assert [point.step for point in client.get_metric_history(parent.info.run_id, "accuracy")] == [0]
    assert "mlflow.parentRunId" not in parent.data.tags
    assert {run.data.tags["mlflow.parentRunId"] for run in named.values()} == {parent.info.run_id}
    first, second = named["run search_lora trial 0"], named["run search_lora trial 1"]
    assert first.data.params == {"rank": "2", "towers": "['image']"}
    assert first.data.metrics == {"accuracy": 0.5, "log_loss": 1.5}
    assert (first.info.status, first.data.tags["state"]) == ("FINISHED", "complete")
    assert (second.info.status, second.data.tags["state"]) == ("FAILED", "failed")
    assert first.data.tags["search"] == "abc"


def test_a_search_that_ends_badly_is_recorded_so() -> None:
    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt), record_trials(lambda: recorder, "s", {}, {}):
        raise KeyboardInterrupt
    assert recorder.calls[-1] == ("finish", False)


@pytest.mark.parametrize("fails_at", ["start", "metrics", "finish"])
def test_a_tracker_that_fails_stops_no_search(fails_at: str, caplog: pytest.LogCaptureFixture) -> None:
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder(fails_at))
        return made[-1]

    with record_trials(make, "s", {}, {}) as record:
        for number in range(3):
            record(number, {"rank": 2}, {"accuracy": 0.5}, "complete")
    warnings = [entry for entry in caplog.records if entry.levelno == logging.WARNING]
    assert warnings
    assert made[0].calls.count(("finish", True)) == (fails_at == "finish")
    if fails_at == "start":  # of the search's run: its trials are not tried
        assert len(made) == 1


def test_without_a_tracker_nothing_is_recorded() -> None:
    with record_trials(lambda: None, "s", {}, {}) as record:
        record(0, {}, {"accuracy": 0.5}, "complete")
