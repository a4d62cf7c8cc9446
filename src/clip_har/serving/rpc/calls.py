"""What every call passes, whatever it asks: the key, admission, its message, its deadline, and one form of failing.

A unary call is served by a handler of the streaming kind, which on the wire is the same: such a handler runs before the
message is read, so that a call that is refused costs no more than its headers.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError, Message

from clip_har.serving.errors import BadRequest, DeadlineExceeded, RequestTimeout, ServiceError, TooManyRequests
from clip_har.serving.observability.logs import access, bound
from clip_har.serving.observability.tracing import Trace, Tracer
from clip_har.serving.problems import as_service_error
from clip_har.serving.rpc.status import REQUEST_ID, code_of, details_of, trailing_metadata

if TYPE_CHECKING:
    from clip_har.serving.admission import Ticket
    from clip_har.serving.engine import Engine
    from clip_har.serving.security import Security

_log = logging.getLogger("clip_har.serving.rpc")
_REQUEST_IDS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=@-]{0,127}")
_CANCELLED = 499  # as nginx writes down a client that has gone
_BODY_SECONDS = 1.0  # a message that takes longer to arrive holds no place meanwhile,
_MOST_SLOW = 64  # and there may be so many of them
_GRACE_SECONDS = 0.25  # the engine keeps deadlines itself, picture by picture; this is for what else may hang

Context = grpc.aio.ServicerContext


@dataclass(slots=True)
class Call:
    """One call.

    Attributes:
        operation: what it asks for, for metrics and logs.
        surface: grpc or oip-grpc.
        headers: its metadata, without binary ones.
        request_id: the caller's own if it is sane, else ours.
        caller: name of the API key, if there are keys.
        noted: further fields of its line in the log.
        started: by `time.perf_counter()`.
    """

    operation: str
    surface: str
    headers: Mapping[str, str]
    request_id: str
    caller: str | None = None
    trace: Trace = field(default_factory=Trace)
    noted: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)


Answer = Callable[[Any, Call], Awaitable[Message]]
AdmittedAnswer = Callable[[Any, Call, "Ticket"], Awaitable[Message]]
StreamAnswer = Callable[[Context, Call], Awaitable[None]]

_CALL: ContextVar[Call] = ContextVar("clip_har_call")


class Authentication(grpc.aio.ServerInterceptor):
    """Asks every call for its key before its message is read.

    Args:
        security: who may ask.
        calls: what refuses those that may not.
        operations: full name of a method → (surface, operation); calls of other methods are let through as they are.
        open_methods: those of them that no key is wanted for.
    """

    def __init__(
        self,
        security: Security,
        calls: Calls,
        operations: Mapping[str, tuple[str, str]],
        open_methods: frozenset[str],
    ) -> None:
        self._security, self._calls, self._operations, self._open = security, calls, operations, open_methods

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        known = self._operations.get(details.method)
        if known is None:
            return await continuation(details)
        surface, operation = known
        headers = {name: value for name, value in details.invocation_metadata if isinstance(value, str)}
        given = headers.get(REQUEST_ID, "")
        call = Call(operation, surface, headers, given if _REQUEST_IDS.fullmatch(given) else uuid.uuid4().hex)
        _CALL.set(call)
        if details.method not in self._open:
            try:
                call.caller = self._security.check(headers).name
            except ServiceError as error:
                return self._calls.refusal(error)
        return await continuation(details)


class Calls:
    """Turns what answers a message into what gRPC calls.

    Args:
        engine: admits and counts.
        tracer: traces.

    Attributes:
        open: calls being answered.
    """

    def __init__(self, engine: Engine, tracer: Tracer) -> None:
        self._engine, self._tracer = engine, tracer
        self.open = 0
        self._seconds = engine.config.queue.deadline_seconds
        self._slow = 0

    def unary(self, message: type[Message], answer: Answer) -> grpc.RpcMethodHandler:
        """A call that needs no place in the queue."""

        async def answered(context: Context, call: Call) -> bytes:
            async with asyncio.timeout(self._seconds):
                return (await answer(await read(context, message), call)).SerializeToString()

        return self._unary(answered)

    def admitted(self, message: type[Message], answer: AdmittedAnswer) -> grpc.RpcMethodHandler:
        """A call for pictures: it holds places from before its message is read until it is answered."""

        async def answered(context: Context, call: Call) -> bytes:
            remaining = context.time_remaining()
            deadline = None if remaining is None else time.monotonic() + remaining
            ticket = self._engine.admission.enter(deadline=deadline)
            try:
                async with asyncio.timeout(ticket.seconds_left + _GRACE_SECONDS) as limit:
                    started = time.monotonic()
                    raw = await self._read_in_time(context, ticket, limit)
                    call.noted["bytes"] = len(raw)
                    if time.monotonic() - started >= _BODY_SECONDS:
                        ticket.leave()
                        ticket = self._engine.admission.enter(deadline=ticket.deadline)
                    return (await answer(parse(message, raw), call, ticket)).SerializeToString()
            finally:
                ticket.leave()

        return self._unary(answered)

    def stream(self, answer: StreamAnswer) -> grpc.RpcMethodHandler:
        """A call that reads and writes as it likes."""

        async def behaviour(_messages: AsyncIterator[bytes], context: Context) -> None:
            await self._attempt(answer, context)

        return grpc.stream_stream_rpc_method_handler(behaviour)

    def refusal(self, error: ServiceError) -> grpc.RpcMethodHandler:
        """A call that is refused unread."""

        async def refuse(_context: Context, _call: Call) -> None:
            raise error

        return self.stream(refuse)

    def _unary(self, answered: Callable[[Context, Call], Awaitable[bytes]]) -> grpc.RpcMethodHandler:
        async def behaviour(_messages: AsyncIterator[bytes], context: Context) -> bytes:
            return await self._attempt(answered, context)

        return grpc.stream_unary_rpc_method_handler(behaviour)

    async def _read_in_time(self, context: Context, ticket: Ticket, limit: asyncio.Timeout) -> bytes:
        """A call's message. If it is long in coming its place is free for others meanwhile.

        Raises:
            RequestTimeout: if it does not come before the deadline.
            TooManyRequests: if too many come slowly.
        """
        loop, slow, refused = asyncio.get_running_loop(), False, False

        def give_up_place() -> None:
            nonlocal slow, refused
            ticket.leave()
            refused = self._slow >= _MOST_SLOW
            if refused:
                limit.reschedule(loop.time())
            else:
                slow = True
                self._slow += 1

        patience = loop.call_later(_BODY_SECONDS, give_up_place)
        try:
            return await _next(context)
        except asyncio.CancelledError:
            if refused:
                raise TooManyRequests("Too many calls are sending their messages slowly.", retry_after=1.0) from None
            if limit.expired():
                raise RequestTimeout("The message did not come before the deadline.") from None
            raise
        finally:
            patience.cancel()
            if slow:
                self._slow -= 1

    async def _attempt(self, answered: Callable[[Context, Call], Awaitable[Any]], context: Context) -> Any:
        """Do it; whatever goes wrong becomes a status."""
        call = _CALL.get()
        self.open += 1
        context.add_done_callback(self._left)
        tracing = self._tracer.request(call.operation, call.headers.get("traceparent"), surface=call.surface)
        with tracing as call.trace, bound(request_id=call.request_id, trace_id=call.trace.trace_id):
            try:
                answer = await answered(context, call)
            except (asyncio.CancelledError, grpc.aio.InternalError):  # the latter: there is nobody to write to
                self._note(call, _CANCELLED)
                raise
            except Exception as failure:
                error = self._error(call, failure)
                self._note(call, error.status, error)
            else:
                self._note(call, 200)
                context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
                return answer
        await context.abort(code_of(error), details_of(error), trailing_metadata(error, call.request_id))

    def _left(self, _context: Context) -> None:
        self.open -= 1

    def _error(self, call: Call, failure: Exception) -> ServiceError:
        if isinstance(failure, TimeoutError):
            return DeadlineExceeded("The request was not answered within its deadline, and given up.")
        error = as_service_error(failure)
        if error.status >= 500 and not isinstance(failure, ServiceError):
            call.trace.failed(failure)
            _log.error("%s failed", call.operation, exc_info=failure)
        return error

    def _note(self, call: Call, status: int, error: ServiceError | None = None) -> None:
        seconds = time.perf_counter() - call.started
        self._engine.metrics.request(call.surface, call.operation, status, seconds)
        if error is not None:
            self._engine.metrics.rejected(error.code)
            call.noted["code"] = error.code
        call.trace.set(status=status)
        access(
            surface=call.surface,
            operation=call.operation,
            status=status,
            seconds=round(seconds, 6),
            caller=call.caller,
            **call.noted,
        )


async def read(context: Context, message: type[Message]) -> Any:
    """The next message of a call.

    Raises:
        BadRequest: if there is none, or it is no such message.
    """
    return parse(message, await _next(context))


async def _next(context: Context) -> bytes:
    raw = await context.read()
    if raw is grpc.aio.EOF:
        raise BadRequest("The call ended before its message.")
    return raw


def parse(message: type[Message], raw: bytes) -> Any:
    """Bytes → message.

    Raises:
        BadRequest: if they are none.
    """
    try:
        return message.FromString(raw)
    except DecodeError as error:
        raise BadRequest(f"The message is no {message.DESCRIPTOR.full_name}.") from error
