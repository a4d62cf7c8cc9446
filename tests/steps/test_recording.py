"""What a publishing step records of the run that it published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steps import recording

METRICS = {
    "data": {"found": 12, "rejected_by_reason": {"blurred": 1}},
    "test": {
        "split": "test",
        "accuracy": {"value": 0.75, "low": 0.7, "high": 0.8},
        "per_class": {"a.b": {"f1": 0.5}},
        "kept": True,
        "own": None,
    },
    "value": 3,
}
HISTORY = [{"step": 0, "accuracy": 0.1}, {"step": 2, "accuracy": 0.2}]


class Recorder:
    """An outbox that remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))

    def of(self, name: str) -> list[tuple]:
        return [call[1:] for call in self.calls if call[0] == name]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(recording, "pipeline_outbox", lambda: recorder)
    monkeypatch.setattr(recording, "finish_run", lambda: recorder.calls.append(("closed",)))
    return recorder


@pytest.fixture
def published(tmp_path: Path) -> Path:
    steps = [{"name": "adapt_lora", "status": "cached"}, {"name": "adapt_probe", "status": "completed"}]
    record = {"model_id": "m1", "data_hash": "d1", "leaderboard": None, "steps": steps}
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    for name in ("report.html", "card.md"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_figures_have_paths_and_an_estimate_its_own_name() -> None:
    assert recording.figures_of(METRICS) == {
        "data/found": 12.0,
        "data/rejected_by_reason/blurred": 1.0,
        "test/accuracy": 0.75,
        "test/accuracy/low": 0.7,
        "test/accuracy/high": 0.8,
        "test/per_class/a.b/f1": 0.5,
        "value": 3.0,
    }


def test_everything_is_recorded_and_the_run_closed_last(recorder: Recorder, published: Path) -> None:
    rows = [{"name": "a", "accuracy": {"value": 0.5, "low": 0.4}}, {"name": "b", "more": 1}]
    recording.record_published(
        published,
        tables={"board": rows},
        figures=lambda: {"lora/curves": b"png"},
        files=("card.md",),
        model="bundle",
    )
    assert recorder.of("table") == [
        ("board", ["name", "accuracy", "accuracy.low", "more"], [["a", 0.5, 0.4, None], ["b", None, None, 1]])
    ]
    assert recorder.of("figure") == [("lora/curves", b"png")]
    files = [path.name for (path,) in recorder.of("artifact")]
    assert files == ["report.html", "metrics.json", "run.json", "card.md"]
    assert recorder.of("model") == [(published / "bundle", "bundle")]
    assert recorder.of("tags") == [({"model_id": "m1", "data_hash": "d1"},)]
    assert recorder.of("metrics") == [(recording.figures_of(METRICS),)]
    assert recorder.calls[-1] == ("closed",)


def test_curves_of_a_step_from_the_cache_are_recorded_and_those_of_one_that_ran_are_not(
    recorder: Recorder, published: Path
) -> None:
    histories = {"lora": ("adapt_lora", HISTORY), "probe": ("adapt_probe", HISTORY)}
    recording.record_published(published, histories=histories)
    assert recorder.of("metrics")[:-1] == [({"lora/accuracy": 0.1}, 0), ({"lora/accuracy": 0.2}, 2)]


def test_without_a_tracker_nothing_is_read_or_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(recording, "pipeline_outbox", lambda: None)
    recording.record_published(tmp_path / "nothing", figures=lambda: pytest.fail("drawn"))
