"""The load generator: counts what was answered, times from when a request was due, and leaves no process behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from load.arrivals import closed_loop, open_loop
from load.grpc_calls import GrpcCaller
from load.http_calls import HttpCaller, multipart_request
from load.outcome import Outcome, percentile
from load.plain_fastapi import make_app
from load.processes import json_process, served, started

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
REQUEST = multipart_request("/predict", "file", b"a picture")
Answer = Callable[[int], Awaitable[bytes]]


def reply(status: int = 200, body: bytes = b"{}", more: str = "") -> bytes:
    return f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


class HttpServer:
    """Answers every request with what `answer(its number)` gives; b"" hangs up."""

    def __init__(self, answer: Answer) -> None:
        self._answer, self.requests, self.connections = answer, 0, 0

    async def __aenter__(self) -> HttpServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def caller(self) -> HttpCaller:
        return HttpCaller("127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readexactly(len(REQUEST))
                self.requests += 1
                data = await self._answer(self.requests)
                writer.write(data)
                if not data or b"close" in data:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


def on(answer: Answer, load: Callable[[HttpServer], Awaitable]):
    """What `load` gives of a server."""

    async def run():
        async with HttpServer(answer) as server:
            return await load(server)

    return asyncio.run(run())


async def at_once(_: int) -> bytes:
    return reply()


def test_a_closed_loop_counts_what_is_answered_within_its_time():
    async def slowly(_: int) -> bytes:
        await asyncio.sleep(0.1)
        return reply()

    async def load(server: HttpServer) -> tuple[Outcome, int]:
        return await closed_loop(server.caller, [REQUEST], 4, 0.95), server.connections

    outcome, connections = on(slowly, load)
    assert connections == 4  # kept
    assert outcome.afterwards == 4  # each had one on its way
    assert 4 * 3 <= len(outcome.statuses) <= 4 * 9
    assert outcome.rate == pytest.approx(len(outcome.statuses) / 0.95)
    assert all(taken >= 0.09 for taken in outcome.taken)
    assert 0 < outcome.cpu_seconds < 0.95


def test_open_loop_times_begin_when_requests_are_due():
    """A server that stops for a while is charged with all that should have been sent meanwhile (coordinated omission)."""
    stop = 0.6

    async def load(server: HttpServer) -> list[Outcome]:
        asyncio.get_running_loop().call_later(0.5, time.sleep, stop)  # nothing runs, the sender neither
        return await open_loop(server.caller, [REQUEST], [(200, 1.5)])

    (outcome,) = on(at_once, load)
    behind = [
        taken for due, taken in sorted(zip(outcome.due, outcome.taken, strict=True)) if 0.5 < due < 0.5 + stop / 2
    ]
    assert len(behind) > 20
    assert min(behind) > 0.2
    assert len(outcome.statuses) == pytest.approx(300, abs=90)  # none was left out
    assert max(outcome.late) > 0.3  # and it says that it was late


def test_open_loop_stages_follow_without_a_break():
    async def load(server: HttpServer) -> list[Outcome]:
        return await open_loop(server.caller, [REQUEST], [(50, 0.5), (200, 0.5)])

    slow, fast = on(at_once, load)
    assert len(fast.statuses) > 2 * len(slow.statuses)
    assert all(0 <= due < 0.5 for outcome in (slow, fast) for due in outcome.due)


def test_an_open_loop_does_not_wait_for_answers():
    async def never_soon(_: int) -> bytes:
        await asyncio.sleep(0.6)
        return reply()

    async def load(server: HttpServer) -> tuple[list[Outcome], int]:
        return await open_loop(server.caller, [REQUEST], [(100, 0.5)]), server.connections

    (outcome,), connections = on(never_soon, load)
    assert connections == len(outcome.statuses) > 20
    assert all(status == 200 for status in outcome.statuses)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (reply(429, b'{"a": 1}'), 429),
        (reply(200, b""), 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200),
        (reply(413, b"large", "Connection: close\r\n"), 413),
        (b"", 0),
    ],
    ids=["refused", "empty", "chunked", "closed afterwards", "dropped"],
)
def test_a_status_is_read(answer: bytes, status: int):
    async def same(_: int) -> bytes:
        return answer

    async def load(server: HttpServer) -> list[int]:
        caller = server.caller()
        found = [await caller.ask(REQUEST) for _ in range(3)]
        await caller.close()
        return found

    assert on(same, load) == [status] * 3


def test_an_answer_in_pieces_is_waited_for():
    sent = []

    async def run() -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(len(REQUEST))
            for byte in reply(200, b"0123456789"):
                await asyncio.sleep(0.001)
                sent.append(byte)
                writer.write(bytes([byte]))
                await writer.drain()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            caller = HttpCaller("127.0.0.1", server.sockets[0].getsockname()[1])
            status = await caller.ask(REQUEST)
            assert bytes(sent) == reply(200, b"0123456789")
            await caller.close()
            return status

    assert asyncio.run(run()) == 200


def test_a_connection_that_was_closed_for_idleness_is_opened_again():
    async def run() -> list[int]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(len(REQUEST))
            writer.write(reply())
            writer.close()  # without having said so

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            caller = HttpCaller("127.0.0.1", server.sockets[0].getsockname()[1])
            return [await caller.ask(REQUEST) for _ in range(3)]

    assert asyncio.run(run()) == [200] * 3


def test_grpc_codes_become_statuses():
    import grpc

    method = "/a.Service/Ask"

    async def handle(message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        if message != b"well":
            await context.abort(getattr(grpc.StatusCode, message.decode()))
        return b""

    async def run() -> list[int]:
        server = grpc.aio.server()
        handler = grpc.method_handlers_generic_handler(
            "a.Service", {"Ask": grpc.unary_unary_rpc_method_handler(handle)}
        )
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        caller = GrpcCaller(f"127.0.0.1:{port}", method)
        found = [await caller.ask(each) for each in (b"well", b"RESOURCE_EXHAUSTED", b"UNAVAILABLE", b"INTERNAL")]
        await caller.close()
        await server.stop(0)
        found.append(await (dead := GrpcCaller(f"127.0.0.1:{port}", method)).ask(b"well"))
        await dead.close()
        return found

    assert asyncio.run(run()) == [200, 429, 503, 500, 503]


def test_the_generator_is_counted_out():
    """Half a core of two is the generator's: what the server did on 1.5 it would have done 4/3 times on 2."""
    outcome = Outcome(seconds=2.0, cpu_seconds=1.0)
    for status in (200, 200, 200, 429):
        outcome.add(0.0, 0.1, status)
    assert outcome.rate == 1.5
    assert outcome.counted_out(cores=2) == pytest.approx(1.5 * 2 / 1.5)
    assert outcome.counts == {200: 3, 429: 1}
    assert outcome.share(429) == 0.25


def test_recovery_is_where_the_last_slow_bin_ends():
    outcome = Outcome(seconds=4.0)
    for tenth in range(40):
        outcome.add(tenth / 10, 1.0 if tenth < 13 else 0.02, 200)
    assert outcome.recovered_after(0.02) == 1.5
    assert outcome.recovered_after(1.0) == 0.0
    silent = Outcome(seconds=2.0)  # refusals are no recovery
    silent.add(0.1, 0.001, 429)
    assert silent.recovered_after(0.02) == 2.0


@pytest.mark.parametrize(("percent", "value"), [(50, 2), (95, 4), (99, 4), (25, 1), (0, 1)])
def test_percentiles(percent: float, value: float):
    assert percentile([4, 2, 1, 3], percent) == value


def test_the_generator_process_does_jobs(tmp_path: Path):
    """As the benchmark uses it: a server and the generator, each in its own process."""
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests" / "0").write_bytes(REQUEST)
    code = (
        "import asyncio, sys\n"
        "async def serve(reader, writer):\n"
        f"    while await reader.readexactly({len(REQUEST)}):\n"
        f"        writer.write({reply()!r})\n"
        "async def main():\n"
        "    server = await asyncio.start_server(serve, '127.0.0.1', 0)\n"
        "    print(server.sockets[0].getsockname()[1], flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    log = tmp_path / "log"
    with started([sys.executable, "-c", code], log, stdout=subprocess.PIPE, text=True) as server:
        job = {"surface": "rest", "target": f"127.0.0.1:{int(server.stdout.readline())}"}
        job |= {"payloads": str(tmp_path / "requests"), "method": ""}
        with json_process([str(BENCHMARKS / "load" / "generator.py")], log) as generator:
            (closed,) = generator.ask(job | {"connections": 3, "seconds": 0.3})
            first, second = generator.ask(job | {"stages": [(100, 0.3), (50, 0.2)]})
    assert set(closed["statuses"]) == {200}
    assert closed["cpu_seconds"] > 0
    assert len(closed["statuses"]) > 30
    assert len(first["statuses"]) > len(second["statuses"]) > 0
    assert set(first["statuses"]) | set(second["statuses"]) == {200}


def test_what_a_process_started_ends_with_it(tmp_path: Path):
    code = (
        "import signal, subprocess, sys, time\n"
        "child = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "print(subprocess.Popen(child).pid, subprocess.Popen(child, start_new_session=True).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    seen = []

    def interrupted() -> None:
        with started([sys.executable, "-c", code], tmp_path / "log", stdout=subprocess.PIPE, text=True) as process:
            seen.extend([process.pid, *map(int, process.stdout.readline().split())])
            assert all(_runs(pid) for pid in seen)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(seen) == 3
    deadline = time.monotonic() + 5
    while any(_runs(pid) for pid in seen):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_process_that_fails_says_why(tmp_path: Path):
    failing = ["-c", "import sys; sys.exit('the port is taken')"]
    with pytest.raises(RuntimeError, match="the port is taken"), served(failing, tmp_path / "a", ready="/", port=1):
        pass
    with json_process(failing, tmp_path / "b") as process, pytest.raises(RuntimeError, match="the port is taken"):
        process.ask({})


@pytest.mark.parametrize("threads", [False, True], ids=["async def", "def"])
def test_the_plain_service_answers_the_benchmarks_requests(threads: bool):
    import io

    from fastapi.testclient import TestClient
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, "JPEG")
    head, _, body = multipart_request("/predict", "file", buffer.getvalue()).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    app = make_app(lambda image: [{"label": f"{image.mode} {image.size}", "score": 1.0}], threads)
    answer = TestClient(app).post("/predict", content=body, headers=headers)
    assert answer.json() == {"predictions": [{"label": "RGB (40, 30)", "score": 1.0}]}


def test_unknown_parts_are_refused():
    command = [sys.executable, str(BENCHMARKS / "serving.py"), "--parts", "throughput,speed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "speed is none of" in done.stderr
