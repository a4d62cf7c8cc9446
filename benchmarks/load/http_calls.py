"""A lean HTTP/1.1 client: whole requests as prebuilt bytes over one kept connection, only the status of answers read."""

from __future__ import annotations

import asyncio
import contextlib

from load.outcome import DROPPED

_END = b"\r\n\r\n"


class HttpCaller:
    """One connection, one request at a time; opened when it is first needed, and again if the server closed it.

    Args:
        host, port: of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._connection: _Connection | None = None

    async def ask(self, request: bytes) -> int:
        """Send a whole request; the status of the answer, or `DROPPED`."""
        kept = self._connection is not None and self._connection.open
        status = await self._send(request)
        if status == DROPPED and kept:  # closed for idleness just then: what every client tries again
            status = await self._send(request)
        return status

    async def _send(self, request: bytes) -> int:
        if self._connection is None or not self._connection.open:
            try:
                loop = asyncio.get_running_loop()
                _, self._connection = await loop.create_connection(_Connection, self._host, self._port)
            except OSError:
                return DROPPED
        return await self._connection.ask(request)

    async def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.hang_up()


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.open = False
        self._waiting: asyncio.Future[int] | None = None
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.open = transport, True

    def ask(self, request: bytes) -> asyncio.Future[int]:
        self._waiting = asyncio.get_running_loop().create_future()
        self._received.clear()
        self._transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END)
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        if not self._whole(head, end + len(_END)):
            return
        if b"\r\nconnection: close" in head:
            self.open = False
            self._transport.close()
        self._answer(int(head[9:12]))

    def _whole(self, head: bytes, start: int) -> bool:
        """Whether the body has come too."""
        place = head.find(b"\r\ncontent-length:")
        if place >= 0:
            length = head[place + 17 :].split(b"\r\n", 1)[0]
            return len(self._received) >= start + int(length)
        if b"\r\ntransfer-encoding: chunked" in head:
            return self._received.endswith(b"0\r\n\r\n")
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        self._answer(DROPPED)

    def hang_up(self) -> None:
        self.open = False
        with contextlib.suppress(OSError):
            self._transport.close()

    def _answer(self, status: int) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(status)


def multipart_request(path: str, field: str, image: bytes) -> bytes:
    """A whole POST with one picture as a form's file."""
    boundary = b"----a-boundary-of-the-benchmark"
    body = (
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="' + field.encode() + b'"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + image + b"\r\n--" + boundary + b"--\r\n"
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
        f"Content-Type: multipart/form-data; boundary={boundary.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
