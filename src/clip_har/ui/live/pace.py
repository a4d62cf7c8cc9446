"""How often something happens, and how long it takes, over the last few seconds."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable


class Pace:
    """Times at which something happened, and how long each took.

    Args:
        window: seconds that are looked back on.
        clock: seconds, never going back.
    """

    def __init__(self, window: float = 3.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window, self._clock = window, clock
        self._seen: deque[tuple[float, float]] = deque(maxlen=1000)
        self._lock = threading.Lock()

    def happened(self, took: float = 0.0) -> None:
        """Once more, just now.

        Args:
            took: seconds.
        """
        with self._lock:
            self._seen.append((self._clock(), took))

    def rate(self) -> float:
        """Times a second; 0 if it has stopped."""
        seen = [at for at, _ in self._recent()]
        return (len(seen) - 1) / (seen[-1] - seen[0]) if len(seen) > 1 and seen[-1] > seen[0] else 0.0

    def took(self) -> float | None:
        """Median of how long it took, in seconds."""
        recent = [took for _, took in self._recent()]
        return statistics.median(recent) if recent else None

    def _recent(self) -> list[tuple[float, float]]:
        since = self._clock() - self._window
        with self._lock:
            return [one for one in self._seen if one[0] >= since]
