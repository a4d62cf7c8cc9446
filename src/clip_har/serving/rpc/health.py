"""grpc.health.v1: SERVING while the engine is ready, and at no other time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_LOOK_SECONDS = 0.25
_MOST_WATCHERS = 64

_STATUS = health_pb2.HealthCheckResponse


class Health:
    """Answers probes.

    Args:
        serving: whether predictions are answered now.
        services: names that may be asked about; the empty one means the whole server.
    """

    def __init__(self, serving: Callable[[], bool], services: tuple[str, ...]) -> None:
        self._serving, self._services = serving, frozenset({"", *services})
        self._watchers = 0
        self._closed = asyncio.Event()

    def close(self) -> None:
        """From here on nothing is served; watchers are told, and their calls end."""
        self._closed.set()

    def methods(self) -> dict[str, grpc.RpcMethodHandler]:
        """The service's methods."""
        one, all_ = _STATUS.SerializeToString, health_pb2.HealthListResponse.SerializeToString
        return {
            "Check": grpc.unary_unary_rpc_method_handler(self.check, response_serializer=one),
            "List": grpc.unary_unary_rpc_method_handler(self.list, response_serializer=all_),
            "Watch": grpc.unary_stream_rpc_method_handler(self.watch, response_serializer=one),
        }

    async def check(self, raw: bytes, context: grpc.aio.ServicerContext) -> Any:
        """The status now."""
        service = await self._asked(raw, context)
        if service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service here.")
        return _STATUS(status=self._status())

    async def list(self, _raw: bytes, _context: grpc.aio.ServicerContext) -> Any:
        """The status of all services now."""
        return health_pb2.HealthListResponse(
            statuses={name: _STATUS(status=self._status()) for name in sorted(self._services)}
        )

    async def watch(self, raw: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        """The status now, and again whenever it changes."""
        service = await self._asked(raw, context)
        if self._watchers >= _MOST_WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many are watching; use Check.")
        self._watchers += 1
        try:
            told = None
            while True:
                status = self._status() if service in self._services else _STATUS.SERVICE_UNKNOWN
                if status != told:
                    yield _STATUS(status=status)
                    told = status
                if self._closed.is_set():
                    return
                await self._pause()
        finally:
            self._watchers -= 1

    def _status(self) -> int:
        return _STATUS.SERVING if self._serving() and not self._closed.is_set() else _STATUS.NOT_SERVING

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._closed.wait()
        except TimeoutError:
            pass

    async def _asked(self, raw: bytes, context: grpc.aio.ServicerContext) -> str:
        try:
            return health_pb2.HealthCheckRequest.FromString(raw).service
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The message is no HealthCheckRequest.")
            raise
