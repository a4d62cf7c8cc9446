"""The load generator's process: a job as a line of JSON on stdin, what came of it as a line on stdout.

A job names the surface ("rest" or "grpc"), its target ("host:port"), for gRPC the method, a folder of prebuilt payloads, and
either `connections` and `seconds` (closed loop) or `stages` (open loop: pairs of arrivals a second and seconds; with `seed`).
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from load.arrivals import Caller, closed_loop, open_loop
from load.grpc_calls import GrpcCaller
from load.http_calls import HttpCaller
from load.outcome import Outcome


@cache
def payloads_of(folder: str) -> list[bytes]:
    """The files of a folder."""
    return [path.read_bytes() for path in sorted(Path(folder).iterdir())]


def caller_of(job: dict[str, Any]) -> Callable[[], Caller]:
    """What makes a caller of the job's surface."""
    host, port = job["target"].rsplit(":", 1)
    if job["surface"] == "grpc":
        return lambda: GrpcCaller(job["target"], job["method"])
    return lambda: HttpCaller(host, int(port))


async def do(job: dict[str, Any]) -> list[Outcome]:
    """One job: what came of each of its stages."""
    payloads = payloads_of(job["payloads"])
    if "connections" in job:
        return [await closed_loop(caller_of(job), payloads, job["connections"], job["seconds"])]
    return await open_loop(caller_of(job), payloads, job["stages"], job.get("seed", 0))


async def main() -> None:
    """Do jobs until stdin ends."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        gc.collect()
        print(json.dumps([vars(outcome) for outcome in await do(json.loads(line))]), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
