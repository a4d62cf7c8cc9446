"""Processes of a benchmark: each in a group of its own, stopped with all that it started, whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

_STOP_SECONDS = 30


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def started(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, **options: Any
) -> Iterator[subprocess.Popen]:
    """A process while the block lasts; its errors (and its output, unless it is read) go to `log`."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            stderr=errors,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            **{"stdout": errors, **options},
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen) -> None:
    """End a process and its group: politely, then not."""
    family = _family(process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for left in psutil.wait_procs(family, timeout=1)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    process.wait()


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


class JsonProcess:
    """A process that answers lines of JSON."""

    def __init__(self, process: subprocess.Popen, log: Path) -> None:
        self._process, self._log = process, log

    def ask(self, job: Mapping[str, Any]) -> Any:
        """Send a job; what came of it.

        Raises:
            RuntimeError: if the process ended; with the last of what it said.
        """
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"{self._process.args} ended:\n{last_lines(self._log)}")
        return json.loads(line)


@contextmanager
def json_process(command: Sequence[str], log: Path) -> Iterator[JsonProcess]:
    """One of this folder's processes that read jobs from stdin."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with started([sys.executable, *command], log, **pipes) as process:
        yield JsonProcess(process, log)


class Server:
    """A service that is running.

    Attributes:
        target: host:port of its REST side.
        grpc_target: host:port of its gRPC side, if it has one.
        ready_seconds: from the process's start to its first answer that says ready.
    """

    def __init__(self, process: subprocess.Popen, port: int, grpc_port: int | None) -> None:
        self.process, self.ready_seconds = process, 0.0
        self.target = f"127.0.0.1:{port}"
        self.grpc_target = None if grpc_port is None else f"127.0.0.1:{grpc_port}"

    def megabytes(self) -> float:
        """Memory held by it and all that it started (resident; shared pages count once for each process)."""
        return sum(self._each(lambda process: process.memory_info().rss)) / 2**20

    def cpu_seconds(self) -> float:
        """Processor time that those have used so far."""
        return sum(self._each(lambda process: sum(process.cpu_times()[:2])))

    def last_started_after(self) -> float:
        """Seconds from its start to that of the youngest process in it: the worker of a supervised service."""
        begun = self._each(lambda process: process.create_time())
        return max(begun) - begun[0]

    def _each(self, measure) -> list[float]:
        found = []
        for process in _family(self.process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(measure(process))
        return found


@contextmanager
def served(
    command: Sequence[str],
    log: Path,
    *,
    ready: str,
    port: int,
    grpc_port: int | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 120,
) -> Iterator[Server]:
    """A server while the block lasts, from when it is ready.

    Args:
        ready: path that answers 200 once it is.
        seconds: how long that may take.

    Raises:
        RuntimeError: if it ends, or is not ready in time; with the last of what it said.
    """
    begun = time.perf_counter()
    with started([sys.executable, *command], log, environment) as process:
        server = Server(process, port, grpc_port)
        while not _answers(f"http://{server.target}{ready}"):
            if process.poll() is not None or time.perf_counter() - begun > seconds:
                raise RuntimeError(f"{command} is not ready:\n{last_lines(log)}")
            time.sleep(0.02)
        server.ready_seconds = time.perf_counter() - begun
        yield server


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def last_lines(log: Path, count: int = 30) -> str:
    """The end of what a process said."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
