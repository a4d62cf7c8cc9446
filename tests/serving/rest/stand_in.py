"""An engine that does what a test says, and a client that can be slow, or gone: for the gateway's own behaviour."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clip_har.component import validated
from clip_har.inference.answers import Prediction
from clip_har.serving.admission import Admission, Ticket
from clip_har.serving.asking import Answered, Asked
from clip_har.serving.config import ServingConfig
from clip_har.serving.observability.metrics import ServiceMetrics
from clip_har.serving.settings import Source

MODEL_ID = "3f6c" * 16


def answered() -> Answered:
    """An answer as the engine gives it."""
    return Answered("5f0c" * 8, MODEL_ID, Prediction(("a", "b"), (0.75, 0.25), True), np.ones(4, np.float32) / 2)


class StandInEngine:
    """Answers every picture alike.

    Args:
        work: awaited before each answer.
        settings: of `ServingConfig`.
    """

    def __init__(self, work: Callable[[Ticket], Awaitable[None]] | None = None, **settings: Any) -> None:
        self.config = validated(ServingConfig, settings)
        self.admission = Admission(self.config.queue)
        self.admission.open()
        self.metrics = ServiceMetrics()
        self.source = Source()
        self.ready = True
        self.work = work
        self.asked: list[tuple[list[bytes], Asked]] = []

    def why_not_ready(self) -> str:
        return "" if self.ready else "The model is being loaded."

    async def predict(self, images: Sequence[bytes], asked: Asked, ticket: Ticket) -> list[Answered]:
        self.asked.append((list(images), asked))
        if self.work is not None:
            await self.work(ticket)
        return [answered() for _ in images]


@dataclass
class Reply:
    """What a client got."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    app: Any,
    method: str,
    path: str,
    *parts: bytes | float,
    headers: dict[str, str] | None = None,
    gone: asyncio.Event | None = None,
    received: list[int] | None = None,
) -> Reply:
    """Send one request straight into an ASGI app.

    Args:
        parts: of the body, in order; a number is a pause in seconds.
        gone: when it is set the client hangs up.
        received: gets the size of each part that the app has asked for.
    """
    waiting, reply, hung_up = list(parts) or [b""], Reply(), gone or asyncio.Event()
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
    }

    async def receive() -> dict[str, Any]:
        while waiting and isinstance(waiting[0], float | int):
            await asyncio.sleep(waiting[0])
            waiting.pop(0)
        if waiting:
            part = waiting.pop(0)
            if received is not None:
                received.append(len(part))
            return {"type": "http.request", "body": part, "more_body": bool(waiting)}
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            reply.body += message.get("body", b"")

    await app(scope, receive, send)
    return reply


def form(*images: bytes, **fields: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of a form."""
    boundary = "a-boundary-of-a-test"
    lines = []
    for image in images:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
        lines += [head.encode(), image, b"\r\n"]
    for name, value in fields.items():
        lines.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    body = b"".join([*lines, f"--{boundary}--\r\n".encode()])
    return {"content-type": f"multipart/form-data; boundary={boundary}", "content-length": str(len(body))}, body
