"""Accuracy of a window: estimated from the confidence where there are no labels, measured where there are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from clip_har.models.estimates import Estimate
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.report import AccuracyFigures

if TYPE_CHECKING:
    from clip_har.monitoring.checks.comparison import Comparison

_Z = 1.959963984540054  # of the 95 % interval
_METHOD = "share of pictures above the {what} that as many of the reference exceed as are right (average thresholded confidence, Garg et al. 2022)"


class AccuracyEstimator:
    """Accuracy of pictures without labels, from what is right in the reference.

    Average thresholded confidence, Garg et al. 2022, "Leveraging Unlabeled Data to Predict Out-of-Distribution Performance". A model
    is confident of much that is like nothing it knows, so the confidence is put beside the distance to the nearest reference
    pictures: a logistic regression of what is right there on both gives the score. Where distances are not known, or do not tell what is
    wrong, it is the confidence alone.

    Args:
        reference: with truth.
        distances: float [m], of its pictures to their nearest others; None if there are no embeddings.
    """

    def __init__(self, reference: Observations, distances: np.ndarray | None = None) -> None:
        known, right = known_right(reference)
        own = None if distances is None else distances[known]
        self._weights = None if own is None else _weights(reference.confidence[known], own, right)
        scores = np.sort(self._scores(reference.confidence[known], own))
        self._threshold = np.append(scores, np.inf)[round(float((1 - right.mean()) * len(right)))]

    @property
    def method(self) -> str:
        """In words."""
        return _METHOD.format(
            what="confidence" if self._weights is None else "confidence, less what the distance takes,"
        )

    def right(self, confidence: np.ndarray, distances: np.ndarray | None = None) -> np.ndarray:
        """What the estimate is the mean of: float64 [n], 1 where the answer is taken for right.

        Args:
            confidence: float [n], calibrated.
            distances: float [n] to the nearest reference pictures, where the reference's are known.
        """
        return (self._scores(confidence, distances) >= self._threshold).astype(np.float64)

    def _scores(self, confidence: np.ndarray, distances: np.ndarray | None) -> np.ndarray:
        if self._weights is None:
            return confidence.astype(np.float64)
        assert distances is not None
        return _log_odds(confidence) * self._weights[0] + distances * self._weights[1]


def _weights(confidence: np.ndarray, distances: np.ndarray, right: np.ndarray) -> tuple[float, float] | None:
    """Of the confidence's log odds and of the distance; None if the regression gives one of them the wrong sign."""
    if len(np.unique(right)) < 2:
        return None
    from sklearn.linear_model import LogisticRegression

    features = np.stack([_log_odds(confidence), distances.astype(np.float64)], axis=1)
    scale = np.maximum(features.std(axis=0), 1e-12)
    confident, far = LogisticRegression().fit(features / scale, right).coef_[0] / scale
    return (float(confident), float(far)) if confident > 0 > far else None


def _log_odds(confidence: np.ndarray) -> np.ndarray:
    kept = np.clip(confidence.astype(np.float64), 1e-4, 1 - 1e-4)
    return np.log(kept / (1 - kept))


def estimated_accuracy(found: np.ndarray, of_reference: np.ndarray, right: np.ndarray) -> Estimate | None:
    """Accuracy without labels; its interval is that of the two samples, and takes the method at its word.

    Args:
        found: float [n], what the estimator takes for right in the window.
        of_reference, right: float [k], the same of the reference, and what is right there.
    """
    if not len(found):
        return None
    error = math.hypot(_standard_error(found), _standard_error(right - of_reference))
    value = float(found.mean())
    low, high = (min(max(value + sign * _Z * error, 0.0), 1.0) for sign in (-1, 1))
    return Estimate(value=value, low=low, high=high)


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


def accuracy_figures(comparison: Comparison) -> AccuracyFigures | None:
    """Estimated and measured accuracy of a window; None if the reference's own is not known."""
    estimator = comparison.accuracy_estimator
    if estimator is None:
        return None
    known, right = known_right(comparison.reference)
    rows, found = known_right(comparison.window)
    of_reference, of_window = comparison.taken_for_right
    of_labelled = of_window[rows]
    estimated = estimated_accuracy(of_window, of_reference[known], right)
    return AccuracyFigures(
        reference=measured_accuracy(int(right.sum()), len(right)),
        estimated=estimated,
        method=estimator.method if estimated else "",
        measured=measured_accuracy(int(found.sum()), len(found)) if len(found) else None,
        labelled=len(found),
        estimated_of_labelled=float(of_labelled.mean()) if len(rows) else None,
    )


def _standard_error(values: np.ndarray) -> float:
    return float(values.std()) / math.sqrt(len(values))
