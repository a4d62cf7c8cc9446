"""Progress of long work: a bar with an estimate of the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[..., None]
"""Called as `report(done, total, note="")`."""

_SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def progress(what: str) -> Iterator[Report]:
    """Show the progress of a block on standard error; yields the function to report with.

    Args:
        what: what is being done, in words.
    """
    if sys.stderr.isatty():
        with _bar(what) as report:
            yield report
    else:
        yield _lines(what)


@contextmanager
def _bar(what: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None, note="")
        yield lambda done, total, note="": shown.update(task, completed=done, total=total, note=note)


def _lines(what: str) -> Report:
    started = last = time.monotonic()

    def report(done: int, total: int, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES and 0 < done < total:
            last = now
            left = (now - started) / done * (total - done)
            print(f"  {what}: {done} of {total}, about {left:.0f} s left {note}".rstrip(), file=sys.stderr, flush=True)

    return report
