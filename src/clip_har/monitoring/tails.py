"""A check's statistic → the probability that it is so large without drift: the scale that all checks are compared on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clip_har.monitoring.checks.base import Check

_NORMAL = 0.02  # skewness below which a distribution is taken as normal
_ROUNDING = 1e-6  # of a statistic: they are kept in float32
_MOST = 1e4  # standard deviations that are told apart


@dataclass(frozen=True)
class Tail:
    """A Pearson distribution of type III (a shifted gamma) with the moments of the statistics without drift.

    Quantiles of a few hundred values are steps, too coarse for a level shared by many checks; the null distributions of
    discrepancies are skewed as a gamma's. Never below what the check itself knows (`Check.levels`).
    """

    check: Check
    mean: float
    deviation: float
    skewness: float
    size: int
    pooled: int

    @classmethod
    def fit(cls, check: Check, statistics: np.ndarray, size: int, pooled: int) -> Tail:
        """Of float [b], statistics of windows of `size` pictures out of `pooled`."""
        values = statistics.astype(np.float64)
        mean, deviation = float(values.mean()), float(values.std())
        if deviation <= 1e-9 * max(abs(mean), 1e-9):
            return cls(check, mean, 0.0, 0.0, size, pooled)
        return cls(check, mean, deviation, max(float((((values - mean) / deviation) ** 3).mean()), 0.0), size, pooled)

    def levels(self, statistics: np.ndarray) -> np.ndarray:
        """Probabilities, float64 [b] of float [b]."""
        known = self.check.levels(statistics, self.size, self.pooled)
        if self.check.exact_levels:
            return known
        return np.maximum(self._fitted(statistics.astype(np.float64)), known)

    def threshold(self, level: float) -> float:
        """The statistic above which `levels` is below a level; a rounding more, so that what is equal to it is not above."""
        found = self.check.at_level(level, self.size, self.pooled)
        if not self.check.exact_levels:
            found = max(self._fitted_at(level), found)
        return found + _ROUNDING * max(abs(found), self.deviation)

    def excess(self, statistic: float) -> float:
        """Standard deviations above the mean; without any, all that differs is as far as can be told."""
        above = statistic - self.mean
        if self.deviation == 0:
            return 0.0 if abs(above) <= _ROUNDING * max(abs(self.mean), _ROUNDING) else float(np.copysign(_MOST, above))
        return float(np.clip(above / self.deviation, -_MOST, _MOST))

    def _fitted(self, values: np.ndarray) -> np.ndarray:
        from scipy.special import gammaincc, ndtr

        if self.deviation == 0:
            return np.where(values > self.mean + _ROUNDING * max(abs(self.mean), _ROUNDING), 0.0, 1.0)
        standard = (values - self.mean) / self.deviation
        if self.skewness < _NORMAL:
            return ndtr(-standard)
        shape = 4 / self.skewness**2
        return gammaincc(shape, np.maximum(shape + standard * shape**0.5, 0.0))

    def _fitted_at(self, level: float) -> float:
        from scipy.special import gammainccinv, ndtri

        if self.deviation == 0:
            return self.mean + _ROUNDING * max(abs(self.mean), _ROUNDING)
        if self.skewness < _NORMAL:
            return self.mean - self.deviation * float(ndtri(level))
        shape = 4 / self.skewness**2
        return self.mean + self.deviation * (float(gammainccinv(shape, level)) - shape) / shape**0.5
