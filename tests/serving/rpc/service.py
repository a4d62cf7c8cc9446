"""A gRPC server in a thread of its own, over a real engine; tests call it with the blocking client."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from PIL import Image

from clip_har.serving.engine import Engine
from clip_har.serving.rpc.server import GrpcServer
from clip_har.serving.rpc.status import PROBLEM
from clip_har.serving.schemas.rpc.action_recognition_pb2_grpc import ActionRecognitionStub
from clip_har.serving.schemas.rpc.open_inference_pb2_grpc import GRPCInferenceServiceStub
from clip_har.serving.security import Security
from tests.serving.engines import running_engine


@dataclass
class Service:
    """A running server.

    Attributes:
        target: host and port.
        engine, server: for tests that look inside; their methods belong to `loop`.
    channel: connected without TLS.
    ended: set when the server is to stop.
    """

    target: str
    engine: Engine
    server: GrpcServer
    loop: asyncio.AbstractEventLoop
    channel: grpc.Channel
    ended: asyncio.Event

    def run(self, coroutine: Coroutine) -> Any:
        """A coroutine's result, on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    @property
    def ours(self) -> ActionRecognitionStub:
        """Client of our own service."""
        return ActionRecognitionStub(self.channel)

    @property
    def open_inference(self) -> GRPCInferenceServiceStub:
        """Client of the Open Inference Protocol's."""
        return GRPCInferenceServiceStub(self.channel)


@contextmanager
def grpc_service(bundle: Path, *, workspace: Path | None = None, **overrides: Any) -> Iterator[Service]:
    """A server on a free port of the loopback, ready; stopped at the end.

    Args:
        overrides: as of `running_engine`.
    """
    overrides = {**overrides, "grpc": {"port": 0, **overrides.get("grpc", {})}}
    began: list[Service] = []
    failed: list[BaseException] = []
    up = threading.Event()

    async def serve() -> None:
        async with running_engine(bundle, workspace=workspace, **overrides) as engine:
            server = GrpcServer(engine, Security.from_config(engine.config), engine.config.grpc, "127.0.0.1")
            target = f"127.0.0.1:{await server.start()}"
            channel = grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", -1)])
            ended = asyncio.Event()
            began.append(Service(target, engine, server, asyncio.get_running_loop(), channel, ended))
            up.set()
            await ended.wait()
            channel.close()
            await server.stop(5)

    def work() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failed.append(error)
            up.set()

    thread = threading.Thread(target=work, name="grpc service")
    thread.start()
    up.wait(120)
    if failed:
        thread.join()
        raise failed[0]
    try:
        yield began[0]
    finally:
        began[0].loop.call_soon_threadsafe(began[0].ended.set)
        thread.join(60)
    assert not failed, failed


def picture(seed: int = 0, width: int = 60, height: int = 40, format: str = "JPEG") -> bytes:
    """A file with noise in a colour."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 80, (height, width, 3)) + generator.integers(0, 176, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format)
    return buffer.getvalue()


def problem_of(error: grpc.RpcError) -> dict[str, Any]:
    """The problem in a failed call's trailing metadata."""
    return json.loads(dict(error.trailing_metadata())[PROBLEM])
