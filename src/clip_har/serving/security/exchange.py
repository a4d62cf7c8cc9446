"""One GET over a connection that exists already: HTTP/1.1 by h11, nothing decompressed, everything bounded."""

from __future__ import annotations

import asyncio

import h11

from clip_har.errors import ClipHarError

_READ = 65_536
_HEAD = 16_384  # bytes of an answer's status and headers


class ExchangeError(ClipHarError):
    """An answer that cannot be used, in words for who asked for it."""


class Exchange:
    """A request and its answer.

    Args:
        reader, writer: the connection.
        max_bytes: of the content.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_bytes: int) -> None:
        self._reader, self._writer, self._max = reader, writer, max_bytes
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)

    async def ask(self, authority: str, target: str) -> tuple[int, dict[str, str]]:
        """Send the request; the answer's status and headers (names in lower case, the last of several).

        Raises:
            ExchangeError: if what comes back is no answer of HTTP/1.1.
            OSError: if the connection breaks.
        """
        headers = [
            ("Host", authority),
            ("User-Agent", "clip-har"),
            ("Accept", "image/*"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        try:
            self._writer.write(self._http.send(h11.Request(method="GET", target=target, headers=headers)))
            self._writer.write(self._http.send(h11.EndOfMessage()))
        except h11.LocalProtocolError:
            raise ExchangeError("it is not a valid URL.") from None
        await self._writer.drain()
        event = await self._next()
        for _ in range(8):
            if not isinstance(event, h11.InformationalResponse):
                break
            event = await self._next()
        if not isinstance(event, h11.Response):
            raise ExchangeError("its answer is not HTTP.")
        return event.status_code, {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in event.headers
        }

    async def content(self, headers: dict[str, str]) -> bytes:
        """The answer's content.

        Raises:
            ExchangeError: if it is compressed, larger than allowed, or ends early.
            OSError: if the connection breaks.
        """
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise ExchangeError("its content is compressed.")
        if int(headers.get("content-length", 0)) > self._max:  # h11 has made sure that it is a number
            raise ExchangeError(f"it is larger than {self._max:,} bytes.")
        parts, size = [], 0
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                size += len(event.data)
                if size > self._max:
                    raise ExchangeError(f"it is larger than {self._max:,} bytes.")
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return b"".join(parts)
            else:
                raise ExchangeError("its answer ends early.")

    async def _next(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError:
                raise ExchangeError("its answer is not valid HTTP, or ends early.") from None
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(await self._reader.read(_READ))
