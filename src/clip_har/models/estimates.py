"""Figures with intervals that more than one room needs: paired differences of accuracy, and calibration error."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig


class Estimate(ComponentConfig):
    """A figure with its interval."""

    value: float = Field(description="On all samples.")
    low: float = Field(description="Lower end of the 95 % interval.")
    high: float = Field(description="Upper end of the 95 % interval.")


def difference(first: np.ndarray, second: np.ndarray, labels: np.ndarray, *, resamples: int, seed: int) -> Estimate:
    """Paired difference of accuracy, second minus first, with its 95 % bootstrap interval.

    Args:
        first, second: int [n], predicted classes of two models on the same samples.
    """
    gain = (second == labels).astype(np.float64) - (first == labels)
    generator = np.random.default_rng(seed)
    means = gain[generator.integers(0, len(gain), size=(resamples, len(gain)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(value=float(gain.mean()), low=float(low), high=float(high))


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> dict:
    """Expected calibration error of the winning class and what it is made of.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2: equal-width bins of confidence; the mean
    over bins, weighted by their samples, of |accuracy − confidence|.

    Returns:
        `ece`, and `bins`: a row a bin with low, high, count, confidence and accuracy (None where it is empty).
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    rows, error = [], 0.0
    for number in range(bins):
        inside = index == number
        count = int(inside.sum())
        mean_confidence = float(confidence[inside].mean()) if count else None
        accuracy = float(correct[inside].mean()) if count else None
        if mean_confidence is not None and accuracy is not None:
            error += count / len(labels) * abs(accuracy - mean_confidence)
        row = {"low": number / bins, "high": (number + 1) / bins, "count": count}
        rows.append(row | {"confidence": mean_confidence, "accuracy": accuracy})
    return {"ece": float(error), "bins": rows}
