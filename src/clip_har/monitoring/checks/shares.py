"""Checks of a share of the pictures that may only grow: abstentions, and what is out of vocabulary."""

from __future__ import annotations

import math

import numpy as np

from clip_har.monitoring.checks.base import Check, Values, percent
from clip_har.monitoring.checks.comparison import Comparison
from clip_har.monitoring.checks.pool import Pool
from clip_har.monitoring.observations import Observations

STRANGE_SHARE = 0.05  # of the reference's pictures that count as far from the others
_MISSED = 1e-7  # probability that of the neighbours looked through too few are the reference's


class ShareCheck(Check):
    """-log10 of the probability of so many or more, without drift: counts are too few, and too discrete, for anything else."""

    exact_levels = True

    def levels(self, statistics: np.ndarray, size: int, pooled: int) -> np.ndarray:
        return 10.0 ** -np.asarray(statistics, np.float64)

    def at_level(self, level: float, size: int, pooled: int) -> float:
        return -math.log10(max(level, 1e-300))


class Abstentions(ShareCheck):
    """Pictures that the model gives no answer for. Fisher's exact test, one-sided."""

    name = "abstentions"
    title = "Abstentions"
    kind = "abstention"
    statistic_name = "-log10 p of Fisher's exact test"
    unit = "share"

    def statistics(self, pool: Pool, windows: np.ndarray) -> np.ndarray:
        from scipy.stats import hypergeom

        abstained = pool.observations.abstained
        found = (windows & abstained).sum(axis=1)
        of_so_many = hypergeom.logsf(found - 1, len(abstained), abstained.sum(), windows.sum(axis=1))
        return np.maximum(-of_so_many / math.log(10), 0.0)

    def values(self, comparison: Comparison) -> Values:
        both = comparison.reference.abstained, comparison.window.abstained
        return Values(*(part.astype(np.float32) for part in both))

    def said(self, values: Values, drift: bool) -> str:
        before, after = (float(part.mean()) for part in (values.reference, values.window))
        told = f"The model abstains for {percent(after)} of the pictures, {percent(before)} in the reference"
        return f"{told}." if drift else f"{told}: no more than chance gives."


class OutOfVocabulary(ShareCheck):
    """Pictures farther from the reference than nearly all of its own are from each other.

    The distance is that to the nearest reference pictures (Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest
    Neighbors", on normalised features). How many of the window are beyond a quantile of the reference's own distances is
    beta-binomial.
    """

    name = "out_of_vocabulary"
    title = "Out of vocabulary"
    kind = "vocabulary"
    statistic_name = "-log10 p, beta-binomial"
    unit = "share"
    names_cause = True

    def lacks(self, observations: Observations) -> str:
        return "embeddings" if observations.embeddings is None else ""

    def statistics(self, pool: Pool, windows: np.ndarray) -> np.ndarray:
        size = int(windows[0].sum())
        references = len(pool) - size
        neighbours = max(min(pool.config.neighbours, references - 1), 1)
        beyond = strange_count(references)
        rows, cosines = pool.closest(looked_through(neighbours, size / len(pool), len(pool)))
        found = np.empty(len(windows), np.int64)
        for place, window in enumerate(windows):
            nearness = _nearness(rows, cosines, window, neighbours, pool)
            quantile = np.partition(nearness[~window], beyond - 1)[beyond - 1]
            found[place] = (nearness[window] < quantile).sum()
        return _beta_binomial(size, beyond, references + 1 - beyond)[found]

    def values(self, comparison: Comparison) -> Values:
        own, distances = comparison.reference_distances, comparison.window_distances
        limit = np.partition(own, len(own) - strange_count(len(own)))[len(own) - strange_count(len(own))]
        return Values((own > limit).astype(np.float32), (distances > limit).astype(np.float32))

    def said(self, values: Values, drift: bool) -> str:
        before, after = (float(part.mean()) for part in (values.reference, values.window))
        told = f"{percent(after)} of the pictures are farther from the reference than {percent(1 - before)} of its own"
        return f"Things that the model was not made for: {told}." if drift else f"{told}: no more than chance gives."


def strange_count(references: int) -> int:
    """Rank, from the farthest, of the reference's picture beyond which another is strange."""
    return max(round(STRANGE_SHARE * references), 1)


def looked_through(neighbours: int, window_share: float, pooled: int) -> int:
    """How many nearest pictures of the pool are to be known so that `neighbours` of them are the reference's, nearly always."""
    from scipy.stats import binom

    count = neighbours
    while count < pooled - 1 and binom.cdf(neighbours - 1, count, 1 - window_share) > _MISSED:
        count += max(count // 4, 1)
    return min(count, pooled - 1)


def _nearness(rows: np.ndarray, cosines: np.ndarray, window: np.ndarray, neighbours: int, pool: Pool) -> np.ndarray:
    """Mean cosine of each picture to the nearest of the reference, itself left out: float64 [n]."""
    usable = ~window[rows]
    rank = np.cumsum(usable, axis=1, dtype=np.int16)
    usable &= rank <= neighbours
    nearness = np.einsum("nm,nm->n", usable, cosines, dtype=np.float64) / neighbours
    for short in np.flatnonzero(rank[:, -1] < neighbours):
        others = ~window
        others[short] = False
        nearness[short] = np.sort(pool.cosines[short, others])[-neighbours:].mean()
    return nearness


def _beta_binomial(size: int, first: int, second: int) -> np.ndarray:
    """-log10 of the probability of k or more, float64 [size + 1], for k from 0: summed up from the far end, to keep its digits."""
    from scipy.stats import betabinom

    terms = betabinom.logpmf(np.arange(size + 1), size, first, second)
    return np.maximum(-np.logaddexp.accumulate(terms[::-1])[::-1] / math.log(10), 0.0)
