"""Trackers may fail; runs go on."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from clip_har.tracking.record import record_run
from clip_har.tracking.tracker import Guarded, flatten


class Recorder:
    """Notes every call; fails at one of them."""

    def __init__(self, fails_at: str = "") -> None:
        self.calls: list[tuple] = []
        self.fails_at = fails_at

    def _note(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments))
        if name == self.fails_at:
            raise ConnectionError("the server is gone")

    def start(self, name: str, params: dict, tags: dict) -> None:
        self._note("start", name, params, tags)

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        self._note("metrics", values, step)

    def artifact(self, path: Path, folder: str = "") -> None:
        self._note("artifact", path, folder)

    def finish(self, succeeded: bool = True) -> None:
        self._note("finish", succeeded)

    def link(self) -> str:
        self._note("link")
        return "http://tracker"


def use(guarded: Guarded) -> str | None:
    guarded.start("run", {"a": 1}, {})
    guarded.metrics({"loss": 1.0}, 1)
    guarded.metrics({"loss": 0.5}, 2)
    guarded.artifact(Path("report.html"), "reports")
    link = guarded.link()
    guarded.finish(False)
    return link


def test_calls_are_handed_on() -> None:
    recorder = Recorder()
    assert use(Guarded(lambda: recorder)) == "http://tracker"
    assert recorder.calls == [
        ("start", "run", {"a": 1}, {}),
        ("metrics", {"loss": 1.0}, 1),
        ("metrics", {"loss": 0.5}, 2),
        ("artifact", Path("report.html"), "reports"),
        ("link",),
        ("finish", False),
    ]


@pytest.mark.parametrize("fails_at", ["start", "metrics", "artifact", "finish", "link"])
def test_a_failure_is_reported_once_and_the_tracker_left_alone(fails_at: str, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(fails_at)
    assert use(Guarded(lambda: recorder)) in ("http://tracker", None)
    assert [name for name, *_ in recorder.calls].count(fails_at) == 1
    assert recorder.calls[-1][0] == fails_at
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.message == "Recorder failed and is dropped for this run (ConnectionError: the server is gone)."


def test_a_tracker_that_cannot_be_made_is_reported_too(caplog: pytest.LogCaptureFixture) -> None:
    def make() -> Recorder:
        raise ImportError("no module named 'wandb'")

    assert use(Guarded(make)) is None
    assert [record.message for record in caplog.records] == [
        "The experiment tracker failed and is dropped for this run (ImportError: no module named 'wandb')."
    ]


def test_no_tracker_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    assert use(Guarded(lambda: None)) is None
    assert not caplog.records


def test_ctrl_c_is_no_tracker_failure() -> None:
    recorder = Recorder()
    recorder.metrics = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        use(Guarded(lambda: recorder))


def test_flatten() -> None:
    nested = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": None, "f": {}}
    assert flatten(nested) == {"a.b": 1, "a.c.d": [1, 2], "e": None, "f": {}}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A published run, as far as recording looks at it."""
    estimate = {"value": 0.75, "low": 0.7, "high": 0.8}
    metrics = {"test": {"accuracy": estimate, "split": "test", "samples": 40}, "data": {"found": 41}}
    record = {
        "run": "train-1",
        "model_id": "abc",
        "method": "lora",
        "data_hash": "d",
        "code_hash": "c",
        "run_id": "r",
        "environment": {"git_revision": None},
    }
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "report.html").write_text("<p>report</p>")
    return tmp_path


SETTINGS = yaml.safe_dump({"seed": 0, "model": {"backbone": "b"}, "adaptation": {"lora": {"training": {"epochs": 2}}}})
HISTORIES = {
    "lora": [
        {"step": 0, "epoch": 0, "accuracy": 0.2, "log_loss": 2.0},
        {"step": 7, "epoch": 1, "loss": 1.5, "accuracy": 0.5, "log_loss": 1.0},
    ],
    "linear_probe": [{"inverse_strength": 0.1, "accuracy": 0.3}, {"inverse_strength": 1.0, "accuracy": 0.4}],
    "zero_shot": [],
}


def test_a_run_is_recorded_whole(published: Path) -> None:
    recorder = Recorder()
    record_run(lambda: recorder, published, SETTINGS, HISTORIES)
    (_, name, params, tags), *rest = recorder.calls
    assert name == "train-1"
    assert params == {"seed": 0, "model.backbone": "b", "adaptation.lora.training.epochs": 2}
    expected = {"model_id": "abc", "method": "lora", "data_hash": "d", "code_hash": "c", "run_id": "r"}
    assert tags == expected | {"git_revision": "None"}
    assert rest == [
        ("metrics", {"lora.accuracy": 0.2, "lora.log_loss": 2.0}, 0),
        ("metrics", {"lora.loss": 1.5, "lora.accuracy": 0.5, "lora.log_loss": 1.0}, 7),
        ("metrics", {"linear_probe.inverse_strength": 0.1, "linear_probe.accuracy": 0.3}, 0),
        ("metrics", {"linear_probe.inverse_strength": 1.0, "linear_probe.accuracy": 0.4}, 1),
        (
            "metrics",
            {
                "test.accuracy": 0.75,
                "test.accuracy.low": 0.7,
                "test.accuracy.high": 0.8,
                "test.samples": 40.0,
                "data.found": 41.0,
            },
            0,
        ),
        *(("artifact", published / file, "") for file in ("report.html", "metrics.json", "run.json")),
        ("finish", True),
    ]


@pytest.mark.parametrize("fails_at", ["start", "metrics", "artifact", "finish"])
def test_recording_never_stops_a_run(published: Path, fails_at: str, caplog: pytest.LogCaptureFixture) -> None:
    record_run(lambda: Recorder(fails_at), published, SETTINGS, HISTORIES)
    assert "Recorder failed and is dropped" in caplog.text
