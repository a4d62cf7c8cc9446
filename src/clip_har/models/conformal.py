"""Conformal label sets: sets that hold the true label as often as wanted, whatever the model.

Split conformal prediction with the scores of RAPS: Angelopoulos et al. 2021, "Uncertainty Sets for Image Classifiers using
Conformal Prediction" (ICLR), algorithms 2 and 3. A label's score is the probability of all labels that are more likely,
plus a penalty for every rank beyond `largest_free`. That is the paper's score with u = 0: nothing is drawn at random, so
that a picture always gets the same set, and the likeliest label, whose score is 0, is in every set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field, model_validator

from clip_har.component import ComponentConfig
from clip_har.errors import ConfigError

COVERAGES = tuple(round(percent / 100, 2) for percent in range(50, 100))
_PENALTIES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5)


class ConformalQuantiles(ComponentConfig):
    """What decides which labels are in a set."""

    penalty: float = Field(ge=0, description="λ: what every rank beyond `largest_free` adds to a label's score.")
    largest_free: int = Field(ge=1, description="k_reg: ranks without a penalty.")
    coverages: tuple[float, ...] = Field(description="Coverages that can be asked for, rising.")
    quantiles: tuple[float | None, ...] = Field(
        description="Largest score of a label in the set, for each coverage; None where only all labels have it."
    )

    @model_validator(mode="after")
    def _one_for_each(self) -> ConformalQuantiles:
        if len(self.coverages) != len(self.quantiles) or list(self.coverages) != sorted(self.coverages):
            raise ValueError("a quantile is wanted for each coverage, and coverages in rising order")
        return self

    def known(self, coverage: float) -> float:
        """The coverage whose quantile is used for a wanted one: the next higher one that is known.

        Raises:
            ConfigError: if it is beyond those that are known.
        """
        found = next((known for known in self.coverages if known >= coverage - 1e-9), None)
        if found is None or coverage <= 0:
            raise ConfigError(f"coverage: wanted: a share above 0 and up to {self.coverages[-1]:g}, got {coverage:g}.")
        return found

    def members(self, probabilities: np.ndarray, coverage: float) -> np.ndarray:
        """bool [n, c]: whether a label is in a picture's set.

        Args:
            probabilities: float [n, c], calibrated.
            coverage: share of pictures whose set holds the true label, taken as `known` gives it.

        Raises:
            ConfigError: if the coverage is beyond those that are known.
        """
        quantile = self.quantiles[self.coverages.index(self.known(coverage))]
        if quantile is None:
            return np.ones(probabilities.shape, dtype=bool)
        return scores(probabilities, self.penalty, self.largest_free) <= quantile


def scores(probabilities: np.ndarray, penalty: float, largest_free: int) -> np.ndarray:
    """float64 [n, c]: each label's score, the lower the more it belongs.

    Args:
        probabilities: float [n, c]; of equal ones the label that comes first counts as the likelier.
    """
    values = probabilities.astype(np.float64)
    order = np.argsort(-values, axis=1, kind="stable")
    sorted_values = np.take_along_axis(values, order, axis=1)
    before = sorted_values.cumsum(axis=1) - sorted_values
    ranks = np.arange(1, values.shape[1] + 1)
    by_rank = np.maximum(before, 0) + penalty * np.maximum(0, ranks - largest_free)
    found = np.empty_like(values)
    np.put_along_axis(found, order, by_rank, axis=1)
    return found


def conformal_quantiles(
    probabilities: np.ndarray,
    labels: np.ndarray,
    tuning: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    coverages: Sequence[float] = COVERAGES,
    tuned_for: float = 0.9,
) -> ConformalQuantiles:
    """Fit on the calibration split.

    Args:
        probabilities: float [n, c], calibrated, of pictures that nothing was chosen on.
        labels: int [n].
        tuning: the same of other pictures, on which the penalty with the smallest sets is chosen (the paper's section
            2.3); without them there is no penalty.
        tuned_for: the coverage at which sets are to be small.
    """
    penalty, largest_free = 0.0, 1
    if tuning is not None and len(tuning[1]):
        penalty, largest_free = _smallest_sets(*tuning, tuned_for)
    own = np.sort(scores(probabilities, penalty, largest_free)[np.arange(len(labels)), labels])
    return ConformalQuantiles(
        penalty=penalty,
        largest_free=largest_free,
        coverages=tuple(coverages),
        quantiles=tuple(_quantile(own, coverage) for coverage in coverages),
    )


def quantile_rank(samples: int, coverage: float) -> int:
    """⌈(n + 1) · coverage⌉: which of n rising scores is the quantile; n + 1 or more where there are too few."""
    return math.ceil((samples + 1) * coverage - 1e-9)


def _quantile(own: np.ndarray, coverage: float) -> float | None:
    """The quantile of rising scores; None if there are too few."""
    place = quantile_rank(len(own), coverage)
    return float(own[place - 1]) if place <= len(own) else None


def _smallest_sets(probabilities: np.ndarray, labels: np.ndarray, coverage: float) -> tuple[float, int]:
    rows = np.arange(len(labels))
    likelier = (probabilities > probabilities[rows, labels][:, None]).sum(axis=1) + 1
    largest_free = int(np.quantile(likelier, coverage, method="higher"))
    sizes = {}
    for penalty in _PENALTIES:
        found = scores(probabilities, penalty, largest_free)
        quantile = _quantile(np.sort(found[rows, labels]), coverage)
        sizes[penalty] = probabilities.shape[1] if quantile is None else (found <= quantile).sum(axis=1).mean()
    return min(sizes, key=lambda penalty: sizes[penalty]), largest_free
