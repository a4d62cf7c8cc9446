"""What stands at the socket: requests go straight to the service's own app; BentoML keeps its lifespan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Front:
    """An ASGI app before two others.

    BentoML's middleware would answer some errors in a shape of its own, its probes without a reason, and keep a timer for every
    request.

    Args:
        bentoml: the app that BentoML made of the service: lifespan, and probes before the service's own app is there.
        service: finds the service's own app, once it has started.
    """

    def __init__(self, bentoml: Application, service: Callable[[], Application | None]) -> None:
        self._bentoml, self._service = bentoml, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._service() if scope["type"] == "http" else None
        await (app or self._bentoml)(scope, receive, send)
