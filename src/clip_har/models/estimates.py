"""Figures that more than one room needs: averages over classes, paired differences with intervals, calibration error."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig


class Estimate(ComponentConfig):
    """A figure with its interval."""

    value: float = Field(description="On all samples.")
    low: float = Field(description="Lower end of the 95 % interval.")
    high: float = Field(description="Upper end of the 95 % interval.")


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """int64 [c, c]: rows are true classes, columns predicted ones."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def figures_of_confusion(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy and averaged precision, recall and F1.

    Args:
        confusion: [..., c, c]. Classes without a sample are left out of the averages (they have no recall); a class
            that is never predicted has precision 0, as in scikit-learn with `zero_division=0`.

    Returns:
        For each figure an array [...].
    """
    confusion = confusion.astype(np.float64)
    correct = np.diagonal(confusion, axis1=-2, axis2=-1)
    support, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    precision, recall = ratio(correct, predicted), ratio(correct, support)
    f1 = ratio(2 * correct, support + predicted)
    present = support > 0
    count, total = present.sum(axis=-1), support.sum(axis=-1)
    figures = {"accuracy": ratio(correct.sum(axis=-1), total)}
    figures["balanced_accuracy"] = ratio((recall * present).sum(axis=-1), count)
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        figures[f"macro_{name}"] = ratio((values * present).sum(axis=-1), count)
        figures[f"weighted_{name}"] = ratio((values * support).sum(axis=-1), total)
    return figures


def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b > 0)


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
