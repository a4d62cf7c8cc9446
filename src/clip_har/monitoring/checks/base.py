"""What a check is: a statistic of (reference, window) for the verdict, and figures of both for people."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from clip_har.monitoring.observations import Observations
from clip_har.monitoring.report import Kind

if TYPE_CHECKING:
    from clip_har.monitoring.checks.comparison import Comparison
    from clip_har.monitoring.checks.pool import Pool


@dataclass(frozen=True)
class Values:
    """What a check looks at, a number a picture, NaN where it is not known; the means are what people are told.

    Attributes:
        reference: float [m].
        window: float [n].
        of: what it is about, if the window decides that ("dancing").
    """

    reference: np.ndarray
    window: np.ndarray
    of: str = ""

    @property
    def means(self) -> tuple[float | None, float | None]:
        """Of the reference and of the window; None where nothing is known."""
        known = [values[np.isfinite(values)] for values in (self.reference, self.window)]
        first, second = (float(np.mean(values, dtype=np.float64)) if len(values) else None for values in known)
        return first, second


class Check(ABC):
    """A check of a window; its threshold comes from disjoint pairs of windows and references without drift.

    Attributes:
        name, title, kind, statistic_name, unit: as in a `CheckResult`.
        names_cause: whether it says what changed, and not only that something did.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    kind: ClassVar[Kind]
    statistic_name: ClassVar[str]
    unit: ClassVar[str] = ""
    names_cause: ClassVar[bool] = False

    def lacks(self, observations: Observations) -> str:
        """What it needs and they have not, in words ("embeddings"); empty if they have it."""
        return ""

    def known(self, observations: Observations) -> np.ndarray | None:
        """bool [n]: pictures of which it knows what it needs; None: all."""
        return None

    @abstractmethod
    def statistics(self, pool: Pool, windows: np.ndarray) -> np.ndarray:
        """The statistic of each window against the rest of the pool; larger is less alike.

        Args:
            windows: bool [b, n], all with as many pictures.

        Returns:
            float [b]; NaN where it is not defined.
        """

    def levels(self, statistics: np.ndarray, size: int, pooled: int) -> np.ndarray:
        """The least that the probability of so large a statistic can be without drift, whatever the pictures are.

        It bounds what is read off pairs of a pool that has hardly any of something, where one more would look like the end of the
        world. 0: nothing is known.

        Args:
            statistics: float [b].
            size, pooled: pictures in a window, and in window and reference together.
        """
        return np.zeros(len(statistics))

    def at_level(self, level: float, size: int, pooled: int) -> float:
        """The statistic from which on `levels` is below a level; the inverse of it."""
        return -np.inf

    exact_levels: ClassVar[bool] = False
    """Whether `levels` is the probability itself, and nothing needs to be read off the pairs."""

    @abstractmethod
    def values(self, comparison: Comparison) -> Values:
        """What people are told, of all pictures of the reference and the window."""

    @abstractmethod
    def said(self, values: Values, drift: bool) -> str:
        """What was found, in a sentence."""


def fewest_level(statistics: np.ndarray, size: int, pooled: int) -> np.ndarray:
    """`levels` of a statistic that is at least k / size only if k pictures of the window are unlike all of the reference.

    That all k of a pool's pictures of some kind come to lie in the window has a probability of at most (size / pooled) ** k.
    """
    return (size / pooled) ** np.maximum(statistics * size, 0.0)


def fewest_at(level: float, size: int, pooled: int) -> float:
    """The inverse of `fewest_level`."""
    return float(np.log(max(level, 1e-300)) / np.log(size / pooled) / size)


def went(before: float, after: float) -> str:
    """ "fell from 0.45 to 0.21", with digits enough to tell them apart."""
    verb = "rose" if after > before else "fell"
    return f"{verb} from {number(before, after)} to {number(after, before)}"


def number(value: float, other: float | None = None) -> str:
    """A number with two decimals, or as many as tell it from another."""
    difference = abs(value - other) if other is not None else 0.0
    decimals = 2
    while decimals < 5 and (
        0 < difference < 2 * 10.0**-decimals or (other is None and 0 < abs(value) < 10.0**-decimals)
    ):
        decimals += 1
    return f"{value:.{decimals}f}"


def percent(share: float) -> str:
    """ "7 %", with a decimal below ten per cent unless it is whole."""
    text = f"{100 * share:.1f}" if abs(share) < 0.0995 else f"{100 * share:.0f}"
    return f"{text.removesuffix('.0')} %"
