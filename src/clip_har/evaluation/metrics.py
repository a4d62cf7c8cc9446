"""Classification metrics with bootstrap intervals, curves, and calibration error."""

from __future__ import annotations

import numpy as np

from clip_har.models.estimates import (
    Estimate,
    confusion_matrix,
    figures_of_confusion,
    ratio,
)
from clip_har.models.estimates import difference as difference  # of both rooms above inference
from clip_har.models.estimates import reliability as reliability


def estimates(probabilities: np.ndarray, labels: np.ndarray, *, resamples: int, seed: int) -> dict[str, Estimate]:
    """All figures with 95 % percentile bootstrap intervals (Efron and Tibshirani 1993, chapter 13).

    Args:
        probabilities: [n, c], rows sum to 1.
        labels: int [n].
        resamples: number of bootstrap samples.
    """
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    cells = labels * classes + predicted
    extra = {f"top{k}_accuracy": in_top_k(probabilities, labels, k) for k in (3, 5) if k < classes}
    extra["log_loss"] = -np.log(np.clip(probabilities[np.arange(len(labels)), labels].astype(np.float64), 1e-12, 1))
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[np.ndarray]] = {}
    for start in range(0, resamples, 100):
        rows = generator.integers(0, len(labels), size=(min(100, resamples - start), len(labels)))
        offsets = np.arange(len(rows))[:, None] * classes**2
        counts = np.bincount((cells[rows] + offsets).ravel(), minlength=len(rows) * classes**2)
        figures = figures_of_confusion(counts.reshape(len(rows), classes, classes))
        figures |= {name: values[rows].mean(axis=1) for name, values in extra.items()}
        for name, values in figures.items():
            drawn.setdefault(name, []).append(values)
    whole = figures_of_confusion(confusion_matrix(labels, predicted, classes))
    whole |= {name: values.mean() for name, values in extra.items()}
    result = {}
    for name, values in drawn.items():
        low, high = np.percentile(np.concatenate(values), [2.5, 97.5])
        result[name] = Estimate(value=float(whole[name]), low=float(low), high=float(high))
    return result


def in_top_k(probabilities: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """float [n]: 1 where the true class is among the k best (ties broken by the class's index)."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return (best == labels[:, None]).any(axis=1).astype(np.float64)


def per_class(probabilities: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> list[dict]:
    """A row a class: support, precision, recall, F1, average precision, and what it is most confused with."""
    from sklearn.metrics import average_precision_score

    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), len(names))
    support, predicted, correct = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    rows = []
    for index, name in enumerate(names):
        mistakes = confusion[index].copy()
        mistakes[index] = 0
        worst = int(mistakes.argmax())
        positive = labels == index
        rows.append(
            {
                "label": name,
                "support": int(support[index]),
                "precision": float(ratio(correct[index], predicted[index])),
                "recall": float(ratio(correct[index], support[index])),
                "f1": float(ratio(2 * correct[index], support[index] + predicted[index])),
                "average_precision": (
                    float(average_precision_score(positive, probabilities[:, index])) if positive.any() else 0.0
                ),
                "confused_with": names[worst] if mistakes[worst] else None,
                "confused_times": int(mistakes[worst]),
            }
        )
    return rows


def precision_recall_curve(scores: np.ndarray, positive: np.ndarray, points: int = 101) -> dict[str, list[float]]:
    """Interpolated precision (best at this recall or more) at evenly spaced recalls."""
    from sklearn.metrics import precision_recall_curve as curve

    precision, recall, _ = curve(positive, scores)
    best = np.maximum.accumulate(precision)  # recall falls along the arrays
    grid = np.linspace(0, 1, points)
    first = np.searchsorted(recall[::-1], grid - 1e-9)
    return {"recall": grid.tolist(), "precision": best[::-1][first].tolist()}
