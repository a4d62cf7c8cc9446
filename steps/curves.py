"""Histories of training as points of curves: alike whether they are recorded while it runs or afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clip_har.tracking.outbox import Recording

Row = Mapping[str, float]
# What a trainer's row holds besides the setting that its fit was one of several for.
_OF_TRAINING = frozenset({"step", "epoch", "loss", "learning_rate", "skipped", "accuracy", "log_loss"})


@dataclass(frozen=True)
class Point:
    """Figures at a step of a curve.

    Attributes:
        curve: what comes before the figures' names: "lora", "clip_adapter/ratio 0.2".
    """

    curve: str
    step: int
    figures: Mapping[str, float]

    @property
    def metrics(self) -> dict[str, float]:
        """Key → figure, as trackers take them."""
        return {f"{self.curve}/{name}": value for name, value in self.figures.items()}


def points_of(part: str, history: Sequence[Row]) -> Iterator[Point]:
    """The points of a part of the run (a candidate's name), from its history.

    Rows of training lie at their step. Settings that were tried lie at their number: under the part's own name where
    nothing was trained, else under `before training` or `after training`.
    """
    trains = any("step" in row for row in history)
    number: dict[str, int] = {}
    trained = False
    for row in history:
        if "step" in row:
            trained = True
            yield trained_point(part, row)
            continue
        curve = f"{part}/{'after' if trained else 'before'} training" if trains else part
        number[curve] = number.get(curve, -1) + 1
        yield Point(curve, number[curve], dict(row))


def trained_point(part: str, row: Row) -> Point:
    """The point of a trainer's row; a method that is fitted several times has a curve for each."""
    setting = "".join(f"/{key} {row[key]:g}" for key in sorted(row.keys() - _OF_TRAINING))
    figures = {key: row[key] for key in row if key in _OF_TRAINING and key not in ("step", "epoch")}
    return Point(part + setting, int(row["step"]), figures)


class LiveCurves:
    """Records a part's curves while it is trained, and what is missing of them when its whole history is known.

    Args:
        part: the candidate's name.
        recording: the run; None to record nothing.
    """

    def __init__(self, part: str, recording: Recording | None) -> None:
        self._part, self._recording = part, recording
        self._recorded: set[tuple[str, int]] = set()

    def on_validation(self, row: Row) -> None:
        """Record a trainer's new row."""
        self._record([trained_point(self._part, row)])

    def complete(self, history: Sequence[Row]) -> None:
        """Record the rows that were not recorded yet: those of no training, and those before a fit was resumed."""
        self._record(points_of(self._part, history))

    def _record(self, points: Iterable[Point]) -> None:
        if self._recording is None:
            return
        for point in points:
            place = (point.curve, point.step)
            if place not in self._recorded:
                self._recorded.add(place)
                self._recording.metrics(point.metrics, point.step)


def search_part(candidate: str) -> str:
    """What a candidate's search is called in the run."""
    return f"search_{candidate}"


def trial_rows(trials: Iterable[Any]) -> list[dict[str, float]]:
    """The trials of a `SearchResult` as rows: their figures at their number; of those that have any."""
    return [{**trial.figures, "step": trial.number} for trial in trials if trial.figures]
