"""Accuracy without labels: right where nothing changed, lower where pictures are like nothing known, the confidence's alone without distances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clip_har.monitoring.accuracy import AccuracyEstimator, accuracy_figures
from clip_har.monitoring.checks.comparison import Comparison
from clip_har.monitoring.config import ProfileConfig
from clip_har.monitoring.observations import Observations
from tests.monitoring.observed import observations

REFERENCE = observations(600, 0, spread=1.8)


def compared(window: Observations, reference: Observations = REFERENCE) -> Comparison:
    return Comparison(reference, window, ProfileConfig())


def test_where_nothing_changed_it_is_the_accuracy():
    figures = accuracy_figures(compared(observations(1500, 1, spread=1.8)))
    assert figures.measured.value < 0.9  # else there is little to estimate
    assert figures.estimated.value == pytest.approx(figures.measured.value, abs=0.04)
    assert figures.estimated.low < figures.measured.value < figures.estimated.high
    assert figures.estimated_of_labelled == figures.estimated.value


def test_harder_pictures_are_estimated_lower():
    figures = accuracy_figures(compared(observations(800, 1, spread=2.6, labelled=0.5)))
    assert figures.reference.low > figures.estimated.high
    # this world's confidence is right by itself, so that what the distance takes is too much
    assert figures.measured.value - 0.15 < figures.estimated.value < figures.measured.value + 0.05


def test_without_embeddings_it_is_average_thresholded_confidence():
    window = replace(observations(300, 3, spread=2.2), embeddings=None)
    figures = accuracy_figures(compared(window))
    wrong = int((REFERENCE.truth != REFERENCE.predicted).sum())
    threshold = np.sort(REFERENCE.confidence)[wrong]
    assert figures.estimated.value == pytest.approx(np.mean(window.confidence >= threshold))
    assert "distance" not in figures.method


def far_reference() -> tuple[Observations, np.ndarray]:
    """Pictures that are the likelier wrong the farther they are, whatever the confidence says."""
    generator = np.random.default_rng(0)
    distances = generator.uniform(0, 1, 800)
    confidence = generator.uniform(0.4, 0.95, 800).astype(np.float32)
    right = generator.random(800) < np.clip(confidence - 0.6 * distances + 0.3, 0.02, 0.98)
    predicted = np.zeros(800, np.int64)
    one = replace(observations(800, 0), predicted=predicted, confidence=confidence, truth=np.where(right, 0, 1))
    return one, distances


def test_confident_answers_about_what_is_far_are_not_taken_for_right():
    reference, distances = far_reference()
    estimator = AccuracyEstimator(reference, distances)
    assert "distance" in estimator.method
    confident = np.full(200, 0.9, np.float32)
    near, far = (estimator.right(confident, np.full(200, distance)).mean() for distance in (0.1, 2.0))
    assert (near, far) == (1.0, 0.0)
    assert estimator.right(reference.confidence, distances).mean() == pytest.approx(
        (reference.truth == 0).mean(), abs=1 / len(reference)
    )


@pytest.mark.parametrize("upside_down", ["near pictures are wrong", "doubt is right"])
def test_what_tells_nothing_is_left_out(upside_down):
    reference, distances = far_reference()
    if upside_down == "near pictures are wrong":
        distances = 1 - distances
    else:
        reference = replace(reference, confidence=1 - reference.confidence)
    estimator = AccuracyEstimator(reference, distances)
    assert "distance" not in estimator.method
    assert np.array_equal(
        estimator.right(reference.confidence, distances), AccuracyEstimator(reference).right(reference.confidence)
    )


@pytest.mark.parametrize(("predicted", "found"), [("right", 1.0), ("wrong", 0.0)])
def test_a_reference_without_both_kinds_gives_its_own_accuracy(predicted, found):
    truth = REFERENCE.predicted if predicted == "right" else (REFERENCE.predicted + 1) % len(REFERENCE.labels)
    figures = accuracy_figures(compared(REFERENCE, replace(REFERENCE, truth=truth)))
    assert figures.estimated.value == found


def test_nothing_is_estimated_without_truth_or_pictures():
    assert accuracy_figures(compared(REFERENCE, replace(REFERENCE, truth=None))) is None
    nothing = accuracy_figures(compared(REFERENCE.take(np.zeros(0, int))))
    assert (nothing.estimated, nothing.measured, nothing.labelled) == (None, None, 0)
