"""grpc.aio's server with a way of its own to accept calls.

grpc.aio decodes the path of a call in the task that accepts calls: one call whose path is not UTF-8, which needs no key,
ends that task, and with it the server (grpcio 1.85.1, `_server_main_loop`). Paths of methods that were registered beforehand
are compared by gRPC's core and never decoded. So all of ours are registered, and any other call is answered with
UNIMPLEMENTED without a look at its path. Accepting each method in a task of its own costs less, too, than waiting for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc
from grpc.aio import _server

_OTHER = "another method"


class _Core(cygrpc.AioServer):
    """The server's inside: what grpc.aio calls futures of calls are tasks that accept them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interceptors: tuple[grpc.aio.ServerInterceptor, ...],
        options: tuple[tuple[str, Any], ...],
        max_calls: int,
    ) -> None:
        super().__init__(loop, None, (), interceptors, options, None)
        self._calls_loop, self._passing, self._most = loop, interceptors, max_calls
        self._methods: dict[str, grpc.RpcMethodHandler] = {}
        self._accepting: list[asyncio.Task] = []
        self._open: set[asyncio.Task] = set()

    def add_registered_method_handlers(self, methods: dict[str, grpc.RpcMethodHandler]) -> None:
        super().add_registered_method_handlers(methods)
        self._methods |= methods

    def _make_request_call_future(self, method: bytes | None) -> asyncio.Future:
        ended = self._calls_loop.create_future()
        self._accepting.append(self._calls_loop.create_task(self._accept(method, ended)))
        return ended

    async def _accept(self, method: bytes | None, ended: asyncio.Future) -> None:
        """Take calls of a method (or of none of ours) from the core until the server shuts down."""
        name, loop = _OTHER if method is None else method.decode(), self._calls_loop
        resolver = cygrpc._MethodResolver([], self._methods)
        try:
            while True:
                try:
                    call = await (self._request_call() if method is None else self._request_registered_call(method))
                except cygrpc._RequestCallError:
                    if self.is_running():
                        continue
                    raise
                too_many = len(self._open) >= self._most
                answer = cygrpc._handle_rpc(name, resolver, self._passing, call, loop, too_many)
                task = loop.create_task(cygrpc._schedule_rpc_coro(answer, call, loop, name))
                self._open.add(task)
                task.add_done_callback(self._open.discard)
        except Exception as error:  # for the task that waits for these futures: the shutdown, or a failure
            if not ended.done():
                ended.set_exception(error)


class Server(_server.Server):
    """Serves methods that are registered before it starts.

    Args:
        services: full name of a service → its methods.
        interceptors: pass every call of a registered method.
        options: channel arguments.
        max_calls: open at one time; more are refused with RESOURCE_EXHAUSTED.
    """

    def __init__(
        self,
        services: Mapping[str, Mapping[str, grpc.RpcMethodHandler]],
        interceptors: Sequence[grpc.aio.ServerInterceptor],
        options: Sequence[tuple[str, Any]],
        max_calls: int,
    ) -> None:
        self._loop = cygrpc.get_working_loop()
        self._server = _Core(self._loop, tuple(interceptors), tuple(options), max_calls)
        for service, methods in services.items():
            self.add_registered_method_handlers(service, dict(methods))
