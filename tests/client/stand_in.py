"""A service that answers what a test tells it to: refusals, broken connections, slow answers."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

MODEL_ID = "3f" * 32


class Seen(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    time: float


Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Reads a request, and does what comes next."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen = Seen(self.command, self.path, dict(self.headers.items()), body, time.monotonic())
        behaviour = self.server.next_behaviour(self.seen)
        try:
            behaviour(self)
        except OSError:
            self.close_connection = True  # the client has gone
        finally:
            self.server.done()

    do_GET = do_POST

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class Server(ThreadingHTTPServer):
    """What has come, and what is done next; the last behaviour is kept for all further requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours: list[Behaviour] = [predicted()]
        self.seen: list[Seen] = []
        self.most_at_once = self._now = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def next_behaviour(self, seen: Seen) -> Behaviour:
        with self._lock:
            self.seen.append(seen)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            return self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]

    def done(self) -> None:
        with self._lock:
            self._now -= 1

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is no news."""


@contextmanager
def stand_in() -> Iterator[Server]:
    """A running one."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def prediction(label: str = "running", score: float = 0.75) -> dict[str, Any]:
    """An answer for one picture."""
    return {
        "prediction_id": "5f0c" * 8,
        "label": label,
        "confidence": score,
        "labels": [{"label": label, "score": score}],
        "abstained": False,
        "calibrated": True,
        "label_set": [label],
        "seconds": {"encode": 0.01},
    }


def predicted(label: str = "running", after: float = 0.0) -> Behaviour:
    """Answers for one picture."""

    def behave(handler: Handler) -> None:
        time.sleep(after)
        request_id = handler.headers["X-Request-ID"]
        body = {"request_id": request_id, "model_id": MODEL_ID, "results": [prediction(label)]}
        handler.answer(200, json.dumps(body).encode(), Content_Type="application/json")

    return behave


def answers(status: int, value: Any, **headers: str) -> Behaviour:
    """Answers with JSON."""
    return lambda handler: handler.answer(status, json.dumps(value).encode(), **headers)


def text(status: int, body: str, **headers: str) -> Behaviour:
    """Answers with a text, as a proxy does."""
    return lambda handler: handler.answer(status, body.encode(), **headers)


def problem(status: int, code: str, *, headers: dict[str, str] | None = None, **members: Any) -> Behaviour:
    """Answers with problem details."""

    def behave(handler: Handler) -> None:
        body = {
            "type": f"urn:clip-har:problem:{code}",
            "title": "A title.",
            "status": status,
            "detail": f"This is {code}.",
            "code": code,
            "request_id": handler.headers["X-Request-ID"],
            **members,
        }
        handler.answer(status, json.dumps(body).encode(), Content_Type="application/problem+json", **(headers or {}))

    return behave


def breaks(handler: Handler) -> None:
    """Hangs up without an answer."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def half(handler: Handler) -> None:
    """Hangs up in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"request_id": ')
    handler.wfile.flush()
    breaks(handler)


def dripping(handler: Handler) -> None:
    """An answer that never ends, a byte now and then."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    for _ in range(400):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)
