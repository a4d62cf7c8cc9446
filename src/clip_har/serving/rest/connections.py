"""Connections before there is a request: bounded in time and in bytes, as uvicorn's own are not.

A client that sends its header byte by byte, or for ever, holds a connection and memory without any request that the rest of
the service could refuse.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, ClassVar

from pydantic_core import to_json

from clip_har.serving.config import ConnectionsConfig
from clip_har.serving.errors import BadRequest, HeaderTooLarge, RequestTimeout, ServiceError
from clip_har.serving.problems import problem
from clip_har.serving.schemas.problem import MEDIA_TYPE


def bound_connections(config: ConnectionsConfig) -> None:
    """Have uvicorn, when it starts in this process, use a protocol that keeps to these bounds."""
    from uvicorn.protocols.http import auto

    auto.AutoHTTPProtocol = bounded(auto.AutoHTTPProtocol, config)


def bounded(protocol: type[asyncio.Protocol], config: ConnectionsConfig) -> type[asyncio.Protocol]:
    """One of uvicorn's HTTP protocols, with these bounds; one that is bounded already gets them."""
    kind = _BoundedHttpTools if hasattr(protocol, "on_headers_complete") else _Bounded
    bases = (protocol,) if issubclass(protocol, _Bounded) else (kind, protocol)
    bounds = {"head_seconds": config.head_seconds, "max_head_bytes": config.max_head_bytes}
    return type("BoundedProtocol", bases, bounds)


class _Bounded(asyncio.Protocol):
    """What is mixed into one of uvicorn's protocols. h11's bounds its headers itself, at 64 kB."""

    head_seconds: ClassVar[float]
    max_head_bytes: ClassVar[int]
    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    # uvicorn's
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    cycle: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, error: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(error)

    def send_400_response(self, _: str) -> None:
        """As uvicorn's, in the shape of all errors here."""
        self._refuse(BadRequest("This is no HTTP request."))

    def _watch(self) -> None:
        """Let time run while no request is being answered; a refused one's body may still be coming."""
        if self.transport.is_closing() or (self.cycle is not None and not self.cycle.response_complete):
            self._unwatch()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds, self._too_late)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        if self._head_bytes:
            self._refuse(RequestTimeout(f"The header did not come within {self.head_seconds:g} s."))
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, error: ServiceError) -> None:
        if self.transport.is_closing():
            return
        body = to_json(problem(error, uuid.uuid4().hex))
        head = (
            f"HTTP/1.1 {error.status} {type(error).__name__}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()


class _BoundedHttpTools(_Bounded):
    _in_head = True
    _turns = 0  # from header to body, and back

    def data_received(self, data: bytes) -> None:
        turns = self._turns
        super().data_received(data)
        if self._in_head and turns == self._turns:
            self._head_bytes += len(data)
            if self._head_bytes > self.max_head_bytes:
                self._refuse(HeaderTooLarge(f"The header has more than {self.max_head_bytes:,} bytes."))

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._turns += 1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._turns += 1
        super().on_message_complete()
