"""How often a key may ask: a token bucket."""

from __future__ import annotations

import time
from collections.abc import Callable


class TokenBucket:
    """Lets `rate` requests a second through, and up to `burst` at once after a pause.

    Args:
        rate: tokens that come back each second.
        burst: tokens that the bucket holds.
        clock: seconds that only grow.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = rate, max(1.0, burst), clock
        self._tokens, self._filled = self.burst, clock()

    def take(self) -> float:
        """Take a token: 0.0 if there was one, else the seconds until there will be (and none is taken)."""
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + (now - self._filled) * self.rate)
        self._filled = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self.rate

    def like(self, rate: float, burst: float) -> bool:
        """Whether this bucket keeps to these two numbers."""
        return (self.rate, self.burst) == (rate, max(1.0, burst))
