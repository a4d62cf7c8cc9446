"""The trials of a hyper-parameter search, each as a run inside the search's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from clip_har.tracking.tracker import Guarded, Tracker, flatten

RecordTrial = Callable[[int, Mapping[str, Any], Mapping[str, float], str], None]
"""Called as `record(number, settings, figures, state)` when a trial has ended."""


@contextmanager
def record_trials(
    make_tracker: Callable[[], Tracker | None], name: str, params: Mapping[str, Any], tags: Mapping[str, str]
) -> Iterator[RecordTrial]:
    """Open a run for a search; yields the function that records a trial in it.

    A tracker that has `inside(parent)` nests the trials' runs; with another they stand beside the search's.

    Args:
        make_tracker: gives a new tracker, or None to record nothing.
        name: of the search's run; those of the trials follow from it.
        params: what is searched for.
    """
    made: list[Tracker | None] = []

    def parent() -> Tracker | None:
        made.append(make_tracker())
        return made[0]

    search = Guarded(parent)
    search.start(name, flatten(dict(params)), dict(tags))

    def record(number: int, settings: Mapping[str, Any], figures: Mapping[str, float], state: str) -> None:
        def child() -> Tracker | None:
            tracker = make_tracker()
            if tracker is not None and hasattr(tracker, "inside"):
                tracker.inside(made[0])
            return tracker

        if not search.alive:
            return
        trial = Guarded(child)
        trial.start(f"{name} trial {number}", dict(settings), {**tags, "trial": str(number), "state": state})
        if figures:
            trial.metrics(dict(figures))
            search.metrics(dict(figures), number)
        trial.finish(state != "failed")

    try:
        yield record
    except BaseException:
        search.finish(False)
        raise
    search.finish()
