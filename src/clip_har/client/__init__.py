"""Clients of the service: REST and gRPC, for threads and for event loops. They need neither torch nor a server's packages.

    from clip_har.client import Client

    with Client("http://127.0.0.1:3000") as client:
        print(client.predict("photo.jpg").results[0].label)

The gRPC clients are imported when they are first named; they want grpcio and protobuf (`pip install 'clip-har[client-grpc]'`).
"""

from __future__ import annotations

import importlib
from typing import Any

from clip_har.client.errors import ServiceProblem
from clip_har.client.rest import AsyncClient, Client
from clip_har.client.results import Outcome, PictureResult, heat_map_of
from clip_har.client.settings import ClientSettings

_OF_GRPC = {"GrpcClient", "AsyncGrpcClient"}

__all__ = [
    "AsyncClient",
    "AsyncGrpcClient",
    "Client",
    "ClientSettings",
    "GrpcClient",
    "Outcome",
    "PictureResult",
    "ServiceProblem",
    "heat_map_of",
]


def __getattr__(name: str) -> Any:
    if name in _OF_GRPC:
        return getattr(importlib.import_module("clip_har.client.rpc"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
