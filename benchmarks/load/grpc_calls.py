"""gRPC calls with prebuilt messages: nothing is serialised, and of answers only the code is read."""

from __future__ import annotations

from typing import Any

from load.outcome import DROPPED, OK

_HTTP = {
    "OK": OK,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "INVALID_ARGUMENT": 422,
    "UNAUTHENTICATED": 401,
    "NOT_FOUND": 404,
    "INTERNAL": 500,
    "UNKNOWN": 500,
}


class GrpcCaller:
    """A connection of its own, as an HTTP caller has one.

    Args:
        target: host:port.
        method: "/package.Service/Method".
    """

    def __init__(self, target: str, method: str) -> None:
        import grpc

        # Channels with equal arguments would share one connection.
        self._channel = grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])
        self._call = self._channel.unary_unary(method)  # bytes in, bytes out
        self._error: type[Any] = grpc.aio.AioRpcError

    async def ask(self, message: bytes) -> int:
        """Send a serialised message; the HTTP status that the answer's code stands for."""
        try:
            await self._call(message)
        except self._error as error:
            return _HTTP.get(error.code().name, DROPPED)
        return OK

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()
