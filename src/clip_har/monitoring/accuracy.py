"""Accuracy of a window: estimated from the confidence where there are no labels, measured where there are."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from clip_har.models.estimates import Estimate
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.report import AccuracyFigures

EstimationMethod = Literal["difference_of_confidences", "average_confidence", "thresholded_confidence"]
METHOD: EstimationMethod = "thresholded_confidence"
"""Over 71 pairs of a model and a shift of real photographs (class mix, darker, blurred, JPEG 10, turned, grey) its mean absolute error was
0.049, that of the mean confidence 0.056, of the difference of confidences 0.060; all are too high by 0.04 to 0.05."""
METHODS: dict[EstimationMethod, str] = {
    "difference_of_confidences": "accuracy on the reference, plus the change of the mean confidence "
    "(difference of confidences, Guillory et al. 2021)",
    "average_confidence": "mean confidence (Hendrycks and Gimpel 2017)",
    "thresholded_confidence": "share of pictures above the confidence that as many of the reference exceed as are right "
    "(average thresholded confidence, Garg et al. 2022)",
}
_Z = 1.959963984540054  # of the 95 % interval


def estimated_by_picture(
    reference: Observations, confidence: np.ndarray, method: EstimationMethod = METHOD
) -> np.ndarray:
    """What the estimate is the mean of, before it is kept within 0 and 1: float64 [n].

    Args:
        reference: with truth.
        confidence: float [n], calibrated, of the pictures that the estimate is for.
    """
    if method == "average_confidence":
        return confidence.astype(np.float64)
    known, right = known_right(reference)
    own = reference.confidence[known].astype(np.float64)
    if method == "difference_of_confidences":
        return confidence + (right.mean() - own.mean())
    wrong = round(float((1 - right.mean()) * len(right)))
    threshold = np.append(np.sort(own), np.inf)[wrong]
    return (confidence >= threshold).astype(np.float64)


def estimated_accuracy(
    reference: Observations, confidence: np.ndarray, method: EstimationMethod = METHOD
) -> Estimate | None:
    """Accuracy without labels; its interval is that of the two samples, and takes the method at its word.

    None without a picture, or without a reference whose truth is known.
    """
    known, right = known_right(reference)
    if not len(right) or not len(confidence):
        return None
    ours = estimated_by_picture(reference, confidence, method)
    theirs = estimated_by_picture(reference, reference.confidence[known], method)
    error = math.hypot(_standard_error(ours), _standard_error(right - theirs))
    value = float(ours.mean())
    low, high = (min(max(value + sign * _Z * error, 0.0), 1.0) for sign in (-1, 1))
    return Estimate(value=min(max(value, 0.0), 1.0), low=low, high=high)


def measured_accuracy(right: int, labelled: int) -> Estimate:
    """Share of right answers with its exact 95 % interval (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, right, labelled - right + 1)) if right else 0.0
    high = float(beta.ppf(0.975, right + 1, labelled - right)) if right < labelled else 1.0
    return Estimate(value=right / labelled, low=low, high=high)


def known_right(observations: Observations) -> tuple[np.ndarray, np.ndarray]:
    """Of the pictures whose truth is known: their rows int [k], and whether the answer is right, float64 [k]."""
    if observations.truth is None:
        return np.zeros(0, np.int64), np.zeros(0)
    known = np.flatnonzero(observations.truth >= 0)
    return known, (observations.truth[known] == observations.predicted[known]).astype(np.float64)


def accuracy_figures(reference: Observations, window: Observations) -> AccuracyFigures | None:
    """Estimated and measured accuracy of a window; None if the reference's own is not known."""
    _, right = known_right(reference)
    if not len(right):
        return None
    rows, found = known_right(window)
    of_labelled = estimated_accuracy(reference, window.confidence[rows])
    estimated = estimated_accuracy(reference, window.confidence)
    return AccuracyFigures(
        reference=measured_accuracy(int(right.sum()), len(right)),
        estimated=estimated,
        method=METHODS[METHOD] if estimated else "",
        measured=measured_accuracy(int(found.sum()), len(found)) if len(found) else None,
        labelled=len(found),
        estimated_of_labelled=of_labelled.value if of_labelled else None,
    )


def _standard_error(values: np.ndarray) -> float:
    return float(values.std()) / math.sqrt(len(values))
