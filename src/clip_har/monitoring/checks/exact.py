"""Checks with a probability of their own, of things that the reference has none of, or that only some windows have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clip_har.monitoring.accuracy import known_right
from clip_har.monitoring.checks.base import Values, percent
from clip_har.monitoring.config import MonitorConfig
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.report import Kind


@dataclass(frozen=True)
class Tested:
    """What an exact test gave.

    Attributes:
        p_value: of so much or more, if all is as it should be.
        statistic: what is compared; `threshold`: the least that is drift.
        excess: standard deviations of the statistic above what was to be expected.
        reference, current: shares.
        findings: in words, without a full stop.
    """

    p_value: float
    statistic: float
    threshold: float
    excess: float
    reference: float
    current: float
    findings: str


class ExactCheck(ABC):
    """A one-sided exact test; attributes as of a `Check`."""

    name: ClassVar[str]
    title: ClassVar[str]
    kind: ClassVar[Kind]
    statistic_name: ClassVar[str]
    unit: ClassVar[str] = "share"
    names_cause: ClassVar[bool] = True

    @abstractmethod
    def lacks(self, reference: Observations, window: Observations) -> str:
        """Why it cannot be made, in words; empty if it can."""

    @abstractmethod
    def test(self, reference: Observations, window: Observations, config: MonitorConfig, level: float) -> Tested:
        """The test, for a threshold that is passed with at most this probability."""

    def values(self, reference: Observations, window: Observations) -> Values | None:
        """What it looks at, a number a picture; None if it is about no single ones."""
        return None


class Errors(ExactCheck):
    """Are more pictures refused than is accepted? Binomial, against `monitor.error_share`."""

    name = "errors"
    title = "Refused pictures"
    kind = "quality"
    statistic_name = "refused pictures"

    def lacks(self, reference: Observations, window: Observations) -> str:
        return "" if len(window) + sum(window.errors.values()) else "There are no pictures."

    def test(self, reference: Observations, window: Observations, config: MonitorConfig, level: float) -> Tested:
        from scipy.stats import binom

        refused, share = sum(window.errors.values()), config.error_share
        count = len(window) + refused
        worst = sorted(window.errors.items(), key=lambda item: (-item[1], item[0]))
        reasons = f" ({', '.join(f'{name} {number}' for name, number in worst[:3])})" if worst else ""
        return Tested(
            p_value=float(binom.sf(refused - 1, count, share)),
            statistic=float(refused),
            threshold=float(binom.isf(level, count, share)),
            excess=(refused - count * share) / (count * share * (1 - share)) ** 0.5,
            reference=share,
            current=refused / count,
            findings=f"{percent(refused / count)} of the pictures were refused{reasons}, {percent(share)} are accepted",
        )


class Accuracy(ExactCheck):
    """Is it right less often than on the reference, where people gave labels? Fisher's exact test."""

    name = "accuracy"
    title = "Accuracy, from feedback"
    kind = "accuracy"
    statistic_name = "wrong answers"
    names_cause = False

    def lacks(self, reference: Observations, window: Observations) -> str:
        if not len(known_right(window)[0]):
            return "No feedback with labels was given for these pictures."
        return "" if len(known_right(reference)[0]) else "The reference's own accuracy is not known."

    def test(self, reference: Observations, window: Observations, config: MonitorConfig, level: float) -> Tested:
        from scipy.stats import hypergeom

        before, after = known_right(reference)[1], known_right(window)[1]
        wrong, labelled = int((1 - after).sum()), len(after)
        wrong_before, count = int((1 - before).sum()), len(before)

        def probability(number: int) -> float:
            """Of so many wrong answers or more among the window's, of all that there would be."""
            return float(hypergeom.sf(number - 1, count + labelled, wrong_before + number, labelled))

        expected = wrong_before / count
        share = (wrong_before + wrong + 0.5) / (count + labelled + 1)
        deviation = (share * (1 - share) * (1 / count + 1 / labelled)) ** 0.5
        told = f"{percent(1 - wrong / labelled)} of {labelled} labelled pictures were recognised"
        return Tested(
            p_value=probability(wrong),
            statistic=float(wrong),
            threshold=float(_most(probability, level, labelled)),
            excess=(wrong / labelled - expected) / deviation,
            reference=1 - expected,
            current=1 - wrong / labelled,
            findings=f"{told}, {percent(1 - expected)} of the reference",
        )

    def values(self, reference: Observations, window: Observations) -> Values | None:
        return Values(_right(reference), _right(window))


def _right(observations: Observations) -> np.ndarray:
    """float64 [n]: 1 for a right answer, 0 for a wrong one, NaN where the truth is not known."""
    known, right = known_right(observations)
    values = np.full(len(observations), np.nan)
    values[known] = right
    return values


def _most(probability, level: float, most: int) -> int:
    """The largest number that is not drift, by bisection: probabilities fall with the number."""
    low, high = -1, most + 1  # low is not drift; high is, or is out of reach
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if probability(middle) <= level else (middle, high)
    return low
