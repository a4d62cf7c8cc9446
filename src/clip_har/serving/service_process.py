"""One process of the service: the engine with its two surfaces, from start to shutdown."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from clip_har.errors import ClipHarError
from clip_har.serving.config import ServingConfig
from clip_har.serving.settings import Source

if TYPE_CHECKING:
    from clip_har.serving.engine import Engine
    from clip_har.serving.front import Application
    from clip_har.serving.observability.tracing import Tracer
    from clip_har.serving.rpc.server import GrpcServer
    from clip_har.serving.served_model import LoadRuntime

logger = logging.getLogger("clip_har.serving")
FAILURE = "CLIP_HAR_SERVICE_FAILURE"
"""Names the file in which a process writes why the service must not run."""
_SWITCH_SECONDS = 0.001  # a thread that computes in Python gives way to the loop after this


class ServiceProcess:
    """REST and gRPC over one engine, on the loop that starts it.

    Args:
        config: all settings.
        source: where the models come from.
        load_runtime: what runs image encoders, if not this process.

    Attributes:
        app: REST, an ASGI app; None before the start.
        engine: what answers; None before the start.
    """

    def __init__(
        self,
        config: ServingConfig,
        source: Source,
        load_runtime: LoadRuntime | None = None,
    ) -> None:
        self.config = config
        self.app: Application | None = None
        self.engine: Engine | None = None
        self.grpc_port: int | None = None
        self._source, self._load_runtime = source, load_runtime
        self._grpc: GrpcServer | None = None
        self._tracer: Tracer | None = None

    async def start(self, host: str | None = None) -> None:
        """Answer from now on; that the model is loaded is told by `engine.ready`.

        Args:
            host: address that REST is served on, if it is not the config's.

        Raises:
            ConfigError: if the address must not be served on, or a setting cannot be used.
        """
        from clip_har.serving.engine import Engine
        from clip_har.serving.observability import logs
        from clip_har.serving.observability.metrics import ServiceMetrics
        from clip_har.serving.observability.tracing import Tracer
        from clip_har.serving.rest.app import make_app
        from clip_har.serving.security import Security

        logs.configure(self.config)
        if takes_the_place_of_another():
            logger.warning("A process of the service ended, and this one takes its place.")
        sys.setswitchinterval(_SWITCH_SECONDS)
        host = host or self.config.host
        security = Security.from_config(self.config)
        security.check_address(host)
        metrics = ServiceMetrics()
        if self.config.workers > 1:
            from clip_har.serving.observability.sharing import folder_of_siblings

            metrics.share(folder_of_siblings())
        engine = Engine(self.config, self._source, load_runtime=self._load_runtime, metrics=metrics)
        self._tracer = tracer = Tracer.from_config(self.config)
        await engine.start()
        self.app = make_app(engine, security, tracer=tracer)
        self.engine = engine
        if self.config.grpc.enabled:
            from clip_har.serving.rpc.server import GrpcServer

            grpc = GrpcServer(engine, security, self.config.grpc, host, tracer=tracer)
            self.grpc_port = await grpc.start()
            self._grpc = grpc

    async def stop(self) -> None:
        """Let no more in, answer what was let in, write down what was captured, send the last spans."""
        if self.engine is None:
            return
        self.engine.close("The service is shutting down.")
        if self._grpc is not None:
            await self._grpc.stop(self.config.queue.drain_seconds)
        await self.engine.stop()
        self.engine.metrics.close()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)


def end_service(error: ClipHarError) -> None:
    """Say why the service must not run, and end this process and its parent, which would start it again and again."""
    logger.error("The service cannot start: %s", error)
    print(f"error: {error}", file=sys.stderr, flush=True)
    if failure := os.environ.get(FAILURE):
        Path(failure).write_text(str(error))  # what the parent's exit code is decided by
    os.kill(os.getppid(), signal.SIGTERM)
    os._exit(2)  # an exception would be a traceback of uvicorn's


def takes_the_place_of_another(arguments: list[str] | None = None) -> bool:
    """Whether a process of the same number (BentoML's `--worker-id`) was there before; it left a mark beside `FAILURE`."""
    arguments = sys.argv if arguments is None else arguments
    if FAILURE not in os.environ or "--worker-id" not in arguments:
        return False
    number = arguments[arguments.index("--worker-id") + 1]
    mark = Path(os.environ[FAILURE]).with_name(f"started-{number}")
    there = mark.exists()
    mark.touch()
    return there


def listening_host(arguments: list[str] | None = None) -> str | None:
    """The address that BentoML's worker listens on: that of the socket which it was given by number (`--fd`)."""
    arguments = sys.argv if arguments is None else arguments
    try:
        number = int(arguments[arguments.index("--fd") + 1])
        with socket.socket(fileno=os.dup(number)) as given:
            name = given.getsockname()
    except (ValueError, IndexError, OSError):
        return None
    return name[0] if isinstance(name, tuple) else None
