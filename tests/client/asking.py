"""The clients for threads and for event loops under one name, so that one test is both's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from clip_har.client import AsyncClient, Client, ClientSettings

Asker = Callable[..., Any]
QUICK = {"backoff_seconds": 0.02, "deadline_seconds": 10.0}


def ask_sync(
    url: str, method: str, *arguments: Any, key: str | None = None, settings: Any = None, **options: Any
) -> Any:
    """The result of a method; of `predict_files`, a list."""
    with Client(url, key=key, settings=ClientSettings(**QUICK | (settings or {}))) as client:
        found = getattr(client, method)(*arguments, **options)
        return list(found) if method == "predict_files" else found


def ask_async(
    url: str, method: str, *arguments: Any, key: str | None = None, settings: Any = None, **options: Any
) -> Any:
    """The same from an event loop."""

    async def ask() -> Any:
        async with AsyncClient(url, key=key, settings=ClientSettings(**QUICK | (settings or {}))) as client:
            found = getattr(client, method)(*arguments, **options)
            return [one async for one in found] if method == "predict_files" else await found

    return asyncio.run(ask())


BOTH = [ask_sync, ask_async]
