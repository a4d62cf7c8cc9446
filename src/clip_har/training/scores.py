"""The few figures that training itself looks at; reports have many more (`clip_har.evaluation.metrics`)."""

from __future__ import annotations

import numpy as np


def validation_scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and mean negative log-likelihood.

    Args:
        logits: float [n, c].
        labels: int [n].
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return {
        "accuracy": float((logits.argmax(axis=1) == labels).mean()),
        "log_loss": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
    }
