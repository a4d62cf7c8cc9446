"""When to try again: refusals that ask for it and connections that break, within one deadline, never for long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from clip_har.client.errors import ServiceProblem
from clip_har.client.settings import ClientSettings

# The service, or a proxy before it, says that it has not acted on the request, or could not say what it did.
_REFUSED = (429, 503)
_OF_PROXIES = (408, 502, 504)
_SHORTEST_TRY = 0.001


class Tries:
    """The tries of one call. It does no waiting itself, so that threads and event loops share it.

        tries = Tries(settings, repeatable=True)
        while True:
            try:
                return send(timeout=tries.seconds_left())
            except ServiceProblem as problem:
                sleep(tries.wait_after(problem))

    Args:
        repeatable: whether the call may be made again where an earlier try may have been acted on; if not, it is
            tried again only where the service surely has not done so.
        clock, jitter: seconds, and a random number from 0 to 1.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        repeatable: bool,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._repeatable, self._clock, self._jitter = settings, repeatable, clock, jitter
        self._until = clock() + settings.deadline_seconds
        self._made = 0

    def seconds_left(self) -> float:
        """Of the deadline; a little more than nothing once it is over."""
        return max(_SHORTEST_TRY, self._until - self._clock())

    def wait_after(self, problem: ServiceProblem) -> float:
        """Seconds to wait before the next try.

        Never less than the service asks for; above it, a random share of the backoff, so that clients that were refused
        together do not come back together.

        Raises:
            ServiceProblem: the problem, if there is to be no other try: it would be answered the same, might be done
                twice, is one too many, or could not be answered within the deadline.
        """
        self._made += 1
        if self._made >= self._settings.tries or not self._worth_trying(problem):
            raise problem
        backoff = min(self._settings.most_backoff_seconds, self._settings.backoff_seconds * 2 ** (self._made - 1))
        wait = (problem.retry_after or 0.0) + backoff * self._jitter()
        if self._clock() + wait >= self._until:
            raise problem
        return wait

    def _worth_trying(self, problem: ServiceProblem) -> bool:
        if problem.maybe_done and not self._repeatable:
            return False
        if problem.status is None:
            return True
        return problem.status in _REFUSED or (problem.status in _OF_PROXIES and self._repeatable)


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a header Retry-After asks for, as a number or a date; None if it says nothing of use."""
    if not header:
        return None
    text = header.strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
