"""Ranges of activations, gathered in one pass: a histogram for each tensor, whatever the number of samples."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from clip_har.export.quantisation.config import RangeMethod

_BINS = (
    4096  # over [-limit, limit]: at least eight for each step of an 8-bit scale, after the worst rounding of the limit
)
_VALUES_AT_ONCE = 1 << 18  # values of one tensor and batch that go into its histogram; its extremes are of all of them
_SHRINKS = np.linspace(0.3, 1.0, 36)
_STEPS = 255


class Histogram:
    """Values of one tensor, in bins over a range that doubles when a value falls outside it.

    Bins are joined in pairs then, so that the histogram of many batches is that of all their values at once.
    """

    def __init__(self) -> None:
        self.lowest = math.inf
        self.highest = -math.inf
        self._limit = 0.0
        self._counts = np.zeros(_BINS, dtype=np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count a batch's values (float, any shape, not empty)."""
        flat = values.reshape(-1)
        self.lowest = min(self.lowest, float(flat.min()))
        self.highest = max(self.highest, float(flat.max()))
        self._widen(max(abs(self.lowest), abs(self.highest)))
        if self._limit == 0.0:
            return  # nothing but zeros so far
        if flat.size > _VALUES_AT_ONCE:
            step = flat.size // _VALUES_AT_ONCE + 1
            while math.gcd(step, flat.size) > 1:  # else it could pass over the same channels in every row
                step += 1
            flat = flat[::step]
        bins = ((flat + self._limit) * (_BINS / (2 * self._limit))).astype(np.int32)
        np.clip(bins, 0, _BINS - 1, out=bins)
        self._counts += np.bincount(bins, minlength=_BINS)

    def _widen(self, magnitude: float) -> None:
        if magnitude <= self._limit:
            return
        wanted = 2.0 ** math.ceil(math.log2(magnitude))
        if self._limit == 0.0:
            self._limit = wanted
            return
        while self._limit < wanted:
            inner = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts[:] = 0
            self._counts[_BINS // 4 : 3 * _BINS // 4] = inner
            self._limit *= 2

    def range(self, method: RangeMethod, percentile: float) -> tuple[float, float]:
        """(lowest, highest) value that the int8 scale is to cover.

        minmax: all that was seen. percentile: without the same share at either end. mean_squared_error: the range,
        shrunk from the extremes, with the least expected squared error of rounding within and clipping outside it
        (as in Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 3.1).
        """
        if method == "minmax" or self._limit == 0.0:
            return self.lowest, self.highest
        if method == "percentile":
            return self._percentile(percentile)
        return self._least_error()

    def _percentile(self, percentile: float) -> tuple[float, float]:
        share = np.cumsum(self._counts) / self._counts.sum()
        outside = (100.0 - percentile) / 200.0
        width = 2 * self._limit / _BINS
        first = int(np.searchsorted(share, outside, side="right"))
        last = int(np.searchsorted(share, 1.0 - outside, side="left"))
        return (
            max(self.lowest, first * width - self._limit),
            min(self.highest, (last + 1) * width - self._limit),
        )

    def _least_error(self) -> tuple[float, float]:
        width = 2 * self._limit / _BINS
        occupied = np.flatnonzero(self._counts)
        centres = (occupied + 0.5) * width - self._limit
        weights = self._counts[occupied] / self._counts.sum()
        low, high = min(self.lowest, 0.0), max(self.highest, 0.0)
        errors = []
        for shrink in _SHRINKS:
            inside = np.clip(centres, shrink * low, shrink * high)
            step = shrink * (high - low) / _STEPS
            errors.append(float(weights @ (centres - inside) ** 2) + step**2 / 12)
        best = float(_SHRINKS[int(np.argmin(errors))])
        return best * low, best * high


class ActivationRanges:
    """Histograms of a model's activations."""

    def __init__(self) -> None:
        self._histograms: dict[str, Histogram] = {}

    def add(self, activations: Mapping[str, np.ndarray]) -> None:
        """Count one batch's activations, by name."""
        for name, values in activations.items():
            self._histograms.setdefault(name, Histogram()).add(values)

    def ranges(self, method: RangeMethod, percentile: float) -> dict[str, tuple[float, float]]:
        """(lowest, highest) for each tensor."""
        return {name: histogram.range(method, percentile) for name, histogram in self._histograms.items()}
