"""Who may come in: a bounded house of pictures, and a promise about time that is only made where it can be kept."""

from __future__ import annotations

import time
from types import TracebackType

from clip_har.serving.config import QueueConfig
from clip_har.serving.errors import TooLarge, TooManyRequests, Unavailable

_SHARE_OF_NEWEST = 0.1  # of the last picture's pace in the average
_LEAST_RETRY = 0.1  # seconds


class Ticket:
    """A request's place. A context manager: leaving the block, however that happens, frees it.

    Attributes:
        deadline: when the request must be answered, by `time.monotonic()`.
        images: pictures that it holds places for.
    """

    __slots__ = ("_admission", "_inside", "deadline", "images")

    def __init__(self, admission: Admission, images: int, deadline: float) -> None:
        self._admission, self.images, self.deadline = admission, images, deadline
        self._inside = True

    def widen(self, images: int) -> None:
        """Hold places for so many pictures, once the body has been read and they are counted.

        Raises:
            TooManyRequests: if there is no room for those that were not expected.
        """
        if self._inside and images != self.images:
            self._admission._resize(self, max(1, images))

    def leave(self) -> None:
        """Free the places; once more does nothing."""
        if self._inside:
            self._inside = False
            self._admission._free(self.images)

    @property
    def seconds_left(self) -> float:
        """Until the deadline; negative after it."""
        return self.deadline - time.monotonic()

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.leave()


class Admission:
    """Lets pictures in while there is room for them and time to answer them. For one thread: the event loop's.

    Args:
        config: how much may wait, and how long.

    Attributes:
        depth: pictures inside: waiting, or being answered.
        capacity: how many there may be.
        closed_because: why nobody is let in, as a sentence; None while it is open.
    """

    def __init__(self, config: QueueConfig) -> None:
        self.capacity = config.max_waiting
        self.depth = 0
        self.closed_because: str | None = "The service is starting."
        self._seconds = config.deadline_seconds
        self._pace = 0.0
        self._last = 0.0

    def enter(self, images: int = 1, deadline: float | None = None) -> Ticket:
        """Take places for a request, before its body is read.

        Args:
            images: pictures that it is thought to hold.
            deadline: when the caller wants its answer, by `time.monotonic()`; the service's own bound holds in any case.

        Raises:
            TooManyRequests: if the house is full, or the answer would come after the deadline.
            Unavailable: before the service is ready, and when it is shutting down.
        """
        if self.closed_because is not None:
            raise Unavailable(self.closed_because, retry_after=1.0)
        now = time.monotonic()
        until = now + self._seconds
        if deadline is not None and deadline < until:
            until = deadline
        self._require_room(images)
        wait = self.estimated_wait(images)
        # Into an empty house the pace of another time keeps nobody out, or it could never be found to have changed.
        if until <= now or (self.depth and now + wait > until):
            raise TooManyRequests(
                f"The answer would take about {wait:.1f} s, which is more than the {max(0.0, until - now):.1f} s that the "
                "request may take. Try again later.",
                retry_after=max(_LEAST_RETRY, now + wait - until),
            )
        self.depth += images
        return Ticket(self, images, until)

    def estimated_wait(self, images: int = 0) -> float:
        """Seconds until all pictures inside, and so many more, will have been answered."""
        return (self.depth + images) * self._pace

    def answered(self, started: float) -> None:
        """Note that a picture was answered just now: the pace is the time from one to the next.

        Args:
            started: when work on it began, by `time.monotonic()`.
        """
        now = time.monotonic()
        seconds, self._last = now - max(self._last, started), now
        self._pace = seconds if not self._pace else self._pace + _SHARE_OF_NEWEST * (seconds - self._pace)

    def expect(self, pace: float) -> None:
        """Seconds to a picture until something was answered: the first picture, cold, is no measure for many.

        Args:
            pace: as found before there were requests.
        """
        if not self._last:
            self._pace = pace

    def open(self) -> None:
        """Let requests in."""
        self.closed_because = None

    def close(self, because: str) -> None:
        """Let no more requests in; those inside stay."""
        self.closed_because = because

    def _resize(self, ticket: Ticket, images: int) -> None:
        if images > self.capacity:
            raise TooLarge(f"{images} pictures in one request; at most {self.capacity} are answered at one time.")
        self._require_room(images - ticket.images)
        self.depth += images - ticket.images
        ticket.images = images

    def _require_room(self, images: int) -> None:
        if images > 0 and self.depth + images > self.capacity:
            raise TooManyRequests(
                f"{self.depth} pictures are waiting or being answered, of {self.capacity} that may. Try again later.",
                retry_after=max(_LEAST_RETRY, self.estimated_wait()),
            )

    def _free(self, images: int) -> None:
        self.depth -= images
