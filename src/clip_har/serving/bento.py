"""The service as BentoML takes it: REST, gRPC and the image encoder in one process. `bentoml serve clip_har.serving.bento:ClipHarService`."""

from __future__ import annotations

from typing import Any

import bentoml
from _bentoml_sdk import Service

from clip_har.errors import ClipHarError
from clip_har.serving.config import ServingConfig
from clip_har.serving.front import Application, Front
from clip_har.serving.rest.connections import bound_connections
from clip_har.serving.service_process import ServiceProcess, end_service, listening_host
from clip_har.serving.settings import find_source, load_settings


class ActionRecognition:
    """Recognises human actions in photographs."""

    process: ServiceProcess | None = None  # one service to a process, as BentoML has it

    @bentoml.on_startup
    async def start(self) -> None:
        """Start the engine and its surfaces; the model is loaded meanwhile."""
        process = ServiceProcess(load_settings(), find_source(), self.load_runtime())
        try:
            await process.start(listening_host())
        except ClipHarError as error:
            end_service(error)
            raise
        type(self).process = process

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Answer what was accepted, then end."""
        if self.process is not None:
            await self.process.stop()

    async def __is_ready__(self) -> bool:
        """For `/readyz`."""
        return self.process is not None and self.process.engine is not None and self.process.engine.ready

    def load_runtime(self) -> Any:
        """What runs image encoders, if not this process."""
        return None

    @classmethod
    def app(cls) -> Application | None:
        """REST, once it is there."""
        return None if cls.process is None else cls.process.app


class DirectService(Service):
    """A service whose requests do not pass through BentoML's middleware."""

    def to_asgi(self, is_main: bool = True) -> Application:
        """The app that uvicorn runs."""
        bound_connections(load_settings().connections)  # of the uvicorn that is about to start
        return Front(super().to_asgi(is_main), self.inner.app)


def service_config(config: ServingConfig) -> dict[str, Any]:
    """What BentoML is told: its own log, metrics and bounds are out of the way of ours."""
    return {
        "workers": config.workers,
        "http": {"host": config.host, "port": config.port or 3000},
        "metrics": {"enabled": False},
        "logging": {"access": {"enabled": False}},
        "runner_probe": {"enabled": False},
    }


_config = load_settings()  # BentoML wants to know name and workers when it imports the service
ClipHarService = DirectService(name=_config.name, config=service_config(_config), inner=ActionRecognition)
