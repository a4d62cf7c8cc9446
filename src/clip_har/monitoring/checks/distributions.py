"""Checks that compare how one number a picture is spread: confidence, entropy, and the figures of the pictures."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from clip_har.monitoring.checks.base import Check, Values, fewest_at, fewest_level, number, went
from clip_har.monitoring.checks.comparison import Comparison
from clip_har.monitoring.checks.pool import Pool
from clip_har.monitoring.observations import Observations

_ALIKE = 0.15  # standard deviations by which a mean may differ and still be called the same


class DistributionCheck(Check):
    """Kolmogorov–Smirnov distance: the largest difference between the two distribution functions."""

    statistic_name = "Kolmogorov–Smirnov distance"
    noun: ClassVar[str]
    """What is compared, as the subject of a sentence."""

    @abstractmethod
    def of(self, pool: Pool) -> np.ndarray:
        """The number of each picture, float [n]; NaN where it is not known."""

    def statistics(self, pool: Pool, windows: np.ndarray) -> np.ndarray:
        return kolmogorov_smirnov(self.of(pool), windows)

    def levels(self, statistics: np.ndarray, size: int, pooled: int) -> np.ndarray:
        return fewest_level(statistics, size, pooled)

    def at_level(self, level: float, size: int, pooled: int) -> float:
        return fewest_at(level, size, pooled)

    def said(self, values: Values, drift: bool) -> str:
        before, after = values.means
        if before is None or after is None:
            return f"{self.noun} is not known."
        if not drift:
            return f"{self.noun} is {number(after)} on average, {number(before)} in the reference: no more than chance gives."
        spread, now = float(np.nanstd(values.reference)), float(np.nanstd(values.window))
        if abs(after - before) > _ALIKE * max(spread, 1e-12):
            return f"{self.noun} {went(before, after)}."
        return (
            f"{self.noun} is spread otherwise: {number(now, spread)} around {number(after)}, not {number(spread, now)}."
        )


def kolmogorov_smirnov(values: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Two-sample distance of each window from the rest: float64 [b] of float [n] and bool [b, n].

    Values that are not known are in neither; NaN where nothing is left of one of them.
    """
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    ordered = values[order]
    if not len(order):
        return np.full(len(windows), np.nan)
    inside = np.cumsum(windows[:, order], axis=1, dtype=np.int64)
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # of equal values
    in_window = inside[:, -1]
    both = in_window * (len(order) - in_window)
    # In whole numbers, so that equal distances are equal: |F - G| = |counts · n - ranks · w| / (w · (n - w)).
    distances = np.abs(inside[:, last] * len(order) - (last + 1) * in_window[:, None]).max(axis=1)
    return np.where(both > 0, distances / np.maximum(both, 1), np.nan)


class Confidence(DistributionCheck):
    """The calibrated probability of the best label."""

    name = "confidence"
    title = "Confidence"
    kind = "confidence"
    noun = "The model's confidence"

    def of(self, pool: Pool) -> np.ndarray:
        return pool.observations.confidence

    def values(self, comparison: Comparison) -> Values:
        return Values(comparison.reference.confidence, comparison.window.confidence)


class Entropy(DistributionCheck):
    """The entropy of the probabilities: how undecided the model is."""

    name = "entropy"
    title = "Entropy"
    kind = "confidence"
    unit = "nats"
    noun = "The entropy of the answers"

    def lacks(self, observations: Observations) -> str:
        return "probabilities of all labels" if observations.probabilities is None else ""

    def of(self, pool: Pool) -> np.ndarray:
        return pool.entropy

    def values(self, comparison: Comparison) -> Values:
        return Values(*comparison.entropies)


class FigureCheck(DistributionCheck):
    """A figure of the pictures themselves, whatever the model makes of them.

    Attributes:
        risen, fallen: what it means for the pictures ("brighter", "darker").
    """

    kind = "image"
    names_cause = True
    risen: ClassVar[str]
    fallen: ClassVar[str]

    def lacks(self, observations: Observations) -> str:
        figures = observations.figures.get(self.name)
        known = figures is not None and np.isfinite(figures).any()
        return "" if known else f"{self.title.lower()} of the pictures"

    def known(self, observations: Observations) -> np.ndarray | None:
        known = np.isfinite(observations.figures[self.name])
        return None if known.all() else known

    def of(self, pool: Pool) -> np.ndarray:
        return pool.observations.figures[self.name]

    def values(self, comparison: Comparison) -> Values:
        return Values(comparison.reference.figures[self.name], comparison.window.figures[self.name])

    def said(self, values: Values, drift: bool) -> str:
        sentence = super().said(values, drift)
        before, after = values.means
        if not drift or before is None or after is None or " is spread " in sentence:
            return sentence
        return f"The pictures are {self.risen if after > before else self.fallen}: {sentence[0].lower()}{sentence[1:]}"


class Brightness(FigureCheck):
    """Mean luma, 0 to 1."""

    name, title, noun = "brightness", "Brightness", "Brightness"
    risen, fallen = "brighter", "darker"


class Contrast(FigureCheck):
    """Standard deviation of the luma, 0 to 1."""

    name, title, noun = "contrast", "Contrast", "Contrast"
    risen, fallen = "richer in contrast", "flatter"


class Sharpness(FigureCheck):
    """Mean absolute Laplacian, 0 to 1."""

    name, title, noun = "sharpness", "Sharpness", "Sharpness"
    risen, fallen = "sharper or noisier", "blurred"


class Saturation(FigureCheck):
    """How coloured, 0 to 1."""

    name, title, noun = "saturation", "Saturation", "Saturation"
    risen, fallen = "more coloured", "greyer"


class Red(FigureCheck):
    """Mean of the red channel, 0 to 1."""

    name, title, noun = "red", "Red", "Red"
    risen, fallen = "redder", "less red"


class Green(FigureCheck):
    """Mean of the green channel, 0 to 1."""

    name, title, noun = "green", "Green", "Green"
    risen, fallen = "greener", "less green"


class Blue(FigureCheck):
    """Mean of the blue channel, 0 to 1."""

    name, title, noun = "blue", "Blue", "Blue"
    risen, fallen = "bluer", "less blue"


class Aspect(FigureCheck):
    """Width by height."""

    name, title, noun, unit = "aspect", "Aspect", "Width by height", ""
    risen, fallen = "wider", "narrower, or turned"


class Megapixels(FigureCheck):
    """Size in pixels."""

    name, title, noun, unit = "megapixels", "Size", "Size", "megapixels"
    risen, fallen = "larger", "smaller"


class BitsPerPixel(FigureCheck):
    """Bits of the file for a pixel: how strongly it is compressed."""

    name, title, noun, unit = "bits_per_pixel", "Compression", "Bits per pixel", "bits per pixel"
    risen, fallen = "less compressed", "more compressed"
