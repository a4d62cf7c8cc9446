"""The history: nothing is lost or counted twice, whoever is killed when, and however many run at once."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from clip_har.monitoring import history as module
from clip_har.monitoring.config import DecisionConfig
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.history import History, Retraining
from clip_har.monitoring.report import DriftReport
from tests.monitoring.reports import drift_report

CONFIG = DecisionConfig(retrain_after=2)


def test_a_run_is_written_down_and_the_next_goes_on_from_it(tmp_path: Path) -> None:
    history = History(tmp_path)
    assert (history.rows(), history.state("m" * 64)) == ([], None)
    assert not (tmp_path / "monitoring").exists(), "looking makes nothing"
    first = history.decide("run-1", drift_report("a", alarm=True), CONFIG)
    second = History(tmp_path).decide("run-2", drift_report("b", alarm=True), CONFIG)
    assert [one.decided.state for one in (first, second)] == ["watch", "retrain"]
    assert second.decided.before == "watch"
    rows = history.rows()
    assert [(row.run, row.number, row.report.decided.state) for row in rows] == [
        ("run-1", 1, "watch"),
        ("run-2", 2, "retrain"),
    ]
    assert [row.run for row in history.rows(most=1)] == ["run-2"]
    assert history.rows(model_id="another") == []
    assert second.farthest[0].picture
    assert rows[1].report.farthest[0].picture == "", "pictures are not kept"


def test_a_row_is_the_report_as_json(tmp_path: Path) -> None:
    """What the app and the gauges read: the report's own keys, and the run's beside them."""
    History(tmp_path).decide("run-1", drift_report(alarm=True), CONFIG)
    row = json.loads((tmp_path / "monitoring" / "history" / "run-1.json").read_text())
    assert {"run", "number", "time", "retraining", "state_after"} < set(row)
    assert set(DriftReport.model_fields) < set(row)
    assert row["decided"]["state"] == "watch"


def test_the_same_run_decides_once(tmp_path: Path) -> None:
    history = History(tmp_path)
    first = history.decide("run-1", drift_report("a", alarm=True), CONFIG)
    again = history.decide("run-1", drift_report("a", alarm=True), CONFIG)
    assert again.decided == first.decided
    assert len(history.rows()) == 1


@pytest.mark.parametrize("at", ["row", "state"])
def test_killed_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Killed before the row is in its place, the window never counted; killed after it, it counts, once."""
    history = History(tmp_path)
    history.decide("run-1", drift_report("a", alarm=True), CONFIG)
    write = module.write_json

    def killed(target: Path, value: object) -> None:
        if (target.name == "state.json") == (at == "state"):
            raise SystemExit
        write(target, value)

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_json", killed)
        with pytest.raises(SystemExit):
            history.decide("run-2", drift_report("b", alarm=True), CONFIG)
    expected = 1 if at == "row" else 2
    assert history.state("m" * 64).alarms_in_a_row == expected
    again = history.decide("run-3", drift_report("b", alarm=True), CONFIG)
    assert (again.decided.state, again.decided.alarms_in_a_row) == ("retrain", 2)
    assert [row.number for row in history.rows()] == list(range(1, expected + 2))


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.decide("run-1", drift_report("a"), CONFIG)
    left = tmp_path / "monitoring" / "history" / ".run-2.json.1.abc.partial"
    left.write_text("{")
    assert len(history.rows()) == 1
    history.decide("run-3", drift_report("b"), CONFIG)
    assert not left.exists()


def _decide(workspace: Path, number: int) -> None:
    for part in range(5):
        History(workspace).decide(f"run-{number}-{part}", drift_report(f"w{number}-{part}", alarm=True), CONFIG)


def test_several_at_once(tmp_path: Path) -> None:
    processes = [multiprocessing.get_context("fork").Process(target=_decide, args=(tmp_path, n)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    rows = History(tmp_path).rows()
    assert [row.number for row in rows] == list(range(1, 21))
    assert [row.state_after.alarms_in_a_row for row in rows] == list(range(1, 21))


def test_only_the_latest_are_kept(tmp_path: Path) -> None:
    history = History(tmp_path)
    for number in range(6):
        history.decide(f"run-{number}", drift_report(f"w{number}", alarm=True), DecisionConfig(history=3))
    assert [row.run for row in history.rows()] == ["run-3", "run-4", "run-5"]
    assert history.state("m" * 64).alarms_in_a_row == 6, "counts do not hang on what was pruned"


def test_states_of_several_models(tmp_path: Path) -> None:
    """Two models that are monitored in turn do not begin anew each time."""
    history = History(tmp_path)
    for number in range(4):
        model = "ab"[number % 2] * 64
        decided = history.decide(f"run-{number}", drift_report(f"w{number}", alarm=True, model_id=model), CONFIG)
    assert (decided.decided.state, decided.decided.alarms_in_a_row) == ("retrain", 2)


def test_what_came_of_training_again(tmp_path: Path) -> None:
    """It is in the row; the model that was replaced starts anew, should it come back."""
    history = History(tmp_path)
    history.decide("run-1", drift_report("a", alarm=True), CONFIG)
    kept = Retraining(outcome="kept", said=("It is not better.",), model_before="m" * 64, model="n" * 64)
    history.retrained("run-1", kept)
    assert history.rows()[0].retraining == kept
    assert history.state("m" * 64).alarms_in_a_row == 1
    history.retrained("run-1", kept.model_copy(update={"outcome": "promoted"}))
    assert history.state("m" * 64) is None
    assert history.decide("run-2", drift_report("b", alarm=True), CONFIG).decided.before is None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.decide("run-1", drift_report("a", alarm=True), CONFIG)
    state = tmp_path / "monitoring" / "state.json"
    state.write_text("[]")
    with pytest.raises(MonitoringError, match=r"state\.json cannot be read"):
        history.decide("run-2", drift_report("b"), CONFIG)
    state.unlink()
    assert history.state("m" * 64).alarms_in_a_row == 1, "made again from the rows"
