"""Are the labels that the model gives as frequent as in the reference?"""

from __future__ import annotations

import numpy as np

from clip_har.monitoring.checks.base import Check, Values, fewest_at, fewest_level, percent
from clip_har.monitoring.checks.comparison import Comparison
from clip_har.monitoring.checks.pool import Pool


class PredictedLabels(Check):
    """Jensen–Shannon divergence of the shares of the labels, in bits (Lin 1991)."""

    name = "predicted_labels"
    title = "Predicted labels"
    kind = "labels"
    statistic_name = "Jensen–Shannon divergence"
    unit = "share"
    names_cause = True

    def statistics(self, pool: Pool, windows: np.ndarray) -> np.ndarray:
        observed = pool.observations
        counts = np.eye(len(observed.labels), dtype=np.float32)[observed.predicted]
        in_window = windows.astype(np.float32) @ counts
        in_reference = counts.sum(axis=0) - in_window
        return jensen_shannon(in_window, in_reference)

    def levels(self, statistics: np.ndarray, size: int, pooled: int) -> np.ndarray:
        return fewest_level(statistics, size, pooled)  # in bits it is at most the total variation, a share of pictures

    def at_level(self, level: float, size: int, pooled: int) -> float:
        return fewest_at(level, size, pooled)

    def values(self, comparison: Comparison) -> Values:
        reference, window = comparison.reference.predicted, comparison.window.predicted
        label = int(np.abs(share_changes(reference, window, len(comparison.reference.labels))[2]).argmax())
        named = comparison.reference.labels[label].replace("_", " ")
        return Values((reference == label).astype(np.float32), (window == label).astype(np.float32), of=named)

    def said(self, values: Values, drift: bool) -> str:
        before, after = (float(part.mean()) for part in (values.reference, values.window))
        if not drift:
            return "Each label is given as often as in the reference, as far as can be told."
        verb = "more" if after > before else "less"
        return f"Other labels are given: “{values.of}” {verb} often, for {percent(after)} of the pictures, not {percent(before)}."


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """In bits, 0 to 1, between two rows of counts: float64 [b] of float [b, c] twice."""
    one = first / first.sum(axis=1, keepdims=True, dtype=np.float64)
    other = second / second.sum(axis=1, keepdims=True, dtype=np.float64)
    middle = (one + other) / 2

    def to_middle(shares: np.ndarray) -> np.ndarray:
        quotient = np.divide(shares, middle, out=np.ones_like(shares), where=shares > 0)
        return (shares * np.log2(quotient)).sum(axis=1)

    return (to_middle(one) + to_middle(other)) / 2


def share_changes(reference: np.ndarray, window: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each label is predicted, in shares, and the difference in standard deviations.

    They are binomial, of both samples, at the share in both together, with half a picture more of each label.

    Args:
        reference, window: int [m] and [n], predicted labels.

    Returns:
        float64 [c] three times: share in the reference, in the window, and excess.
    """
    before, after = (np.bincount(part, minlength=classes).astype(np.float64) for part in (reference, window))
    m, n = len(reference), len(window)
    together = (before + after + 0.5) / (m + n + 1)
    deviation = np.sqrt(together * (1 - together) * (1 / m + 1 / n))
    return before / m, after / n, (after / n - before / m) / deviation
