"""What every request passes first and last: id, key, place in the queue, bounded body; errors, metrics, log and trace.

Pure ASGI. Order matters: whoever has no key costs nothing, whoever has no place costs no body, and whoever sends a body
that is too large is told so before it has been read.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json
from starlette._utils import get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clip_har.serving.admission import Ticket
from clip_har.serving.errors import BadRequest, ServiceError, TooLarge, UnsupportedMedia
from clip_har.serving.observability.logs import access, bound
from clip_har.serving.observability.tracing import Trace, Tracer
from clip_har.serving.problems import as_service_error, problem
from clip_har.serving.rest.body import Bodies, BodyReader, ClientGone
from clip_har.serving.rest.operations import Operation, Operations
from clip_har.serving.schemas.problem import MEDIA_TYPE

if TYPE_CHECKING:
    from clip_har.serving.engine import Engine
    from clip_har.serving.security import Security

_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=@-]{0,127}")
_CLIENT_GONE = 499  # as nginx writes it down; nobody sees it
_LINGER_SECONDS, _LINGER_BYTES = 2.0, 100_000_000
_KEY = "clip_har_visit"

_log = logging.getLogger("clip_har.serving.rest")


@dataclass
class Visit:
    """One request on its way.

    Attributes:
        request_id: the caller's if it is sane, else ours.
        operation: what it wants.
        headers: names in lower case.
        caller: name of its key, if there are keys.
        ticket: its place in the queue, if it wants one.
        body: whole; let go of once it has been taken apart.
        body_bytes: its length.
        trace: what its stages are noted in.
        model_id: of the model that answered.
        images: pictures in it.
        status: of the answer, once it has begun.
        error_code: of the problem that was answered.
        answered: whether the whole answer has been sent.
        gone: whether the client hung up before.
    """

    request_id: str
    operation: Operation
    headers: dict[str, str]
    caller: str | None = None
    ticket: Ticket | None = None
    body: bytes = b""
    body_bytes: int = 0
    trace: Trace = field(default_factory=Trace)
    model_id: str | None = None
    images: int | None = None
    status: int = 0
    error_code: str | None = None
    answered: bool = False
    gone: bool = False
    reader: BodyReader | None = None

    @classmethod
    def of(cls, scope: Scope) -> Visit:
        """The visit that a request belongs to."""
        return scope[_KEY]


class Gateway:
    """The outermost layer.

    Args:
        app: what answers.
        engine, security, tracer: of the service.
    """

    def __init__(self, app: ASGIApp, engine: Engine, security: Security, tracer: Tracer) -> None:
        self._app, self._engine, self._security, self._tracer = app, engine, security, tracer
        self._operations = Operations(engine.config.limits)
        self._bodies = Bodies(engine.config.limits.max_body_bytes, engine.config.queue.deadline_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        request_id = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        operation = self._operations.of(scope["method"], get_route_path(scope))
        visit = scope[_KEY] = Visit(request_id, operation, headers)
        with (
            self._tracer.request(operation.name, headers.get("traceparent"), surface=operation.surface) as visit.trace,
            bound(request_id=request_id, trace_id=visit.trace.trace_id),
        ):
            try:
                await self._visit(visit, scope, receive, self._noting(visit, send))
            finally:
                if visit.ticket is not None:
                    visit.ticket.leave()
                if visit.reader is not None:
                    visit.reader.release()
                self._note(visit, scope, time.perf_counter() - started)

    async def _visit(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            operation = visit.operation
            if operation.needs_key:
                visit.caller = self._security.check(visit.headers).name
            if operation.max_body is not None:
                _check_headers(visit.headers, operation.max_body)
                if operation.admitted:
                    visit.ticket = self._engine.admission.enter()
                visit.reader = self._bodies.reading(receive, operation.max_body)
                visit.body, visit.ticket = await visit.reader.read(visit.ticket, self._engine.admission)
                visit.body_bytes = len(visit.body)
            await self._answer(visit, scope, receive, send)
        except ClientGone:
            visit.status = _CLIENT_GONE
        except Exception as error:
            await self._refuse(visit, error, receive, send)

    async def _answer(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer; its work is cancelled when the client hangs up."""
        if not visit.operation.admitted:
            await self._app(scope, receive if visit.reader is None else _nothing_more, send)
            return
        task = asyncio.current_task()
        assert task is not None

        def hung_up(watcher: asyncio.Task) -> None:
            if not watcher.cancelled() and watcher.exception() is None and not visit.answered:
                visit.gone = True
                task.cancel()

        watcher = asyncio.get_running_loop().create_task(receive())
        watcher.add_done_callback(hung_up)
        try:
            await self._app(scope, _nothing_more, send)
        except asyncio.CancelledError:
            if not visit.gone:
                raise
            task.uncancel()
            raise ClientGone from None
        finally:
            watcher.remove_done_callback(hung_up)
            watcher.cancel()

    async def _refuse(self, visit: Visit, error: Exception, receive: Receive, send: Send) -> None:
        known = as_service_error(error)
        if known.status == 500:
            visit.trace.failed(error)
            _log.error("a request failed by a fault of ours", exc_info=error)
        if visit.status:  # the answer has begun: all that can be done is to break it off
            raise error
        await respond_with(known, visit, send, linger=self._lingering(visit, known, receive))

    def _lingering(self, visit: Visit, error: ServiceError, receive: Receive) -> Any:
        """What is done between an answer and the end of its connection; None: the connection is kept."""
        if error.status not in (408, 413) or visit.operation.max_body is None:
            return None
        if visit.reader is not None and visit.reader.complete:
            return None
        reader = visit.reader or self._bodies.reading(receive, 0)
        return reader.drain(_LINGER_BYTES, _LINGER_SECONDS if error.status == 413 else 0.0)

    def _noting(self, visit: Visit, send: Send) -> Send:
        ours = [(b"x-request-id", visit.request_id.encode("latin-1")), (b"x-content-type-options", b"nosniff")]
        if visit.trace.traceparent is not None:
            ours.append((b"traceparent", visit.trace.traceparent.encode("latin-1")))

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *ours]
                if visit.ticket is not None:
                    visit.ticket.leave()  # a client that reads slowly takes no place
            elif not message.get("more_body", False):
                visit.answered = True
            await send(message)

        return noting

    def _note(self, visit: Visit, scope: Scope, seconds: float) -> None:
        operation, status = visit.operation, visit.status or _CLIENT_GONE
        self._engine.metrics.request(operation.surface, operation.name, status, seconds)
        if visit.error_code is not None:
            self._engine.metrics.rejected(visit.error_code)
        visit.trace.set(status=status, model_id=visit.model_id, images=visit.images)
        access(
            surface=operation.surface,
            operation=operation.name,
            method=scope["method"],
            path=scope["path"],
            status=status,
            seconds=round(seconds, 6),
            bytes=visit.body_bytes,
            caller=visit.caller,
            client=(scope.get("client") or (None,))[0],
            model_id=visit.model_id,
            images=visit.images,
            code=visit.error_code,
        )


async def respond_with(error: ServiceError, visit: Visit, send: Send, *, linger: Any = None) -> None:
    """Answer with an error's problem details.

    Args:
        linger: awaited after the answer, before the connection is closed.
    """
    visit.error_code = error.code
    members = problem(error, visit.request_id)
    if visit.operation.surface == "oip-rest":
        members["error"] = members["detail"]
    body = to_json(members, inf_nan_mode="null")
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    if error.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="clip-har"'))
    allow = getattr(error, "allow", None)
    if allow:
        headers.append((b"allow", allow.encode("latin-1")))
    if linger is not None:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": linger is not None})
    if linger is not None:
        await linger
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _check_headers(headers: dict[str, str], max_body: int) -> None:
    """What the headers say of a body, held against what is taken."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMedia(
            f"Content-Encoding: {encoding[:40]!r} is not taken; send the body as it is.", field="Content-Encoding"
        )
    length = headers.get("content-length")
    if length is None:
        return
    if not length.isdecimal() or len(length) > 18:
        raise BadRequest("Content-Length: a number of bytes is wanted.", field="Content-Length")
    if int(length) > max_body:
        raise TooLarge(f"The body has {int(length):,} bytes; at most {max_body:,} are allowed.", field="body")


async def _nothing_more() -> Message:
    """For the app below: the body has been read."""
    return {"type": "http.request", "body": b"", "more_body": False}
