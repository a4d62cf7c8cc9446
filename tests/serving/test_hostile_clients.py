"""Clients that are slow, leave, lie, or send what no one should: nobody else notices, and the service stays as it was.

One process of the service for all cases. Every case ends with the same question: is it the same process, is nobody's place
still taken, does it answer as before, and is there no traceback in its log?
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import re
import socket
import struct
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from tests.inference.test_mutated_images import FORMATS, HAR, mutated
from tests.serving.engines import serving_process
from tests.serving.hostile_service import (
    MEGABYTE,
    Service,
    assert_problem,
    call_on,
    multipart,
    photograph,
    read_answer,
    reset,
    whole_request,
)

pytestmark = pytest.mark.slow

DEADLINE = 3.0  # seconds for a request, its body included
HEAD_SECONDS = 2.0
WAITING = 16
BODY_LIMIT = 10_000_000
MUTATED = 300
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def service(served_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    sets = (
        f"serving.queue.deadline_seconds={DEADLINE}",
        f"serving.queue.max_waiting={WAITING}",
        f"serving.connections.head_seconds={HEAD_SECONDS}",
    )
    with serving_process(served_bundle, tmp_path_factory.mktemp("hostile"), *sets) as served:
        yield Service(served)


@pytest.fixture(autouse=True)
def as_it_was(service: Service) -> Iterator[None]:
    yield
    service.check()


def answered_meanwhile(service: Service, count: int = 5) -> None:
    """Others are answered while something goes on."""
    for _ in range(count):
        started = time.perf_counter()
        assert service.ask(service.photograph).status == 200
        assert time.perf_counter() - started < DEADLINE


def test_slow_headers_block_nobody_and_are_given_up(service: Service) -> None:
    slow = [service.connect() for _ in range(20 * WAITING)]
    for step in range(5):
        for connection in slow:
            connection.sendall(b"POST /v1/predict HTTP/1.1\r\nX-Slow: "[8 * step : 8 * step + 8])
        if step == 2:
            answered_meanwhile(service)
    started = time.perf_counter()
    for connection in slow:
        answer = read_answer(connection)
        assert answer is None or answer.status == 408
        connection.close()
    assert time.perf_counter() - started < HEAD_SECONDS + DEADLINE


def test_slow_bodies_block_nobody_and_are_given_up(service: Service) -> None:
    request = whole_request(*multipart(service.photograph))
    cut = request.index(b"\r\n\r\n") + 100
    slow = []
    for _ in range(4 * WAITING):
        connection = service.connect()
        connection.sendall(request[:cut])
        slow.append(connection)
    time.sleep(1)  # by then they have no places
    answered_meanwhile(service)
    for connection in slow:
        connection.sendall(request[cut : cut + 10])
    statuses = Counter()
    started = time.perf_counter()
    for connection in slow:
        answer = read_answer(connection)
        assert_problem(answer, 408, 429)
        statuses[answer.status] += 1
        connection.close()
    assert statuses[408] > 0
    assert time.perf_counter() - started < 3 * DEADLINE


def test_a_slow_body_that_comes_in_time_is_answered(service: Service) -> None:
    request = whole_request(*multipart(service.photograph))
    pieces = [request[at : at + len(request) // 8 + 1] for at in range(0, len(request), len(request) // 8 + 1)]
    with service.connect() as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(DEADLINE / 20)
        assert read_answer(connection).status == 200


@pytest.mark.parametrize("sent", [0.3, 1.0], ids=["half a request", "a whole request"])
def test_places_of_clients_that_hang_up_are_free(service: Service, sent: float) -> None:
    request = whole_request(*multipart(service.photograph))
    for number in range(6 * WAITING):
        connection = service.connect()
        connection.sendall(request[: int(sent * len(request))])
        if number % 2:
            reset(connection)
        else:
            connection.close()
    deadline = time.monotonic() + DEADLINE
    while service.depth() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert service.depth() == 0
    full_house = [service.connect() for _ in range(WAITING)]
    for connection in full_house:
        connection.sendall(request)
    assert [read_answer(connection).status for connection in full_house] == [200] * WAITING
    for connection in full_house:
        connection.close()


def test_half_a_body_is_no_request(service: Service) -> None:
    body, content_type = multipart(service.photograph)
    with service.connect() as connection:
        connection.sendall(whole_request(body[: len(body) // 2], content_type, length=len(body)))
        connection.shutdown(socket.SHUT_WR)
        answer = read_answer(connection)
    assert answer is None or 400 <= answer.status < 500
    # and a body that ends before its form does
    assert_problem(service.post(body[: len(body) // 2], {"Content-Type": content_type}), 400, 422)


def test_ten_thousand_tiny_requests(service: Service) -> None:
    """On a few connections, pipelined: questions, nonsense, and predictions of nothing."""
    kinds = (
        b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
        whole_request(b"{}", "application/json"),
        whole_request(b"", "application/json"),
        whole_request(b"x", "image/jpeg"),
    )
    count, connections = 10_000, 8
    block = b"".join(kinds)

    async def ask(requests: int) -> Counter[bytes]:
        reader, writer = await asyncio.open_connection(service.host, service.port)
        found: Counter[bytes] = Counter()
        for _ in range(requests // len(kinds)):
            writer.write(block)
            for _ in kinds:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(re.search(rb"(?i)content-length: *(\d+)", head)[1]))
                found[head[9:12]] += 1
        writer.close()
        return found

    async def run() -> Counter[bytes]:
        return sum(await asyncio.gather(*(ask(count // connections) for _ in range(connections))), Counter())

    service.check()
    before = service.megabytes()
    found = asyncio.run(run())
    assert found.total() == count
    assert found[b"200"] == count // len(kinds)
    assert found[b"404"] == count // len(kinds)
    assert not [status for status in found if status.startswith(b"5")]
    assert service.megabytes() - before < 50


def test_a_body_just_within_the_limit(service: Service) -> None:
    buffer = io.BytesIO()
    side = int((9_900_000 / 3) ** 0.5)
    Image.fromarray(np.zeros((side, side, 3), dtype=np.uint8)).save(buffer, "BMP")
    large = buffer.getvalue() + bytes(9_900_000 - len(buffer.getvalue()))
    assert service.ask(large).status == 200
    code, _, answer = service.call([large])
    assert code == "OK"
    assert not answer.results[0].HasField("error")


def test_a_body_over_the_limit(service: Service) -> None:
    before = service.megabytes()
    body, content_type = multipart(bytes(BODY_LIMIT + 1))
    assert_problem(service.post(body, {"Content-Type": content_type}), 413)
    with service.connect() as connection:  # told before it has sent anything
        connection.sendall(whole_request(b"", content_type, length=10**12))
        assert_problem(read_answer(connection), 413)
    assert service.call([bytes(BODY_LIMIT + 1)])[0] == "RESOURCE_EXHAUSTED"
    assert service.megabytes() - before < 50


def test_a_chunked_body_without_end(service: Service) -> None:
    """It has no length that could be refused: it is, once it has sent too much."""
    before = service.megabytes()
    head = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    answer, sent = None, 0
    with service.connect() as connection:
        connection.sendall(head)
        try:
            while sent < 50 * BODY_LIMIT:
                connection.sendall(piece)
                sent += len(piece)
                if sent > BODY_LIMIT and _readable(connection):
                    break
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = read_answer(connection)
    assert sent < 5 * BODY_LIMIT
    assert_problem(answer, 413)
    assert service.megabytes() - before < 50


def _readable(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(30)


def bomb(side: int = 30_000) -> bytes:
    """A PNG of 900 million pixels in about 110 kB."""
    rows = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    data = b"".join(rows.compress(row) for _ in range(side)) + rows.flush()
    return _png(struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0), (b"IDAT", data))


def text_bomb() -> bytes:
    """A PNG of one pixel, with a comment of 200 MB in 200 kB."""
    text = b"Comment\0\0" + zlib.compress(bytes(200 * MEGABYTE), 9)
    pixel = zlib.compress(b"\0\0\0\0")
    return _png(struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0), (b"zTXt", text), (b"IDAT", pixel))


def _png(header: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        parts.append(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))
    return b"".join(parts)


@pytest.mark.parametrize(("make", "statuses"), [(bomb, (413,)), (text_bomb, (200, 413, 415, 422))])
def test_a_bomb_takes_no_memory(service: Service, make, statuses: tuple[int, ...]) -> None:
    data = make()
    assert len(data) < MEGABYTE
    before = service.megabytes()
    answers = [service.ask(data) for _ in range(4)]
    answers.append(service.post(json.dumps({"images": [base64.b64encode(data).decode()]}).encode(), JSON))
    for answer in answers:
        assert answer.status in statuses, answer.body
    code, told, _ = service.call([data])
    assert code == "OK" if answers[0].status == 200 else told["status"] == answers[0].status
    assert service.megabytes() - before < 50


def test_mutated_images_through_rest_and_grpc(service: Service) -> None:
    """Each is answered or refused, and both surfaces say the same."""
    generator = np.random.default_rng(0)
    sources = []
    for data in [photograph(), *(path.read_bytes() for path in sorted(HAR.glob("*.jpg"))[:3])]:
        for name in FORMATS:
            buffer = io.BytesIO()
            Image.open(io.BytesIO(data)).convert("RGB").save(buffer, name)
            sources.append(buffer.getvalue())
    found: Counter[int] = Counter()
    with grpc.insecure_channel(service.served.grpc_target) as channel:
        for number in range(MUTATED):
            data = mutated(sources[number % len(sources)], generator)
            rest = service.ask(data)
            found[rest.status] += 1
            code, told, answer = call_on(channel, [data])
            if code != "OK":
                assert_problem(rest, 413, 415, 422)
                assert (told["status"], told["code"]) == (rest.status, rest.json["code"])
            else:
                assert rest.status == 200, rest.body
                labels = rest.json["results"][0]["labels"]
                assert [each["label"] for each in labels] == [each.label for each in answer.results[0].labels]
                scores = [each.score for each in answer.results[0].labels]
                np.testing.assert_allclose([each["score"] for each in labels], scores, atol=1e-5)
    assert found[200] > MUTATED / 10
    assert found[415] + found[422] > MUTATED / 10


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"hello"),
        ("application/xml", b"<a/>"),
        ("multipart/form-data", b"--xyz\r\n\r\n"),
        ("multipart/form-data; boundary=" + "x" * 5000, b"--xyz\r\n\r\n"),
        ("multipart/form-data; boundary=xyz", b'{"images": []}'),
        ("application/json", b"\xff\xfe\x00"),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"images": ["%%%"]}'),
        ("application/json; charset=utf-7", b'{"images": "+AGE-"}'),
        ("application/x-www-form-urlencoded", b"images=1&" * 5000),
        ("\x00\x01", b"x"),
        ("", b"x"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_content_types(service: Service, content_type: str, body: bytes) -> None:
    with service.connect() as connection:
        connection.sendall(whole_request(body, content_type))
        answer = read_answer(connection)
    assert_problem(answer, 400, 415, 422)


def test_many_parts(service: Service) -> None:
    """A form of 50,000 fields is refused, not worked through at everyone's cost."""
    part = b'--xyz\r\nContent-Disposition: form-data; name="labels"\r\n\r\na\r\n'
    answer = service.post(part * 50_000 + b"--xyz--\r\n", {"Content-Type": "multipart/form-data; boundary=xyz"})
    assert_problem(answer, 400, 413, 422)


def test_a_huge_header(service: Service) -> None:
    before = service.megabytes()
    sent = 0
    with service.connect() as connection:
        try:
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n")
            while sent < 200 * MEGABYTE:
                connection.sendall(b"X-Large: " + b"a" * 65536 + b"\r\n")
                sent += 65536
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = read_answer(connection)
    assert sent < 20 * MEGABYTE
    if answer is not None:
        assert_problem(answer, 400, 431)
    assert service.megabytes() - before < 50


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"GET /%00%ff/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        os.urandom(4096),
    ],
    ids=["tls", "no version", "negative length", "two lengths", "bad chunk", "path", "http/2", "noise"],
)
def test_nonsense(service: Service, nonsense: bytes) -> None:
    """On both ports."""
    with service.connect() as connection:
        connection.sendall(nonsense)
        answer = read_answer(connection)
    assert answer is None or 400 <= answer.status < 500
    host, port = service.served.grpc_target.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(nonsense)
        connection.settimeout(0.5)
        try:
            while connection.recv(65536):
                pass
        except (TimeoutError, ConnectionResetError):
            pass
