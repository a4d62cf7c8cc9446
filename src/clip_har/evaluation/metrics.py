"""Classification metrics with bootstrap intervals, curves, and calibration error."""

from __future__ import annotations

import numpy as np

from clip_har.models.estimates import Estimate
from clip_har.models.estimates import difference as difference  # of both rooms above inference
from clip_har.models.estimates import reliability as reliability


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
    precision, recall = _ratio(correct, predicted), _ratio(correct, support)
    f1 = _ratio(2 * correct, support + predicted)
    present = support > 0
    count, total = present.sum(axis=-1), support.sum(axis=-1)
    figures = {"accuracy": _ratio(correct.sum(axis=-1), total)}
    figures["balanced_accuracy"] = _ratio((recall * present).sum(axis=-1), count)
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        figures[f"macro_{name}"] = _ratio((values * present).sum(axis=-1), count)
        figures[f"weighted_{name}"] = _ratio((values * support).sum(axis=-1), total)
    return figures


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b > 0)


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
                "precision": float(_ratio(correct[index], predicted[index])),
                "recall": float(_ratio(correct[index], support[index])),
                "f1": float(_ratio(2 * correct[index], support[index] + predicted[index])),
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
