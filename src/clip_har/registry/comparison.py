"""Two models on the same photographs: what is more than chance, class by class, and how far confidence can be trusted.

Everything here is paired: a photograph that both models get right, or wrong, says nothing about which is better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.models.estimates import Estimate, figures_of_confusion

Metric = Literal["accuracy", "balanced_accuracy", "macro_f1"]
_CHUNK = 100  # bootstrap samples held in memory at one time
_BINS = 10


class Discordant(ComponentConfig):
    """Photographs that exactly one of the two models gets right: all that McNemar's test looks at."""

    gained: int = Field(ge=0, description="The challenger is right and the champion wrong.")
    lost: int = Field(ge=0, description="The other way round.")
    p: float = Field(ge=0, le=1, description="McNemar's exact p, two-sided.")
    wanted: int | None = Field(description="How many would have to be gained, of as many, for p below alpha.")


class ClassChange(ComponentConfig):
    """One class: how many of its photographs each model gets right."""

    label: str = Field(description="The class.")
    samples: int = Field(ge=0, description="Its photographs.")
    champion: float | None = Field(description="Share that the champion gets right; null without photographs.")
    challenger: float | None = Field(description="Share that the challenger gets right.")
    p: float = Field(description="Exact p, one-sided: that chance alone would lose as many of those they differ on.")
    lost: bool = Field(description="Whether the class counts as lost: more than the margin, and more than chance.")

    @property
    def change(self) -> float:
        """Challenger minus champion; 0 without photographs."""
        return 0.0 if self.champion is None or self.challenger is None else self.challenger - self.champion


def over_labels(probabilities: np.ndarray, own: tuple[str, ...], names: tuple[str, ...]) -> np.ndarray:
    """A model's probabilities [n, own] in the columns of other labels, float64 [n, names]; 0 for what it does not know.

    So a photograph of a class that a model does not know counts as wrong for it, whatever it answers.

    Args:
        names: labels, all of the model's own among them.
    """
    spread = np.zeros((len(probabilities), len(names)))
    spread[:, [names.index(label) for label in own]] = probabilities
    return spread


def mcnemar(challenger: np.ndarray, champion: np.ndarray, alpha: float = 0.05) -> Discordant:
    """McNemar's exact test (McNemar 1947; exact binomial form): of d photographs that exactly one model gets right, each
    is as likely to be the one's as the other's if they are equally good.

    Args:
        challenger, champion: bool [n], whether each answer is right.
    """
    gained = int((challenger & ~champion).sum())
    lost = int((champion & ~challenger).sum())
    return Discordant(
        gained=gained, lost=lost, p=_sign_test(gained, gained + lost), wanted=wanted_gains(gained + lost, alpha)
    )


def wanted_gains(discordant: int, alpha: float) -> int | None:
    """The smallest number of gains among so many discordant photographs for which p is below alpha; None if none is."""
    from scipy.stats import binom

    count = max(int(binom.isf(alpha / 2, discordant, 0.5)), discordant // 2) if discordant else 0
    while count <= discordant and _sign_test(count, discordant) >= alpha:
        count += 1
    return count if count <= discordant else None


def _sign_test(count: int, total: int, alternative: str = "two-sided") -> float:
    from scipy.stats import binomtest

    return float(binomtest(count, total, 0.5, alternative=alternative).pvalue) if total else 1.0


def metric_gain(
    metric: Metric,
    challenger: np.ndarray,
    champion: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    resamples: int,
    seed: int,
) -> Estimate:
    """Challenger minus champion, with the 95 % percentile interval of a bootstrap that draws photographs, and so keeps
    the pairs (Efron and Tibshirani 1993, chapter 13).

    Args:
        challenger, champion, labels: int [n], predicted and true classes.
        classes: their number.
    """
    figure = _figure(metric, labels, classes)
    value = figure(challenger[None], None)[0] - figure(champion[None], None)[0]
    drawn = [
        figure(challenger[rows], rows) - figure(champion[rows], rows) for rows in _draws(len(labels), resamples, seed)
    ]
    return _estimate(value, drawn)


def metric_value(
    metric: Metric, predicted: np.ndarray, labels: np.ndarray, classes: int, *, resamples: int, seed: int
) -> Estimate:
    """One model's figure with its 95 % bootstrap interval, on the same draws as `metric_gain`."""
    figure = _figure(metric, labels, classes)
    drawn = [figure(predicted[rows], rows) for rows in _draws(len(labels), resamples, seed)]
    return _estimate(figure(predicted[None], None)[0], drawn)


def permutation_p(
    metric: Metric,
    challenger: np.ndarray,
    champion: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    resamples: int,
    seed: int,
) -> float:
    """Two-sided p of a paired permutation test (Yeh 2000, "More accurate tests for the statistical significance of result
    differences"): for metrics that are no mean over photographs. The two answers to a photograph are swapped at random.
    """
    figure = _figure(metric, labels, classes)
    seen = abs(figure(challenger[None], None)[0] - figure(champion[None], None)[0])
    generator = np.random.default_rng(seed)
    as_far = 0
    for start in range(0, resamples, _CHUNK):
        swapped = generator.random((min(_CHUNK, resamples - start), len(labels))) < 0.5
        first, second = np.where(swapped, champion, challenger), np.where(swapped, challenger, champion)
        as_far += int((np.abs(figure(first, None) - figure(second, None)) >= seen - 1e-12).sum())
    return (as_far + 1) / (resamples + 1)


def class_changes(
    challenger: np.ndarray,
    champion: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    *,
    margin: float,
    alpha: float,
) -> tuple[ClassChange, ...]:
    """A row a class. One counts as lost if its share of right answers fell by more than the margin, and the photographs
    that the models differ on would fall so unevenly by chance with a probability below alpha (one-sided exact sign test).

    A class of few photographs can so only be lost when nearly all of those they differ on are.

    Args:
        challenger, champion: bool [n], whether each answer is right.
        labels: int [n], indices in `names`.
    """
    rows = []
    for index, name in enumerate(names):
        inside = labels == index
        count = int(inside.sum())
        ours, theirs = challenger[inside], champion[inside]
        gained, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
        p = _sign_test(gained, gained + lost, "less")
        shares = (float(theirs.mean()), float(ours.mean())) if count else (None, None)
        fell = count > 0 and (lost - gained) / count > margin
        rows.append(
            ClassChange(
                label=name, samples=count, champion=shares[0], challenger=shares[1], p=p, lost=fell and p < alpha
            )
        )
    return tuple(rows)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, *, resamples: int, seed: int) -> Estimate:
    """Expected calibration error of the winning class with its 95 % bootstrap interval.

    The figure is that of `clip_har.models.estimates.reliability` (Guo et al. 2017, section 2; ten bins). The error of a
    sample is larger than that of all photographs would be, the more so the fewer there are: compare models on equal ones.

    Args:
        probabilities: [n, c].
    """
    value = _calibration_figure(probabilities, labels)
    everything = np.arange(len(labels))[None]
    return _estimate(value(everything)[0], [value(rows) for rows in _draws(len(labels), resamples, seed)])


def calibration_gain(
    challenger: np.ndarray, champion: np.ndarray, labels: np.ndarray, *, resamples: int, seed: int
) -> Estimate:
    """Calibration error, challenger minus champion, with its paired 95 % bootstrap interval; above 0 is worse.

    Args:
        challenger, champion: probabilities [n, c].
    """
    first, second = _calibration_figure(challenger, labels), _calibration_figure(champion, labels)
    everything = np.arange(len(labels))[None]
    drawn = [first(rows) - second(rows) for rows in _draws(len(labels), resamples, seed)]
    return _estimate(first(everything)[0] - second(everything)[0], drawn)


def _calibration_figure(probabilities: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """rows int [k, n] → calibration error of each of k samples, float [k]."""
    confidence = probabilities.max(axis=1)
    gap = (probabilities.argmax(axis=1) == labels) - confidence
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)

    def figure(rows: np.ndarray) -> np.ndarray:
        cells = (bins[rows] + _BINS * np.arange(len(rows))[:, None]).ravel()
        sums = np.bincount(cells, weights=gap[rows].ravel(), minlength=_BINS * len(rows))
        return np.abs(sums.reshape(len(rows), _BINS)).sum(axis=1) / rows.shape[1]

    return figure


def _figure(metric: Metric, labels: np.ndarray, classes: int) -> Callable[[np.ndarray, np.ndarray | None], np.ndarray]:
    """(predicted int [k, n], rows int [k, n] or None for all in order) → the metric of each of k samples, float [k]."""

    def figure(predicted: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        truth = labels[None] if rows is None else labels[rows]
        if metric == "accuracy":
            return (predicted == truth).mean(axis=1)
        cells = truth * classes + predicted + classes**2 * np.arange(len(predicted))[:, None]
        counts = np.bincount(cells.ravel(), minlength=len(predicted) * classes**2)
        return figures_of_confusion(counts.reshape(len(predicted), classes, classes))[metric]

    return figure


def _draws(samples: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Rows int [k, samples] of bootstrap samples, some at a time; the same for the same seed."""
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        yield generator.integers(0, samples, size=(min(_CHUNK, resamples - start), samples))


def _estimate(value: float, drawn: list[np.ndarray]) -> Estimate:
    low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5])
    return Estimate(value=float(value), low=float(low), high=float(high))
