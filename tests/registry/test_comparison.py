"""Each formula beside a small version of it that shares no code."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from clip_har.models.estimates import reliability
from clip_har.registry.comparison import (
    calibration_error,
    calibration_gain,
    class_changes,
    mcnemar,
    metric_gain,
    metric_value,
    over_labels,
    permutation_p,
    wanted_gains,
)

CLASSES = 3


def answers(seed: int, samples: int, accuracy: float) -> tuple[np.ndarray, np.ndarray]:
    """(labels, predictions that are right with this probability)."""
    generator = np.random.default_rng(seed)
    labels = np.arange(samples) % CLASSES
    wrong = (labels + generator.integers(1, CLASSES, samples)) % CLASSES
    return labels, np.where(generator.random(samples) < accuracy, labels, wrong)


def by_hand(metric: str, predicted: list[int], labels: list[int]) -> float:
    """The metric by counting."""
    pairs = list(zip(predicted, labels, strict=True))
    if metric == "accuracy":
        return sum(p == t for p, t in pairs) / len(pairs)
    scores = []
    for name in sorted(set(labels)):
        right = sum(p == t == name for p, t in pairs)
        found, there = sum(p == name for p, _ in pairs), sum(t == name for _, t in pairs)
        scores.append(2 * right / (found + there) if metric == "macro_f1" else right / there)
    return sum(scores) / len(scores)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 5), (6, 0), (2, 9), (10, 3)])
def test_mcnemar_is_the_share_of_all_coin_tosses_that_fall_as_unevenly(gained: int, lost: int) -> None:
    ours = np.array([True] * gained + [False] * lost + [True, False, True])
    theirs = np.array([False] * gained + [True] * lost + [True, False, True])
    tosses = itertools.product((0, 1), repeat=gained + lost)
    as_uneven = [abs(2 * sum(toss) - gained - lost) >= abs(gained - lost) for toss in tosses]
    found = mcnemar(ours, theirs)
    assert (found.gained, found.lost) == (gained, lost)
    assert found.p == pytest.approx(sum(as_uneven) / len(as_uneven))


def test_wanted_gains_are_the_fewest_that_are_more_than_chance() -> None:
    assert wanted_gains(5, 0.05) is None, "five coins fall alike once in sixteen times"
    assert wanted_gains(6, 0.05) == 6
    for differ in (6, 17, 40):
        wanted = wanted_gains(differ, 0.05)
        ps = {
            count: mcnemar(np.arange(differ) < count, np.arange(differ) >= count).p
            for count in range((differ + 1) // 2, differ + 1)
        }
        assert wanted == min(count for count, p in ps.items() if p < 0.05)


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1"])
def test_the_gain_and_its_interval_are_those_of_a_plain_paired_bootstrap(metric: str) -> None:
    labels, ours = answers(1, 40, 0.8)
    _, theirs = answers(2, 40, 0.6)
    found = metric_gain(metric, ours, theirs, labels, CLASSES, resamples=1500, seed=0)
    assert found.value == pytest.approx(by_hand(metric, ours, labels) - by_hand(metric, theirs, labels))
    generator = np.random.default_rng(99)
    drawn = []
    for _ in range(1500):
        rows = generator.integers(0, 40, 40)
        drawn.append(by_hand(metric, ours[rows], labels[rows]) - by_hand(metric, theirs[rows], labels[rows]))
    assert [found.low, found.high] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.025)
    alone = metric_value(metric, ours, labels, CLASSES, resamples=100, seed=0)
    assert alone.value == pytest.approx(by_hand(metric, ours, labels))
    assert alone.low < alone.value < alone.high


def test_equal_answers_gain_nothing_at_all() -> None:
    labels, ours = answers(1, 40, 0.8)
    found = metric_gain("accuracy", ours, ours, labels, CLASSES, resamples=100, seed=0)
    assert (found.value, found.low, found.high) == (0, 0, 0), "pairs are kept"
    assert permutation_p("macro_f1", ours, ours, labels, CLASSES, resamples=100, seed=0) == 1


def test_the_permutation_test_is_the_share_of_all_swaps_that_differ_as_much() -> None:
    labels, ours = answers(3, 9, 0.9)
    _, theirs = answers(4, 9, 0.4)
    seen = abs(by_hand("macro_f1", ours, labels) - by_hand("macro_f1", theirs, labels))
    as_far = []
    for swaps in itertools.product((False, True), repeat=9):
        first, second = np.where(swaps, theirs, ours), np.where(swaps, ours, theirs)
        as_far.append(abs(by_hand("macro_f1", first, labels) - by_hand("macro_f1", second, labels)) >= seen - 1e-9)
    found = permutation_p("macro_f1", ours, theirs, labels, CLASSES, resamples=4000, seed=0)
    assert found == pytest.approx(sum(as_far) / len(as_far), abs=0.025)


def test_for_accuracy_the_permutation_test_is_mcnemars() -> None:
    labels, ours = answers(5, 120, 0.8)
    _, theirs = answers(6, 120, 0.7)
    found = permutation_p("accuracy", ours, theirs, labels, CLASSES, resamples=4000, seed=0)
    assert found == pytest.approx(mcnemar(ours == labels, theirs == labels).p, abs=0.025)


def test_chance_rarely_promotes_an_equal_model_and_a_better_one_is_seen() -> None:
    def promoted(seed: int, accuracy: float) -> bool:
        labels, ours = answers(1000 + seed, 400, accuracy)
        _, theirs = answers(5000 + seed, 400, 0.6)
        return (found := mcnemar(ours == labels, theirs == labels)).p < 0.05 and found.gained > found.lost

    equal = np.mean([promoted(seed, 0.6) for seed in range(300)])
    better = np.mean([promoted(seed, 0.72) for seed in range(100)])
    assert equal < 0.05, "half of alpha is on the challenger's side"
    assert better > 0.9


def test_a_class_is_lost_only_beyond_margin_and_chance() -> None:
    names = ("large", "small", "tiny", "fine", "absent")
    samples = {"large": 40, "small": 8, "tiny": 3, "fine": 40}
    labels = np.repeat([0, 1, 2, 3], list(samples.values()))
    theirs = np.ones(len(labels), dtype=bool)
    ours = theirs.copy()
    ours[:12] = False  # 30 points of the large class
    ours[40:48] = False  # all of the small one
    ours[48:51] = False  # all of the tiny one: three coins fall alike once in eight times
    ours[51:54] = False  # 7.5 points of the fine one
    rows = {row.label: row for row in class_changes(ours, theirs, labels, names, margin=0.1, alpha=0.01)}
    assert {name: row.lost for name, row in rows.items()} == {
        "large": True,
        "small": True,
        "tiny": False,
        "fine": False,
        "absent": False,
    }
    assert rows["large"].change == pytest.approx(-0.3)
    assert rows["small"].p == pytest.approx(0.5**8)
    assert (rows["absent"].champion, rows["absent"].samples, rows["absent"].change) == (None, 0, 0)
    gained = class_changes(theirs, ours, labels, names, margin=0.1, alpha=0.01)
    assert not any(row.lost for row in gained), "a gain is no loss"


def test_calibration_errors_are_those_of_the_reports() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, 60)
    ours, theirs = generator.dirichlet(np.ones(CLASSES), 60), generator.dirichlet(np.ones(CLASSES) / 4, 60)
    found = calibration_error(ours, labels, resamples=800, seed=0)
    assert found.value == pytest.approx(reliability(ours, labels)["ece"])
    gain = calibration_gain(ours, theirs, labels, resamples=800, seed=0)
    drawn = []
    for _ in range(800):
        rows = generator.integers(0, 60, 60)
        drawn.append(reliability(ours[rows], labels[rows])["ece"] - reliability(theirs[rows], labels[rows])["ece"])
    assert gain.value == pytest.approx(found.value - reliability(theirs, labels)["ece"])
    assert [gain.low, gain.high] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.04)


def test_labels_that_a_model_does_not_know_are_never_its_answer() -> None:
    spread = over_labels(np.array([[0.9, 0.1]]), ("running", "cycling"), ("cycling", "sleeping", "running"))
    assert spread.tolist() == [[0.1, 0, 0.9]]
