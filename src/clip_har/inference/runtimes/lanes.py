"""How callers share a machine's cores: one alone has them all, several have one each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Lanes:
    """A machine's cores, given to one caller together or to several one by one.

    One picture is answered soonest by all cores together; many pictures, by each core for itself: nothing waits for
    the slowest share of a layer.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._busy = 0
        self._changed = threading.Condition()

    @contextmanager
    def all_or_one(self) -> Iterator[bool]:
        """All cores if nobody has one now (yields True), else one of them, as soon as it is free (False)."""
        with self._changed:
            together = self._busy == 0
            if not together:
                self._changed.wait_for(lambda: self._busy < self.count)
            taken = self.count if together else 1
            self._busy += taken
        try:
            yield together
        finally:
            self._give_back(taken)

    @contextmanager
    def one(self) -> Iterator[None]:
        """One core, as soon as it is free."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy < self.count)
            self._busy += 1
        try:
            yield
        finally:
            self._give_back(1)

    def _give_back(self, taken: int) -> None:
        with self._changed:
            self._busy -= taken
            self._changed.notify_all()
