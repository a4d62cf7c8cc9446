"""A connection has so long, and so many bytes, for a request's header; all else is as uvicorn has it."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from uvicorn.protocols.http import auto
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clip_har.serving.config import ConnectionsConfig
from clip_har.serving.rest.connections import bound_connections, bounded

SECONDS, BYTES = 0.2, 4096
LATE = 4.0  # seconds: by then a bound has been kept, on a busy machine too
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = re.compile(rb"\r\n\r\n\d+")
EARLY = "/early"  # answered before the body is read


async def app(scope, receive, send) -> None:
    if scope["type"] != "http":
        return
    size = 0
    while scope["path"] != EARLY:
        message = await receive()
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    if scope["path"] == "/slow":
        await asyncio.sleep(1.4 * SECONDS)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 429 if scope["path"] == EARLY else 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module", params=[HttpToolsProtocol, H11Protocol], ids=["httptools", "h11"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    protocol = bounded(request.param, ConnectionsConfig(head_seconds=SECONDS, max_head_bytes=BYTES))
    config = uvicorn.Config(app, port=0, http=protocol, log_level="critical", lifespan="off", timeout_keep_alive=5)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield running.servers[0].sockets[0].getsockname()[:2]
    running.should_exit = True
    thread.join(10)


def exchange(server: tuple[str, int], *pieces: bytes | float, answers: int | None = None) -> tuple[bytes, float]:
    """Send pieces (numbers are pauses), read so many answers, or until the server hangs up; what came, after how many seconds."""

    async def run() -> tuple[bytes, float]:
        reader, writer = await asyncio.open_connection(*server)
        started = time.perf_counter()
        came = bytearray()

        async def read() -> None:
            while (answers is None or len(ANSWER.findall(came)) < answers) and (data := await reader.read(65536)):
                came.extend(data)

        reading = asyncio.ensure_future(read())
        try:
            for piece in pieces:
                if isinstance(piece, bytes):
                    writer.write(piece)
                    await writer.drain()
                else:
                    await asyncio.wait([reading], timeout=piece)
                if reading.done():
                    break
        except ConnectionError:
            pass
        await asyncio.wait([reading], timeout=10)
        spent = time.perf_counter() - started
        reading.cancel()
        writer.close()
        return bytes(came), spent

    return asyncio.run(run())


def drip(data: bytes, pause: float = 0.05) -> list[bytes | float]:
    return [part for byte in data for part in (bytes([byte]), pause)]


def test_a_header_that_trickles_in_is_not_waited_for(server):
    came, seconds = exchange(server, *drip(b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"a" * 1000))
    assert 0.9 * SECONDS <= seconds < LATE
    if came:  # h11's just hangs up
        head, _, body = came.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in head
        assert json.loads(body)["code"] == "request_timeout"


def test_a_connection_without_a_request_is_closed(server):
    came, seconds = exchange(server)
    assert came == b""
    assert 0.9 * SECONDS <= seconds < LATE


def test_a_header_that_comes_late_but_in_time_is_answered(server):
    came, _ = exchange(server, SECONDS / 5, GET[:10], SECONDS / 5, GET[10:], answers=1)
    assert came.startswith(b"HTTP/1.1 200")


def test_time_does_not_run_while_a_request_is_answered(server):
    came, _ = exchange(server, GET.replace(b"/ ", b"/slow ", 1), answers=1)
    assert came.startswith(b"HTTP/1.1 200")


def test_time_does_not_run_while_a_body_is_read(server):
    """Bodies have bounds of their own."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
    came, _ = exchange(server, head, *drip(b"abc", SECONDS / 2), answers=1)
    assert came.startswith(b"HTTP/1.1 200")
    assert came.endswith(b"3")


def test_the_next_request_of_a_connection_has_the_same_time(server):
    came, seconds = exchange(server, GET, SECONDS / 2, *drip(GET[:20]))
    assert came.startswith(b"HTTP/1.1 200")
    assert seconds < LATE
    assert came.count(b"HTTP/1.1 200") == 1


def test_a_body_that_is_still_coming_after_its_answer_is_read_for_so_long(server):
    """Who was refused early may go on sending; whole bodies leave the connection as it was."""
    head = f"POST {EARLY} HTTP/1.1\r\nHost: a\r\nContent-Length: {2 * 2**20}\r\n\r\n".encode()
    came, _ = exchange(server, head, 0.1, b"a" * 2**20, b"a" * 2**20, GET, answers=2)
    assert came.count(b"HTTP/1.1 429") == 1
    assert came.count(b"HTTP/1.1 200") == 1
    came, seconds = exchange(server, head, 0.05, *drip(b"a" * 100))
    assert came.startswith(b"HTTP/1.1 429")
    assert seconds < LATE


@pytest.mark.parametrize("whole", [True, False], ids=["in one line", "in many lines"])
@pytest.mark.parametrize("size", [20_000, 2**21])
def test_a_header_that_is_too_long_is_refused(server, whole: bool, size: int):
    line = b"X-Long: " + b"a" * size if whole else b"".join(b"X-%06d: a\r\n" % number for number in range(size // 13))
    came, seconds = exchange(server, b"GET / HTTP/1.1\r\n", line)
    assert seconds < LATE
    if came or size == 20_000:  # of more, what is left of it may push the answer out
        assert came[:12] in (b"HTTP/1.1 431", b"HTTP/1.1 400")
        assert json.loads(came.partition(b"\r\n\r\n")[2])["code"] in ("header_too_large", "bad_request")


def test_a_header_just_within_the_bound_is_answered(server):
    came, _ = exchange(server, GET[:-2] + b"X-Long: " + b"a" * (BYTES - 100) + b"\r\n", b"\r\n", answers=1)
    assert came.startswith(b"HTTP/1.1 200")


def test_what_is_no_http_is_told_so_in_the_shape_of_all_errors(server):
    came, _ = exchange(server, b"\x16\x03\x01\x02\x00 hello\r\n\r\n")
    head, _, body = came.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    told = json.loads(body)
    assert told["code"] == "bad_request"
    assert told["request_id"]


def test_uvicorn_takes_the_bounded_protocol(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(auto, "AutoHTTPProtocol", auto.AutoHTTPProtocol)
    bound_connections(ConnectionsConfig(head_seconds=3))
    bound_connections(ConnectionsConfig(head_seconds=4))
    config = uvicorn.Config(app)
    config.load()
    assert config.http_protocol_class.head_seconds == 4
    assert issubclass(config.http_protocol_class, HttpToolsProtocol)
