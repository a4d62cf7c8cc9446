from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from clip_har.models.head import softmax
from clip_har.training.scores import validation_scores


@pytest.mark.parametrize("scale", [1.0, 500.0])
def test_as_scikit_learn(scale: float) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 60)
    logits = (scale * generator.normal(size=(60, 4))).astype(np.float32)
    scores = validation_scores(logits, labels)
    assert scores["accuracy"] == accuracy_score(labels, logits.argmax(axis=1))
    if scale == 1.0:
        expected = log_loss(labels, softmax(logits.astype(np.float64)), labels=range(4))
        assert scores["log_loss"] == pytest.approx(expected, rel=1e-6)
    else:  # probabilities of 0 in any float, a finite loss all the same
        rows = np.arange(60)
        assert scores["log_loss"] == pytest.approx((logits.max(axis=1) - logits[rows, labels]).mean(), rel=1e-3)
