"""Probabilities over time, calmed: an exponential average that goes by time and not by frames."""

from __future__ import annotations

from collections.abc import Mapping

Scores = Mapping[str, float]
"""Label → probability in [0, 1]. What an answer leaves out counts as 0."""


def old_share(seconds: float, half_life: float) -> float:
    """How much what was known before still counts, in [0, 1].

    Args:
        seconds: since then.
        half_life: seconds after which it counts half; 0: nothing is remembered.
    """
    return 0.0 if half_life <= 0 else 0.5 ** (max(seconds, 0.0) / half_life)


def smoothed(before: Scores | None, now: Scores, seconds: float, half_life: float) -> dict[str, float]:
    """The average after one more answer, however far apart the answers are (Holt's exponential smoothing in continuous time).

    Args:
        before: the average until now; None at the beginning.
        now: the new answer.
        seconds: between the two.

    Returns:
        Every label of both; if both sum to 1, so does it.
    """
    if before is None:
        return dict(now)
    old = old_share(seconds, half_life)
    return {label: old * before.get(label, 0.0) + (1 - old) * now.get(label, 0.0) for label in {**before, **now}}


def ranked(scores: Scores) -> list[tuple[str, float]]:
    """Labels with their probabilities, the likeliest first, equal ones by name."""
    return sorted(scores.items(), key=lambda one: (-one[1], one[0]))
