"""Can a linear classifier tell the window's embeddings from the reference's?"""

from __future__ import annotations

import numpy as np

from clip_har.monitoring.checks.base import Check, Values, percent
from clip_har.monitoring.checks.comparison import Comparison
from clip_har.monitoring.checks.pool import Pool
from clip_har.monitoring.observations import Observations


class EmbeddingClassifier(Check):
    """Domain classifier: a linear discriminant on principal components, and the area under its left-out ROC curve.

    Lopez-Paz and Oquab 2017, "Revisiting Classifier Two-Sample Tests", with AUC for accuracy: windows are smaller than references.
    """

    name = "embedding_classifier"
    title = "Embeddings (domain classifier)"
    kind = "embeddings"
    statistic_name = "ROC AUC, cross-validated"
    unit = "standard deviations"

    def lacks(self, observations: Observations) -> str:
        return "embeddings" if observations.embeddings is None else ""

    def statistics(self, pool: Pool, windows: np.ndarray) -> np.ndarray:
        return areas(discriminant_scores(pool, windows), windows)

    def values(self, comparison: Comparison) -> Values:
        return Values(*comparison.separation)

    def said(self, values: Values, drift: bool) -> str:
        both = np.concatenate([values.reference, values.window])
        area = areas(both[None], np.arange(len(both))[None] >= len(values.reference))[0]
        told = f"Of a picture of each, a classifier tells which is the window's in {percent(area)} of cases"
        return f"{told} (50 % by chance)." if drift else f"{told}, no more than chance gives."


def discriminant_scores(pool: Pool, windows: np.ndarray) -> np.ndarray:
    """Scores of Fisher's linear discriminant, each picture left out of the fit that scores it.

    Regression on ±1 has the discriminant's direction (Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning",
    exercise 4.2). With orthonormal coordinates U its fit is U Uᵀ y, and leaving a picture out divides: (ŷ - h y) / (1 - h), where
    h = Σ u². So all windows take two matrix products. There is no intercept: left out, it would tell the classes.

    Args:
        windows: bool [b, n].

    Returns:
        float64 [b, n].
    """
    coordinates, _ = pool.components
    targets = windows - windows.mean(axis=1, keepdims=True)
    leverage = np.minimum((coordinates**2).sum(axis=1), 1 - 1e-6)
    return ((targets @ coordinates) @ coordinates.T - leverage * targets) / (1 - leverage)


def areas(scores: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each row, ties counting a half: float64 [b] of float [b, n] and bool [b, n]."""
    from scipy.stats import rankdata

    ranks = (rankdata(scores, axis=1) * windows).sum(axis=1)
    inside = windows.sum(axis=1).astype(np.float64)
    return (ranks - inside * (inside + 1) / 2) / (inside * (windows.shape[1] - inside))
