"""The REST side on a real socket, in this process: its engine can be looked at, and changed, while clients ask."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from clip_har.serving.engine import Engine
from clip_har.serving.rest.app import make_app
from clip_har.serving.rest.reports import ReportShelf
from clip_har.serving.security import Security
from tests.serving.engines import running_engine


@dataclass
class RestService:
    """A running one.

    Attributes:
        url: "http://127.0.0.1:PORT".
        engine: behind it.
        app: FastAPI's.
        loop: event loop of both.
    """

    url: str
    engine: Engine
    app: FastAPI
    loop: asyncio.AbstractEventLoop

    def call(self, work: Callable[..., Awaitable], *arguments: Any) -> Any:
        """The result of something done on the service's loop."""
        return asyncio.run_coroutine_threadsafe(work(*arguments), self.loop).result(30)  # type: ignore[arg-type]


@contextmanager
def rest_service(
    bundle: Path, *, workspace: Path | None = None, shelf: ReportShelf | None = None, **overrides: Any
) -> Iterator[RestService]:
    """Serve a bundle on a free port.

    Args:
        overrides: as for `running_engine`.
    """
    started: list[RestService] = []
    failed: list[BaseException] = []
    up, down = threading.Event(), threading.Event()

    async def serve() -> None:
        async with running_engine(bundle, workspace=workspace, **overrides) as engine:
            app = make_app(engine, Security.from_config(engine.config), shelf=shelf)
            config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off", access_log=False)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            started.append(RestService(f"http://127.0.0.1:{port}", engine, app, asyncio.get_running_loop()))
            up.set()
            await asyncio.to_thread(down.wait)
            server.should_exit = True
            await serving

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failed.append(error)
        finally:
            up.set()

    thread = threading.Thread(target=run, name="rest-service", daemon=True)
    thread.start()
    up.wait(90)
    if failed or not started:
        raise AssertionError(f"the service did not start: {failed}")
    try:
        yield started[0]
    finally:
        down.set()
        thread.join(30)
    if failed:
        raise failed[0]
