"""A candidate's curves are the same whether they are recorded while it trains or taken from its history."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from steps.curves import LiveCurves, points_of, trial_rows

TRAINED = [
    {"step": 0, "epoch": 0, "accuracy": 0.25, "log_loss": 2.0},
    {"step": 5, "epoch": 1, "loss": 1.5, "learning_rate": 0.1, "accuracy": 0.5, "log_loss": 1.0},
]
TRIED = [{"alpha": 1.0, "beta": 2.0, "accuracy": 0.3}, {"alpha": 3.0, "beta": 4.0, "accuracy": 0.4}]
HISTORIES = {
    "training": TRAINED,
    "settings tried": [{"inverse_strength": 0.1, "accuracy": 0.4}, {"inverse_strength": 1.0, "accuracy": 0.6}],
    "several fits": [{"ratio": ratio, **row} for ratio in (0.2, 0.8) for row in TRAINED],
    "tried, trained, tried": TRIED + TRAINED + TRIED,
    "one row": [{"members": 1.0, "accuracy": 0.4}],
    "nothing": [],
}


class Recorder:
    """Points as they were recorded: (key, step) → figures."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, int], list[float]] = {}

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        for key, value in values.items():
            self.points.setdefault((key, step), []).append(value)


def of_history(history: list[dict[str, float]]) -> dict[tuple[str, int], list[float]]:
    """What a publishing step records."""
    recorder = Recorder()
    for point in points_of("lora", history):
        recorder.metrics(point.metrics, point.step)
    return recorder.points


def test_figures_lie_under_the_candidate_at_their_step() -> None:
    points = of_history(TRAINED)
    assert points == {
        ("lora/accuracy", 0): [0.25],
        ("lora/log_loss", 0): [2.0],
        ("lora/accuracy", 5): [0.5],
        ("lora/log_loss", 5): [1.0],
        ("lora/loss", 5): [1.5],
        ("lora/learning_rate", 5): [0.1],
    }


def test_settings_lie_at_their_number_and_apart_from_training() -> None:
    assert of_history(HISTORIES["settings tried"])[("lora/inverse_strength", 1)] == [1.0]
    points = of_history(HISTORIES["tried, trained, tried"])
    assert points[("lora/before training/alpha", 1)] == points[("lora/after training/alpha", 1)] == [3.0]
    assert points[("lora/accuracy", 0)] == [0.25]


def test_each_of_several_fits_has_a_curve() -> None:
    points = of_history(HISTORIES["several fits"])
    assert points[("lora/ratio 0.2/accuracy", 5)] == points[("lora/ratio 0.8/accuracy", 5)] == [0.5]
    assert not any(key.startswith("lora/accuracy") for key, _ in points)


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_no_point_is_recorded_twice(history: list) -> None:
    points = of_history(history)
    assert all(len(values) == 1 for values in points.values())
    wanted = sum(len([key for key in row if key not in ("step", "epoch", "ratio")]) for row in history)
    assert len(points) == wanted


@pytest.mark.parametrize("seen", ["all", "from the second on", "none"])
@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_live_or_afterwards_the_curves_are_the_same(history: list, seen: str) -> None:
    """A resumed fit tells only of its new rows; a method that trains nothing tells of none."""
    recorder = Recorder()
    curves = LiveCurves("lora", recorder)
    rows = [row for row in history if "step" in row]
    for row in {"all": rows, "from the second on": rows[1:], "none": []}[seen]:
        curves.on_validation(row)
    curves.complete(history)
    assert recorder.points == of_history(history)


def test_a_history_that_was_stored_gives_the_same() -> None:
    """Sorted by key, as JSON that people compare has it."""
    for history in HISTORIES.values():
        assert of_history(json.loads(json.dumps(history, sort_keys=True))) == of_history(history)


def test_without_a_tracker_nothing_happens() -> None:
    curves = LiveCurves("lora", None)
    curves.on_validation(TRAINED[0])
    curves.complete(TRAINED)


def test_trials_lie_at_their_number() -> None:
    trials = [
        SimpleNamespace(number=0, figures={"accuracy": 0.5, "log_loss": 1.0}),
        SimpleNamespace(number=1, figures={}),
        SimpleNamespace(number=2, figures={"accuracy": 0.6, "log_loss": 0.9}),
    ]
    assert [(point.step, point.metrics["lora/accuracy"]) for point in points_of("lora", trial_rows(trials))] == [
        (0, 0.5),
        (2, 0.6),
    ]
