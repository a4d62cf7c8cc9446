"""Thresholds of all checks together, from disjoint pairs of pictures that the model was not trained on.

A window without drift and the reference are exchangeable: a random part of one pool and its rest. So the statistics of many such
pairs, drawn from the reference profile's own pictures, are what a window's are compared with. (Copies of the reference drawn with
replacement are no windows: they repeat pictures, and the statistics take that for drift.)

The level is that of the whole report. Statistics of different checks are brought to one scale by a probability each (`tails`),
the smallest of a pair's is what the pair as a whole looks like, and the level is the quantile of these: Westfall and Young 1993,
"Resampling-Based Multiple Testing", section 2.3, minP. The scale needs to be fair, not exact: whatever it is, the quantile is that
of the pairs. So any checks and any rate can be asked for later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clip_har.component import Artifact
from clip_har.monitoring.checks import CHECKS
from clip_har.monitoring.checks.base import Check
from clip_har.monitoring.checks.pool import Pool
from clip_har.monitoring.config import ProfileConfig
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.tails import Tail

if TYPE_CHECKING:
    from clip_har.progress import Report

SIZES = (10, 14, 20, 28, 40, 50, 70, 100, 140, 200, 280, 400, 560, 800, 1120, 1600, 2240, 3200)
"""Of windows; each about √2 times the one before."""
_POOLED = "pictures"


@dataclass(frozen=True)
class Judged:
    """A window's statistics beside those of windows without drift; all by the name of the check.

    Attributes:
        thresholds: above it, there is drift.
        p_values: share of windows without drift that reach the statistic, that check alone.
        excess: standard deviations above their mean.
        p_value: of all checks together.
    """

    thresholds: dict[str, float]
    p_values: dict[str, float]
    excess: dict[str, float]
    p_value: float


@dataclass(frozen=True)
class Thresholds(Artifact):
    """Statistics of all checks for disjoint pairs of the reference's pictures.

    Attributes:
        names: of the checks, in the order of the columns.
        statistics: pictures in a window → float32 [partitions, checks]; a column of NaN where the reference lacks what the check needs.
        pictures: in window and reference together: those of the profile.
    """

    names: tuple[str, ...]
    statistics: dict[int, np.ndarray]
    pictures: int

    @classmethod
    def draw(cls, observations: Observations, config: ProfileConfig, *, progress: Report | None = None) -> Thresholds:
        """Draw the pairs and compute their statistics.

        Args:
            observations: of pictures that the model was not trained on.
            progress: told how many sizes are done.
        """
        checks = [CHECKS.get(name)() for name in CHECKS]
        pool, statistics = Pool(observations, config), {}
        sizes = sizes_of(len(observations))
        for done, size in enumerate(sizes):
            windows = partitions(len(observations), size, config)
            statistics[size] = np.stack([statistics_of(check, pool, windows) for check in checks], axis=1)
            if progress:
                progress(done + 1, len(sizes), f"thresholds for {size} pictures")
        return cls(tuple(CHECKS), statistics, len(observations))

    def arrays(self) -> dict[str, np.ndarray]:
        """To be stored; names are stored beside them."""
        return {f"size_{size}": array for size, array in self.statistics.items()} | {_POOLED: np.int64([self.pictures])}

    @classmethod
    def from_arrays(cls, names: Sequence[str], arrays: Mapping[str, np.ndarray]) -> Thresholds:
        """What `arrays` gave."""
        sizes = {int(name.removeprefix("size_")): array for name, array in arrays.items() if name != _POOLED}
        return cls(tuple(names), dict(sorted(sizes.items())), int(arrays[_POOLED][0]))

    @property
    def partitions(self) -> int:
        """Pairs of each size."""
        return max((len(array) for array in self.statistics.values()), default=0)

    @property
    def smallest(self) -> int | None:
        """Pictures that a window needs; None if the profile is too small for any."""
        return min(self.statistics, default=None)

    def size_for(self, pictures: int) -> int | None:
        """The largest size that a window of so many pictures can be compared at; None if it is too small."""
        return max((size for size in self.statistics if size <= pictures), default=None)

    def has(self, name: str) -> bool:
        """Whether there are statistics of a check."""
        return name in self.names and all(np.isfinite(self._column(size, name)).all() for size in self.statistics)

    def at(self, size: int, names: Sequence[str], rate: float) -> dict[str, float]:
        """Threshold of each check, for a rate of false alarms of them all together."""
        tails = self._tails(size, names)
        level = self._level(self._smallest(size, tails), rate)
        return {name: tail.threshold(level) for name, tail in tails.items()}

    def judge(self, size: int, statistics: Mapping[str, float], rate: float) -> Judged:
        """Compare a window with the pairs.

        Args:
            size: pictures in it.
            statistics: name of a check → its value.
            rate: of false alarms, over all these checks together.
        """
        if not statistics:
            return Judged({}, {}, {}, 1.0)
        tails = self._tails(size, list(statistics))
        smallest = self._smallest(size, tails)
        level = self._level(smallest, rate)
        thresholds, p_values, excess, least = {}, {}, {}, 1.0
        for name, value in statistics.items():
            column, value = self._column(size, name), np.float32(value)
            thresholds[name] = tails[name].threshold(level)
            p_values[name] = float(1 + (column >= value).sum()) / (len(column) + 1)
            excess[name] = tails[name].excess(float(value))
            least = min(least, float(tails[name].levels(np.array([value]))[0]))
        reached = float(1 + (smallest <= least).sum()) / (len(smallest) + 1)
        return Judged(thresholds, p_values, excess, max(reached, least))  # as the level is never above the rate

    def _column(self, size: int, name: str) -> np.ndarray:
        return self.statistics[size][:, self.names.index(name)]

    def _tails(self, size: int, names: Sequence[str]) -> dict[str, Tail]:
        return {name: Tail.fit(CHECKS.get(name)(), self._column(size, name), size, self.pictures) for name in names}

    def _smallest(self, size: int, tails: Mapping[str, Tail]) -> np.ndarray:
        """float64 [partitions]: the smallest of each pair's probabilities."""
        levels = [tail.levels(self._column(size, name)) for name, tail in tails.items()]
        return np.min(levels, axis=0) if levels else np.ones(len(self.statistics[size]))

    @staticmethod
    def _level(smallest: np.ndarray, rate: float) -> float:
        """Below it, of the smallest probabilities, are no more than the share `rate` of all pairs and one window more.

        A rate that so few pairs cannot tell is taken as the same share of the smallest level that they can. The level of one check
        alone is the rate: where all pairs are alike, and tell nothing, it is not more.
        """
        ordered, allowed = np.sort(smallest), rate * (len(smallest) + 1)
        level = float(ordered[math.floor(allowed) - 1]) if allowed >= 1 else float(ordered[0]) * allowed
        return min(level, rate)


def sizes_of(pictures: int) -> tuple[int, ...]:
    """Sizes of windows that a profile of so many pictures has thresholds for: at most half of it is a window."""
    return tuple(size for size in SIZES if 2 * size <= pictures)


def partitions(pictures: int, size: int, config: ProfileConfig) -> np.ndarray:
    """bool [partitions, n]: random windows of one size; the rest is the reference."""
    generator = np.random.default_rng([config.seed, size])
    chosen = np.argsort(generator.random((config.partitions, pictures)), axis=1)[:, :size]
    windows = np.zeros((config.partitions, pictures), bool)
    np.put_along_axis(windows, chosen, True, axis=1)
    return windows


def statistics_of(check: Check, pool: Pool, windows: np.ndarray) -> np.ndarray:
    """float32 [b] for bool [b, n]; NaN where the pictures lack what the check needs."""
    if check.lacks(pool.observations):
        return np.full(len(windows), np.nan, np.float32)
    return check.statistics(pool, windows).astype(np.float32)
