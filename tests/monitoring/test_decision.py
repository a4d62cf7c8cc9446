"""The decision: what one window, several windows, a fall of the accuracy and a window seen before lead to."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from clip_har.monitoring.config import DecisionConfig
from clip_har.monitoring.decision import MonitoringState, decide
from clip_har.monitoring.report import Decided
from tests.monitoring.reports import accuracy, drift_report


def decided_on(alarms: list[bool], config: DecisionConfig, state: MonitoringState | None = None) -> list[Decided]:
    """The decisions on windows that follow one another."""
    found = []
    for number, alarm in enumerate(alarms):
        one, state = decide(drift_report(f"w{number}", alarm=alarm), state, config)
        found.append(one)
    return found


@pytest.mark.parametrize(
    ("alarms", "states"),
    [
        ("-", "o"),
        ("!", "w"),
        ("!!", "wr"),
        ("!-!", "www"),  # one clean window is not enough, and the count of alarms begins anew
        ("!--!", "wwow"),
        ("!!-!", "wrrr"),
        ("!!--!", "wrrow"),
        ("!-!-!-", "wwwwww"),
        ("--!!--", "oowrro"),
    ],
)
def test_windows_one_after_another(alarms: str, states: str) -> None:
    found = decided_on([mark == "!" for mark in alarms], DecisionConfig())
    assert [one.state[0] for one in found] == list(states)
    assert [one.before for one in found] == [None, *(one.state for one in found[:-1])]
    assert all(one.counted and one.reasons for one in found)


def test_whatever_the_sequence_the_rules_hold() -> None:
    """Random sequences and settings: nothing is asked for that the counts do not bear out, and nothing is forgotten."""
    draw = random.Random(7)
    for _ in range(300):
        config = DecisionConfig(retrain_after=draw.randint(1, 4), clear_after=draw.randint(1, 4))
        rate = draw.random()
        alarms = [draw.random() < rate for _ in range(draw.randint(1, 25))]
        found = decided_on(alarms, config)
        assert found == decided_on(alarms, config), "it is pure"
        for number, (alarm, one) in enumerate(zip(alarms, found, strict=True)):
            assert (one.alarms_in_a_row == 0) is not alarm
            assert (one.clear_in_a_row == 0) is alarm
            counts = max(one.alarms_in_a_row, one.clear_in_a_row)
            assert alarms[number + 1 - counts : number + 1] == [alarm] * counts
            assert one.state != "ok" or not alarm
            if one.alarms_in_a_row >= config.retrain_after:
                assert one.state == "retrain"
            if one.clear_in_a_row >= config.clear_after:
                assert one.state == "ok"
        for before, after in pairwise(found):
            if (before.state, after.state) == ("retrain", "watch"):
                pytest.fail("from retrain there is no way back but to ok")
            if after.state == "retrain" and before.state != "retrain":
                assert after.alarms_in_a_row >= config.retrain_after


def test_a_window_that_was_looked_at_does_not_count_again() -> None:
    config = DecisionConfig(retrain_after=2)
    first, state = decide(drift_report("same", alarm=True), None, config)
    again, unchanged = decide(drift_report("same", alarm=True), state, config)
    assert (first.state, first.counted) == ("watch", True)
    assert (again.state, again.counted, again.alarms_in_a_row) == ("watch", False, 1)
    assert unchanged == state
    assert "looked at before" in again.reasons[0]
    other, _ = decide(drift_report("another", alarm=True), unchanged, config)
    assert other.state == "retrain"


def test_windows_that_share_most_of_their_time_are_one_window() -> None:
    """A schedule shorter than the window does not make two alarms of one."""
    day = "2026-11-{:02}T00:00:00+00:00".format
    config = DecisionConfig(retrain_after=2)
    _, state = decide(drift_report("a", alarm=True, first=day(1), last=day(8)), None, config)
    soon, state = decide(drift_report("b", alarm=True, first=day(2), last=day(9)), state, config)
    assert (soon.state, soon.counted) == ("watch", False)
    assert "86 % of the time" in soon.reasons[0]
    other, _ = decide(drift_report("c", alarm=False, first=day(2), last=day(9)), state, config)
    assert other.counted, "it says something else than the last"
    later, _ = decide(drift_report("d", alarm=True, first=day(5), last=day(12)), state, config)
    assert (later.state, later.counted) == ("retrain", True)


def test_another_model_starts_anew() -> None:
    config = DecisionConfig(retrain_after=2)
    _, state = decide(drift_report("a", alarm=True), None, config)
    other, state = decide(drift_report("a", alarm=True, model_id="n" * 64), state, config)
    assert (other.state, other.before, other.counted) == ("watch", None, True)
    assert (state.model_id, state.windows) == ("n" * 64, 1)


@pytest.mark.parametrize(
    ("figures", "state"),
    [
        (accuracy(0.9, measured=0.7), "retrain"),
        (accuracy(0.9, measured=0.79), "ok"),  # more than 10 points lower, but not beyond the interval
        (accuracy(0.9, measured=0.88), "ok"),
        (accuracy(0.9, estimated=0.7), "retrain"),
        (accuracy(0.9, estimated=0.7, measured=0.9), "ok"),  # what is measured contradicts the estimate
        (accuracy(0.9, estimated=0.7, measured=0.72, half=0.05), "retrain"),
        (accuracy(0.9, estimated=0.95, measured=0.7), "retrain"),
        (accuracy(0.9), "ok"),
    ],
)
def test_a_fall_of_the_accuracy_asks_at_once(figures, state: str) -> None:
    found, after = decide(drift_report(accuracy=figures), None, DecisionConfig(accuracy_drop=0.1))
    assert found.state == after.state == state
    assert ("at once" in found.reasons[0]) is (state == "retrain")


def test_labels_that_came_later_count_for_a_window_that_was_seen() -> None:
    _, state = decide(drift_report("w"), None, DecisionConfig())
    found, after = decide(drift_report("w", accuracy=accuracy(0.9, measured=0.6)), state, DecisionConfig())
    assert (found.state, found.counted, after.windows) == ("retrain", False, 1)


def test_since_when_the_state_is_as_it_is() -> None:
    day = "2026-11-{:02}T00:00:00+00:00".format
    state, since = None, []
    for number, alarm in enumerate([False, False, True, True, True]):
        report = drift_report(f"w{number}", alarm=alarm, first=day(number + 1), last=day(number + 2))
        _, state = decide(report, state, DecisionConfig(retrain_after=2))
        since.append(state.since)
    assert since == [day(2), day(2), day(4), day(5), day(5)]
