"""Frames as they come: a stream has a few in work at a time, and reads no more until one has been answered."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import grpc

from clip_har.serving.asking import Answered
from clip_har.serving.errors import BadRequest, RequestTimeout, ServiceError, Unavailable
from clip_har.serving.rpc.calls import Call, Context, parse
from clip_har.serving.rpc.results import SURFACE, asked_of, contents_of, result_message
from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1

if TYPE_CHECKING:
    from clip_har.serving.engine import Engine
    from clip_har.serving.security import Security

_FRAME = "frame"  # what a frame is counted as; the stream itself is a call of its own


class Streams:
    """All streams of a server.

    Args:
        engine: what answers.
        security: asked again for every frame: a key's rate counts frames, not streams.
    """

    def __init__(self, engine: Engine, security: Security) -> None:
        self._engine, self._security = engine, security
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Read no more frames; those in work are answered, and the streams end."""
        self._closed.set()

    async def answer(self, context: Context, call: Call) -> None:
        """Answer a stream's frames until it ends.

        Raises:
            ServiceError: why the stream as a whole cannot go on.
        """
        self._engine.model()  # no stream before there is a model
        stream = _Stream(self._engine, self._security, context, call)
        try:
            await stream.run(self._closed)
        finally:
            call.noted["images"] = stream.frames


class _Stream:
    """One stream."""

    def __init__(self, engine: Engine, security: Security, context: Context, call: Call) -> None:
        self._engine, self._security, self._context, self._call = engine, security, context, call
        self._places = asyncio.Semaphore(engine.config.grpc.stream_frames)
        self._writing = asyncio.Lock()  # gRPC takes one message at a time
        self._options = v1.PredictOptions()
        self.frames = 0

    async def run(self, closed: asyncio.Event) -> None:
        ended = asyncio.create_task(closed.wait())
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._places.acquire()
                    raw = await self._frame(ended)
                    if raw is None:
                        break
                    frame = parse(v1.PredictStreamRequest, raw)
                    if frame.HasField("options"):
                        self._options = frame.options
                    group.create_task(self._answer(frame, self._options, self.frames))
                    self.frames += 1
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            ended.cancel()
        if closed.is_set():
            raise Unavailable("The service is shutting down.", retry_after=1.0)

    async def _frame(self, ended: asyncio.Task) -> bytes | None:
        """The next message; None at the stream's end, or when the service shuts down."""
        reading = asyncio.ensure_future(self._context.read())
        try:
            idle = self._engine.config.grpc.stream_idle_seconds
            done, _ = await asyncio.wait({reading, ended}, timeout=idle, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise RequestTimeout(f"No frame came for {idle:g} s.")
            if reading not in done:
                return None
            raw = reading.result()
            return None if raw is grpc.aio.EOF else raw
        finally:
            reading.cancel()

    async def _answer(self, frame: v1.PredictStreamRequest, options: v1.PredictOptions, number: int) -> None:
        started = time.perf_counter()
        result: Answered | ServiceError
        try:
            if number:  # the first was asked for with the stream
                self._security.check(self._call.headers)
            result = await self._result(frame, options)
        except ServiceError as error:
            result = error
        status = result.status if isinstance(result, ServiceError) else 200
        self._engine.metrics.request(SURFACE, _FRAME, status, time.perf_counter() - started)
        if isinstance(result, ServiceError):
            self._engine.metrics.rejected(result.code)
        else:
            self._call.trace.stages(result.seconds, model_id=result.model_id)
        message = v1.PredictStreamResponse(
            frame_id=frame.frame_id,
            model_id=result.model_id if isinstance(result, Answered) else "",
            result=result_message(result),
        )
        async with self._writing:
            await self._context.write(message.SerializeToString())
        self._places.release()

    async def _result(self, frame: v1.PredictStreamRequest, options: v1.PredictOptions) -> Answered | ServiceError:
        if not frame.HasField("image"):
            raise BadRequest("The frame has no image.", field="image")
        with self._engine.admission.enter() as ticket:
            [content] = await contents_of([frame.image], self._security, self._engine.config.limits)
            if isinstance(content, ServiceError):
                return content
            [result] = await self._engine.predict([content], asked_of(options, self._call), ticket)
            return result
