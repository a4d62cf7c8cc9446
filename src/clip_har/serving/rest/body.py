"""Reading a request's body: bounded in bytes and in time, and without a place in the queue while it only trickles in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from clip_har.serving.admission import Admission, Ticket
from clip_har.serving.errors import RequestTimeout, TooLarge, TooManyRequests

Receive = Callable[[], Awaitable[Any]]

_PATIENCE = 0.5  # seconds that a body may take before its request gives its place back until the body is there
_MOST_SLOW = 256  # requests whose bodies trickle in at one time
_WHOLE_BODIES = 16  # bodies of the largest size that are held in memory at one time


class ClientGone(Exception):
    """The client hung up: there is nobody to answer."""


class Bodies:
    """Reads bodies, and knows how much of them is in memory.

    Args:
        max_body_bytes: of one request.
        seconds: that a body may take.
    """

    def __init__(self, max_body_bytes: int, seconds: float) -> None:
        self._room = _WHOLE_BODIES * max_body_bytes
        self._seconds = seconds
        self._slow = 0
        self.held = 0

    def reading(self, receive: Receive, limit: int) -> BodyReader:
        """A reader for one request; `release` frees what it holds."""
        return BodyReader(self, receive, limit)

    def _take(self, size: int) -> None:
        if self.held + size > self._room:
            raise TooManyRequests("The bodies of other requests fill the memory meant for them.", retry_after=1.0)
        self.held += size


class BodyReader:
    """One request's body.

    Attributes:
        size: bytes read.
        complete: whether that is all.
    """

    def __init__(self, bodies: Bodies, receive: Receive, limit: int) -> None:
        self._bodies, self._receive, self._limit = bodies, receive, limit
        self._parts: list[bytes] = []
        self.complete = False
        self.size = 0

    async def read(self, ticket: Ticket | None, admission: Admission) -> tuple[bytes, Ticket | None]:
        """The body, and the ticket that the request holds from here on.

        Raises:
            TooLarge: as soon as there are more bytes than allowed.
            RequestTimeout: if it does not come in time.
            TooManyRequests: if there is no memory for it, or no place any more once a slow one has come.
            ClientGone: if the client hangs up.
        """
        try:
            async with asyncio.timeout(min(_PATIENCE, self._bodies._seconds)):
                await self._until_complete()
        except TimeoutError:
            if ticket is not None:
                ticket.leave()
            await self._read_slowly()
            if ticket is not None:
                ticket = admission.enter()
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        return body, ticket

    def release(self) -> None:
        """The body is not needed any more."""
        self._bodies.held -= self.size
        self.size = 0
        self._parts = []

    async def drain(self, most: int, seconds: float) -> None:
        """Throw away what is still coming, so that a client that sends first and reads then sees its answer."""
        try:
            async with asyncio.timeout(seconds):
                while most > 0:
                    message = await self._receive()
                    if message["type"] != "http.request" or not message.get("more_body"):
                        return
                    most -= len(message.get("body", b""))
        except TimeoutError:
            return

    async def _read_slowly(self) -> None:
        if self._bodies._slow >= _MOST_SLOW:
            raise TooManyRequests("Too many requests are sending their bodies slowly.", retry_after=1.0)
        self._bodies._slow += 1
        try:
            async with asyncio.timeout(self._bodies._seconds):
                await self._until_complete()
        except TimeoutError:
            raise RequestTimeout(
                f"The body did not come within {self._bodies._seconds:g} s: {self.size:,} bytes of it are here."
            ) from None
        finally:
            self._bodies._slow -= 1

    async def _until_complete(self) -> None:
        while not self.complete:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGone
            part = message.get("body", b"")
            if self.size + len(part) > self._limit:
                raise TooLarge(f"The body has more than the {self._limit:,} bytes that are allowed.", field="body")
            if part:
                self._bodies._take(len(part))
                self.size += len(part)
                self._parts.append(part)
            self.complete = not message.get("more_body", False)
