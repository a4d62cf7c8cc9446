"""Answers over a clip's time: calmed, and joined to segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

_FAR = 6  # half-lives, after which an answer counts less than 2 %


@dataclass(frozen=True)
class Moment:
    """What a frame shows.

    Attributes:
        time: seconds from the clip's beginning.
        scores: label and probability; None if the frame was not answered.
    """

    time: float
    scores: Mapping[str, float] | None


@dataclass(frozen=True)
class Segment:
    """A stretch of a clip in which one thing is done.

    Attributes:
        start, end: seconds from the clip's beginning.
        label: None: nothing that is sure enough.
        confidence: mean probability of its label, or of the likeliest ones.
    """

    start: float
    end: float
    label: str | None
    confidence: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


def calmed(moments: Sequence[Moment], half_life: float) -> list[Moment]:
    """Each moment's scores as a mean over those around it, weighted by how near they are; changes stay where they are.

    Args:
        moments: by time.
        half_life: seconds after which an answer counts half; 0: nothing is averaged.

    Returns:
        The moments that were answered.
    """
    known = [moment for moment in moments if moment.scores is not None]
    if half_life <= 0:
        return known
    found, first = [], 0
    for moment in known:
        while moment.time - known[first].time > _FAR * half_life:
            first += 1
        total, sums = 0.0, dict.fromkeys(moment.scores, 0.0)
        for other in known[first:]:
            apart = other.time - moment.time
            if apart > _FAR * half_life:
                break
            weight = 0.5 ** (abs(apart) / half_life)
            total += weight
            for label, score in other.scores.items():
                sums[label] = sums.get(label, 0.0) + weight * score
        found.append(Moment(moment.time, {label: value / total for label, value in sums.items()}))
    return found


def segments(
    moments: Sequence[Moment], end: float, *, threshold: float | None = None, shortest: float = 0.0
) -> list[Segment]:
    """What is done when: neighbours that show the same are one segment, and short ones go to the longer neighbour.

    Args:
        moments: answered ones by time; each holds until the next, the first from 0.
        end: of the clip, in seconds.
        threshold: below it a moment shows nothing; None: always the likeliest.
        shortest: seconds; a clip that is shorter as a whole keeps one segment.
    """
    found: list[Segment] = []
    for number, moment in enumerate(moments):
        label, score = min(moment.scores.items(), key=lambda one: (-one[1], one[0]))
        start = moment.time if number else 0.0
        until = moments[number + 1].time if number + 1 < len(moments) else max(end, moment.time)
        one = Segment(start, until, label if threshold is None or score >= threshold else None, score)
        found = _joined([*found, one]) if found and found[-1].label == one.label else [*found, one]
    while len(found) > 1 and min(found, key=lambda one: one.seconds).seconds < shortest:
        found = _joined(_without_shortest(found))
    return found


def _without_shortest(found: list[Segment]) -> list[Segment]:
    at = min(range(len(found)), key=lambda number: found[number].seconds)
    into = max(
        (number for number in (at - 1, at + 1) if 0 <= number < len(found)), key=lambda number: found[number].seconds
    )
    first, last = sorted((at, into))
    grown = replace(found[into], start=found[first].start, end=found[last].end)
    return [*found[:first], grown, *found[last + 1 :]]


def _joined(found: list[Segment]) -> list[Segment]:
    """Neighbours of the same label as one."""
    joined: list[Segment] = []
    for one in found:
        if joined and joined[-1].label == one.label:
            last = joined[-1]
            long = last.seconds + one.seconds
            mean = (
                (last.confidence * last.seconds + one.confidence * one.seconds) / long if long > 0 else one.confidence
            )
            joined[-1] = Segment(last.start, one.end, one.label, mean)
        else:
            joined.append(one)
    return joined
