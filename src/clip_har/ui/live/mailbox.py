"""A place for one thing: who takes gets the newest, and what was not taken in time is gone."""

from __future__ import annotations

import threading
import time
from typing import Generic, TypeVar

_Thing = TypeVar("_Thing")


class Mailbox(Generic[_Thing]):
    """One slot between a thread that never waits and one that takes as fast as it can.

    Attributes:
        replaced: things that were never taken, because a newer one came.
    """

    def __init__(self) -> None:
        self._filled = threading.Condition()
        self._held: list[_Thing] = []
        self.replaced = 0

    def put(self, thing: _Thing) -> None:
        """Lay something in, in the place of what lies there. Never waits."""
        with self._filled:
            self.replaced += len(self._held)
            self._held = [thing]
            self._filled.notify()

    def take(self, seconds: float) -> _Thing | None:
        """The newest thing, waited for; None if none comes in time."""
        until = time.monotonic() + seconds
        with self._filled:
            while not self._held:
                left = until - time.monotonic()
                if left <= 0 or not self._filled.wait(left):
                    break
            return self._held.pop() if self._held else None
