"""Abstention: below which confidence a model had better say nothing, for a wanted precision of what it does say.

Geifman and El-Yaniv 2017, "Selective Classification for Deep Neural Networks" (NeurIPS), algorithm 1, selection with
guaranteed risk: a binary search over the confidences seen, each threshold tested with the exact binomial bound of their
lemma 3.1 at a confidence shared out over the search's steps.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig


class AbstentionThreshold(ComponentConfig):
    """A confidence below which the model abstains, and what was measured above it."""

    precision: float = Field(gt=0, lt=1, description="Precision of the answers that is wanted.")
    threshold: float | None = Field(
        description="Calibrated confidence below which there is no answer; None if none is known to give that precision."
    )
    answered: float = Field(0.0, ge=0, le=1, description="Share of the calibration photographs at or above it.")
    measured: float | None = Field(None, description="Precision of these.")


def abstention_threshold(
    probabilities: np.ndarray, labels: np.ndarray, precision: float, *, confidence: float
) -> AbstentionThreshold:
    """The lowest threshold found at or above which precision is as wanted, with a confidence.

    Args:
        probabilities: float [n, c], calibrated.
        labels: int [n].
        precision: wanted, in (0, 1).
        confidence: probability, over calibration sets, that precision at or above the threshold really is so high.
    """
    from scipy.stats import binom

    top = probabilities.max(axis=1)
    order = np.argsort(-top, kind="stable")
    top, right = top[order], (probabilities.argmax(axis=1) == labels)[order]
    steps = max(1, math.ceil(math.log2(max(2, len(top)))))
    allowed = (1 - confidence) / steps
    found = AbstentionThreshold(precision=precision, threshold=None)
    fewest, most = 0, len(top)
    for _ in range(steps):
        tried = math.ceil((fewest + most) / 2)
        if tried == 0:
            break
        answered = int((top >= top[tried - 1]).sum())  # equal confidences stay together
        correct = int(right[:answered].sum())
        if binom.cdf(answered - correct, answered, 1 - precision) <= allowed:
            fewest = tried
            if found.threshold is None or top[tried - 1] < found.threshold:
                found = AbstentionThreshold(
                    precision=precision,
                    threshold=float(top[tried - 1]),
                    answered=answered / len(top),
                    measured=correct / answered,
                )
        else:
            most = tried - 1
        if fewest >= most:
            break
    return found
