"""HTTP/2 by hand: calls that no gRPC library would make."""

from __future__ import annotations

import socket
import struct

_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4


def _literal(value: bytes) -> bytes:
    """HPACK's string, not Huffman-coded; at most 254 bytes."""
    return (bytes([len(value)]) if len(value) < 127 else bytes([127, len(value) - 127])) + value


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class RawCall:
    """A call, header by header and byte by byte.

    Args:
        target: host and port.
        path: the method's.
        metadata: further headers.
    """

    def __init__(self, target: str, path: bytes, *metadata: tuple[bytes, bytes]) -> None:
        host, port = target.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"test")]
        headers += [(b"content-type", b"application/grpc"), (b"te", b"trailers"), *metadata]
        block = b"".join(b"\0" + _literal(name) + _literal(value) for name, value in headers)
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, b""))
        self._socket.sendall(_frame(_HEADERS, _END_HEADERS, 1, block))

    def send(self, data: bytes, *, last: bool = False) -> None:
        """Bytes of the body, as they are: a message has five bytes before it (`message`)."""
        for place in range(0, max(1, len(data)), 16_384):
            part = data[place : place + 16_384]
            self._socket.sendall(_frame(_DATA, _END_STREAM if last and place + len(part) == len(data) else 0, 1, part))

    def status(self) -> int | None:
        """gRPC's status; None if the connection ends without one."""
        found = b""
        while True:
            try:
                part = self._socket.recv(65_536)
            except ConnectionError:
                return None
            found += part
            _, name, value = found.partition(b"\x0bgrpc-status")
            if name and len(value) > value[0]:
                return int(value[1 : 1 + value[0]])
            if not part:
                return None

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def message(data: bytes, *, compressed: bool = False, length: int | None = None) -> bytes:
    """A message as it stands in a body."""
    return struct.pack(">BI", compressed, len(data) if length is None else length) + data
