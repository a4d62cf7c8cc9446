"""The gRPC server: in the process, and on the event loop, that REST is served by."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from clip_har.errors import ConfigError
from clip_har.serving.config import GrpcConfig
from clip_har.serving.observability.tracing import Tracer
from clip_har.serving.rpc import open_inference, recognition
from clip_har.serving.rpc.calls import Authentication, Calls
from clip_har.serving.rpc.core import Server
from clip_har.serving.rpc.health import SERVICE as HEALTH
from clip_har.serving.rpc.health import Health
from clip_har.serving.rpc.open_inference import OpenInference
from clip_har.serving.rpc.recognition import ActionRecognition
from clip_har.serving.rpc.results import SURFACE
from clip_har.serving.rpc.tls import server_credentials
from clip_har.serving.schemas.rpc import action_recognition_pb2, open_inference_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor

    from clip_har.serving.engine import Engine
    from clip_har.serving.security import Security

_log = logging.getLogger("clip_har.serving.rpc")
_STREAMS_OF_A_CONNECTION = 256
_METADATA_BYTES = 16_384
_IDLE_MILLISECONDS = 300_000
_HANDSHAKE_MILLISECONDS = 10_000
_DRAIN_STEP = 0.02
_GOODBYE_SECONDS = 0.5
_KEEPALIVE_MILLISECONDS = 60_000

_OPERATIONS = {
    f"/{open_inference.SERVICE}/ServerLive": (open_inference.SURFACE, "live"),
    f"/{open_inference.SERVICE}/ServerReady": (open_inference.SURFACE, "ready"),
    f"/{open_inference.SERVICE}/ModelReady": (open_inference.SURFACE, "model_ready"),
    f"/{open_inference.SERVICE}/ServerMetadata": (open_inference.SURFACE, "server_metadata"),
    f"/{open_inference.SERVICE}/ModelMetadata": (open_inference.SURFACE, "model_metadata"),
    f"/{open_inference.SERVICE}/ModelInfer": (open_inference.SURFACE, "infer"),
    f"/{recognition.SERVICE}/Predict": (SURFACE, "predict"),
    f"/{recognition.SERVICE}/PredictStream": (SURFACE, "predict_stream"),
    f"/{recognition.SERVICE}/Embed": (SURFACE, "embed"),
    f"/{recognition.SERVICE}/Feedback": (SURFACE, "feedback"),
}


class GrpcServer:
    """Serves both services, health and, if wanted, reflection.

    Args:
        engine: what answers.
        security: who may ask.
        config: port, limits, TLS.
        host: address to listen on, without a port.
        tracer: the process's, which closes it; one of the server's own if not given.

    Raises:
        ConfigError: if the files for TLS cannot be used.
    """

    def __init__(
        self, engine: Engine, security: Security, config: GrpcConfig, host: str, *, tracer: Tracer | None = None
    ) -> None:
        self._engine, self._security, self._config, self._host = engine, security, config, host
        self._credentials = server_credentials(config)
        self._server: Server | None = None
        self._given_tracer = tracer

    async def start(self) -> int:
        """Listen; calls are refused until the engine is ready.

        Returns:
            The port.

        Raises:
            ConfigError: if the address cannot be listened on.
        """
        self._tracer = self._given_tracer or Tracer.from_config(self._engine.config)
        self._calls = calls = Calls(self._engine, self._tracer)
        self._recognition = ActionRecognition(self._engine, self._security)
        self._health = Health(lambda: self._engine.ready, (open_inference.SERVICE, recognition.SERVICE))
        served = {
            open_inference.SERVICE: OpenInference(self._engine).methods(calls),
            recognition.SERVICE: self._recognition.methods(calls),
            HEALTH: self._health.methods(),
        }
        if self._config.reflection:
            from clip_har.serving.rpc.reflection import Reflection

            served |= Reflection(served, self._files()).services()
        authentication = Authentication(self._security, calls, _OPERATIONS, open_inference.OPEN_METHODS)
        server = Server(served, [authentication], self._options(), self._config.max_calls)
        port = self._listen(server)
        await server.start()
        self._server = server
        _log.info("gRPC is served", extra={"port": port, "tls": self._credentials is not None})
        return port

    async def stop(self, grace: float) -> None:
        """Say NOT_SERVING, read no more frames, answer the calls that are open, and end those that take longer.

        Args:
            grace: seconds that they may take.
        """
        if self._server is None:
            return
        self._health.close()
        self._recognition.streams.close()
        server, self._server = self._server, None
        stopping = asyncio.create_task(server.stop(grace))
        while self._calls.open and not stopping.done():
            await asyncio.sleep(_DRAIN_STEP)
        await server.stop(_GOODBYE_SECONDS)  # connections that do not answer are not waited for
        await stopping
        if self._given_tracer is None:
            await asyncio.to_thread(self._tracer.close)

    def _files(self) -> list[FileDescriptor]:
        from grpc_health.v1 import health_pb2

        return [open_inference_pb2.DESCRIPTOR, action_recognition_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR]

    def _options(self) -> list[tuple[str, int]]:
        """Bounds for what a connection may do, and whether workers share the port."""
        return [
            ("grpc.so_reuseport", int(self._engine.config.workers > 1)),
            ("grpc.max_receive_message_length", self._config.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", _STREAMS_OF_A_CONNECTION),
            ("grpc.max_metadata_size", _METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", 2 * _METADATA_BYTES),
            # A compressed message is held against the limit before it is unpacked: a bomb. Pictures are compressed already.
            ("grpc.compression_enabled_algorithms_bitset", 1),
            ("grpc.max_connection_idle_ms", _IDLE_MILLISECONDS),
            ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MILLISECONDS),
            ("grpc.keepalive_time_ms", _KEEPALIVE_MILLISECONDS),  # finds clients that have vanished
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]

    def _listen(self, server: Server) -> int:
        host = f"[{self._host}]" if ":" in self._host else self._host
        address = f"{host}:{self._config.port}"
        try:
            if self._credentials is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise ConfigError(
                f"gRPC cannot listen on {address}: another process has that port, or this machine does not have that "
                "address. Set grpc.port to another one, 0 for any that is free; or grpc.enabled to false."
            ) from error
