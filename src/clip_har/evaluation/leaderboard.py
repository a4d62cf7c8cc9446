"""The leaderboard: a row a method on the validation split, the winner, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.errors import DataError
from clip_har.evaluation.metrics import Estimate, difference, estimates
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.head import softmax

_LOWER_IS_BETTER = frozenset({"log_loss"})


class LeaderboardRow(ComponentConfig):
    """One candidate on the validation split."""

    name: str = Field(description="The candidate's name.")
    method: str = Field(description="Its adaptation method.")
    metrics: dict[str, Estimate] = Field(description="All figures, with 95 % intervals.")
    behind_winner: Estimate | None = Field(
        None, description="Paired difference of accuracy to the winner, with its 95 % interval."
    )
    trained_parameters: int = Field(description="How many numbers were fitted.")
    open_vocabulary: OpenVocabulary = Field(description="What becomes of other labels, and what that rests on.")
    remarks: tuple[str, ...] = Field((), description="What a reader should know.")


class Leaderboard(ComponentConfig):
    """All candidates, the best first."""

    select_by: str = Field(description="Figure by which the winner was chosen.")
    samples: int = Field(description="Photographs in the validation split.")
    rows: tuple[LeaderboardRow, ...] = Field(min_length=1, description="Candidates, the best first.")
    why: str = Field(description="Why the first row won, in words.")

    @property
    def winner(self) -> LeaderboardRow:
        """The best candidate."""
        return self.rows[0]

    @property
    def open_vocabularies(self) -> dict[str, OpenVocabulary]:
        """Name of each candidate → what becomes of other labels."""
        return {row.name: row.open_vocabulary for row in self.rows}

    def figures(self) -> dict[str, Any]:
        """The figures on the validation split alone, for `metrics.json`."""
        return {
            "winner": self.winner.name,
            **{
                row.name: {name: estimate.model_dump() for name, estimate in sorted(row.metrics.items())}
                for row in self.rows
            },
        }

    def table(self) -> list[dict[str, Any]]:
        """A row a candidate, the best first, each figure with its interval."""
        return [
            {
                "name": row.name,
                "method": row.method,
                **{name: estimate.model_dump() for name, estimate in sorted(row.metrics.items())},
                "trained_parameters": row.trained_parameters,
                "other_labels": row.open_vocabulary.word,
            }
            for row in self.rows
        ]


class Entry(ComponentConfig):
    """What the leaderboard needs to know of a candidate."""

    model_config = ComponentConfig.model_config | {"arbitrary_types_allowed": True}

    name: str
    method: str
    logits: np.ndarray
    trained_parameters: int
    open_vocabulary: OpenVocabulary
    remarks: tuple[str, ...] = ()


def compare(
    entries: Sequence[Entry], labels: np.ndarray, *, select_by: str, resamples: int = 1000, seed: int = 0
) -> Leaderboard:
    """Rank candidates by a figure on the same samples; among equals, the one with fewer fitted numbers is better, then the first.

    Args:
        entries: candidates with logits float [n, c] on the same n samples.
        labels: int [n].

    Raises:
        DataError: if there is no candidate.
    """
    if not entries:
        raise DataError("There is no candidate to compare: adaptation.methods is empty.")
    probabilities = {entry.name: softmax(entry.logits) for entry in entries}
    figures = {
        name: estimates(values, labels, resamples=resamples, seed=seed) for name, values in probabilities.items()
    }
    sign = 1.0 if select_by in _LOWER_IS_BETTER else -1.0
    ranked = sorted(entries, key=lambda entry: (sign * figures[entry.name][select_by].value, entry.trained_parameters))
    best = probabilities[ranked[0].name].argmax(axis=1)
    rows = []
    for entry in ranked:
        behind = None
        if entry is not ranked[0]:
            predicted = probabilities[entry.name].argmax(axis=1)
            behind = difference(best, predicted, labels, resamples=resamples, seed=seed)
        rows.append(
            LeaderboardRow(
                name=entry.name,
                method=entry.method,
                metrics=figures[entry.name],
                behind_winner=behind,
                trained_parameters=entry.trained_parameters,
                open_vocabulary=entry.open_vocabulary,
                remarks=entry.remarks,
            )
        )
    return Leaderboard(select_by=select_by, samples=len(labels), rows=tuple(rows), why=_why(rows, select_by))


def _why(rows: list[LeaderboardRow], select_by: str) -> str:
    winner = rows[0]
    figure = winner.metrics[select_by]
    named = select_by.replace("_", " ")
    sentence = (
        f"{winner.name} has the best {named} on the validation split: {figure.value:.3f} "
        f"(95 % interval {figure.low:.3f} to {figure.high:.3f})."
    )
    if len(rows) == 1:
        return f"{sentence} It was the only candidate."
    second = rows[1]
    if second.metrics[select_by].value == figure.value:
        reason = "comes later in the list"
        if second.trained_parameters > winner.trained_parameters:
            reason = "has more fitted parameters"
        return f"{sentence} {second.name} equals it, but {reason}."
    gap = second.behind_winner
    assert gap is not None
    if gap.value > 0:  # the figure that decides is another
        return (
            f"{sentence} The next, {second.name}, has a {named} of {second.metrics[select_by].value:.3f}, though it is "
            f"{100 * gap.value:.1f} points of accuracy ahead (95 % interval {_points(gap.low)} to {_points(gap.high)})."
        )
    verdict = "more than chance explains" if gap.high < 0 else "which may be chance at this number of photographs"
    return (
        f"{sentence} The next, {second.name}, is {abs(100 * gap.value):.1f} points of accuracy behind "
        f"(95 % interval {_points(-gap.high)} to {_points(-gap.low)}), {verdict}."
    )


def _points(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:.1f}".replace("-", "\u2212")  # + 0.0: no minus before a zero
