"""Figures against scikit-learn's and against hand-made cases; intervals against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy.stats import binom

from clip_har.evaluation.metrics import (
    confusion_matrix,
    difference,
    estimates,
    figures_of_confusion,
    in_top_k,
    per_class,
    precision_recall_curve,
    reliability,
)


def predictions(samples: int, classes: int, *, skill: float = 1.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(probabilities [n, c], labels [n]) of a model that is often right; classes of different sizes."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(classes, samples, p=np.arange(1, classes + 1) / sum(range(1, classes + 1)))
    logits = generator.normal(size=(samples, classes))
    logits[np.arange(samples), labels] += skill
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True), labels


def values(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return {name: found.value for name, found in estimates(probabilities, labels, resamples=100, seed=0).items()}


@pytest.mark.parametrize(("samples", "classes", "skill"), [(300, 6, 1.5), (40, 15, 0.5), (50, 2, 1.0), (12, 3, -9.0)])
def test_figures_as_scikit_learn(samples: int, classes: int, skill: float) -> None:
    probabilities, labels = predictions(samples, classes, skill=skill)
    predicted, present = probabilities.argmax(axis=1), sorted(set(labels.tolist()))
    found = values(probabilities, labels)
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.recall_score(labels, predicted, labels=present, average="macro", zero_division=0),
        "log_loss": sk.log_loss(labels, probabilities, labels=range(classes)),
    }
    for average in ("macro", "weighted"):
        options = {"labels": present, "average": average, "zero_division": 0}
        expected[f"{average}_precision"] = sk.precision_score(labels, predicted, **options)
        expected[f"{average}_recall"] = sk.recall_score(labels, predicted, **options)
        expected[f"{average}_f1"] = sk.f1_score(labels, predicted, **options)
    for k in (3, 5):
        if k < classes:
            expected[f"top{k}_accuracy"] = sk.top_k_accuracy_score(labels, probabilities, k=k, labels=range(classes))
    assert found == pytest.approx(expected, abs=1e-12)


def test_confusion_has_true_classes_in_rows() -> None:
    probabilities, labels = predictions(100, 4)
    predicted = probabilities.argmax(axis=1)
    ours = confusion_matrix(labels, predicted, 5)  # the fifth class occurs nowhere
    np.testing.assert_array_equal(ours, sk.confusion_matrix(labels, predicted, labels=range(5)))
    assert ours.sum(axis=1).tolist() == np.bincount(labels, minlength=5).tolist()


def test_figures_of_many_confusions_at_once() -> None:
    stack = np.random.default_rng(0).integers(0, 9, size=(7, 4, 4))
    together = figures_of_confusion(stack)
    for number, confusion in enumerate(stack):
        for name, value in figures_of_confusion(confusion).items():
            assert together[name][number] == pytest.approx(float(value)), name


def test_ties_in_top_k_are_broken_by_the_class() -> None:
    equal = np.full((4, 4), 0.25)
    assert in_top_k(equal, np.arange(4), 2).tolist() == [1, 1, 0, 0]


def test_intervals_hold_their_value_and_the_seed_decides_them() -> None:
    probabilities, labels = predictions(200, 5)
    first = estimates(probabilities, labels, resamples=500, seed=3)
    assert estimates(probabilities, labels, resamples=500, seed=3) == first
    assert estimates(probabilities, labels, resamples=500, seed=4) != first
    for name, found in first.items():
        assert found.low < found.value < found.high, name
    # 500 is not a multiple of the chunks that resampling is done in
    assert estimates(probabilities, labels, resamples=130, seed=3)["accuracy"] != first["accuracy"]


def test_the_interval_of_accuracy_is_the_binomial_one() -> None:
    probabilities, labels = predictions(500, 4)
    found = estimates(probabilities, labels, resamples=4000, seed=0)["accuracy"]
    low, high = binom.ppf([0.025, 0.975], 500, found.value) / 500
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.004)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Of 400 samples of a model that is right in 70 of 100 cases; a nominal 95 % is 93.9 % exactly at this size."""
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        labels = np.zeros(120, dtype=np.int64)
        right = generator.random(120) < 0.7
        probabilities = np.where(right[:, None], [[0.8, 0.2]], [[0.2, 0.8]])
        found = estimates(probabilities, labels, resamples=200, seed=trial)["accuracy"]
        covered += found.low <= 0.7 <= found.high
    assert binom.ppf(0.001, 400, 0.93) <= covered <= binom.ppf(0.999, 400, 0.96)


def test_the_difference_is_paired() -> None:
    labels = np.zeros(200, dtype=np.int64)
    first = np.array([0] * 100 + [1] * 100)
    second = np.array([0] * 110 + [1] * 90)  # right where the first is, and on ten more
    found = difference(first, second, labels, resamples=2000, seed=0)
    assert found.value == pytest.approx(0.05)
    assert (found.low, found.high) == pytest.approx(tuple(binom.ppf([0.025, 0.975], 200, 0.05) / 200), abs=0.006)
    back = difference(second, first, labels, resamples=2000, seed=0)
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))
    same = difference(first, first, labels, resamples=100, seed=0)
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_a_row_a_class() -> None:
    probabilities, labels = predictions(300, 5)
    labels[labels == 3] = 2  # no photograph of "d"
    names = ("a", "b", "c", "d", "e")
    rows = per_class(probabilities, labels, names)
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predicted, labels=range(5), zero_division=0
    )
    confusion = sk.confusion_matrix(labels, predicted, labels=range(5))
    for index, row in enumerate(rows):
        assert row["label"] == names[index]
        figures = (row["precision"], row["recall"], row["f1"], row["support"])
        assert figures == pytest.approx((precision[index], recall[index], f1[index], support[index]))
        others = [confusion[index, other] if other != index else -1 for other in range(5)]
        if support[index]:
            expected = sk.average_precision_score(labels == index, probabilities[:, index])
            assert row["average_precision"] == pytest.approx(expected)
            assert row["confused_with"] == names[int(np.argmax(others))]
            assert row["confused_times"] == max(others)
        else:
            assert row["confused_with"] is None


def test_a_class_without_mistakes_is_confused_with_nothing() -> None:
    (row, _) = per_class(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]), ("a", "b"))
    assert (row["confused_with"], row["confused_times"], row["f1"], row["average_precision"]) == (None, 0, 1.0, 1.0)


def test_the_precision_recall_curve_by_hand() -> None:
    # by falling score: right, wrong, right, wrong: the best precision is 1 up to recall 1/2, and 2/3 beyond
    scores, positive = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    curve = precision_recall_curve(scores, positive, points=5)
    assert curve["recall"] == [0, 0.25, 0.5, 0.75, 1]
    assert curve["precision"] == pytest.approx([1, 1, 1, 2 / 3, 2 / 3])


def test_a_perfect_class_has_a_curve_along_the_top() -> None:
    positive = np.arange(300) < 70
    curve = precision_recall_curve(positive + np.random.default_rng(0).random(300) / 2, positive)
    assert set(curve["precision"]) == {1.0}


def test_the_area_under_the_curve_is_near_average_precision() -> None:
    probabilities, labels = predictions(2000, 3)
    curve = precision_recall_curve(probabilities[:, 1], labels == 1)
    expected = sk.average_precision_score(labels == 1, probabilities[:, 1])
    assert np.mean(curve["precision"]) == pytest.approx(expected, abs=0.015)


def test_precision_never_rises_with_recall() -> None:
    probabilities, labels = predictions(200, 3)
    curve = precision_recall_curve(probabilities[:, 1], labels == 1)
    assert len(curve["precision"]) == len(curve["recall"]) == 101
    assert all(a >= b - 1e-12 for a, b in zip(curve["precision"], curve["precision"][1:], strict=False))


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.85, 0.85, 0.55])
    right = [True, False, True, True, False]
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0 if hit else 1 for hit in right])
    found = reliability(probabilities, labels)
    # three bins with something in them: |1/2 - 0.95| of 2, |1 - 0.85| of 2, |0 - 0.55| of 1
    assert found["ece"] == pytest.approx((2 * 0.45 + 2 * 0.15 + 1 * 0.55) / 5)
    assert [row["count"] for row in found["bins"]] == [0, 0, 0, 0, 0, 1, 0, 0, 2, 2]
    last = found["bins"][-1]
    assert (last["low"], last["high"], last["confidence"], last["accuracy"]) == pytest.approx((0.9, 1.0, 0.95, 0.5))
    assert found["bins"][0]["accuracy"] is None


def test_full_confidence_is_in_the_last_bin() -> None:
    found = reliability(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 0]))
    assert found["ece"] == 0
    assert found["bins"][-1]["count"] == 2


def test_a_calibrated_model_has_a_small_error() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 20_000)
    labels = (generator.random(20_000) > confidence).astype(np.int64)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    assert reliability(probabilities, labels)["ece"] < 0.012
    sharper = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    assert reliability(sharper, labels)["ece"] > 0.05
