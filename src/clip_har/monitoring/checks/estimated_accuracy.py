"""Does the confidence say that accuracy has fallen?"""

from __future__ import annotations

import numpy as np

from clip_har.monitoring.checks.base import Check, Values, fewest_at, fewest_level, percent
from clip_har.monitoring.checks.comparison import Comparison
from clip_har.monitoring.checks.pool import Pool


class EstimatedAccuracy(Check):
    """Fall of the mean confidence; people are told the estimate that `accuracy` makes of it."""

    name = "estimated_accuracy"
    title = "Estimated accuracy"
    kind = "accuracy"
    statistic_name = "fall of the mean confidence"
    unit = "accuracy"

    def statistics(self, pool: Pool, windows: np.ndarray) -> np.ndarray:
        confidence = pool.observations.confidence.astype(np.float64)
        inside = windows.sum(axis=1)
        in_window = windows @ confidence
        return (confidence.sum() - in_window) / (len(confidence) - inside) - in_window / inside

    def levels(self, statistics: np.ndarray, size: int, pooled: int) -> np.ndarray:
        return fewest_level(statistics, size, pooled)

    def at_level(self, level: float, size: int, pooled: int) -> float:
        return fewest_at(level, size, pooled)

    def values(self, comparison: Comparison) -> Values:
        if comparison.accuracy_estimator is None:
            return Values(comparison.reference.confidence, comparison.window.confidence)
        return Values(*comparison.taken_for_right)

    def said(self, values: Values, drift: bool) -> str:
        before, after = (float(np.mean(part, dtype=np.float64)) for part in (values.reference, values.window))
        told = f"Accuracy, estimated without labels, is {percent(after)}, {percent(before)} in the reference"
        return f"{told}." if drift else f"{told}: no fall beyond chance."
