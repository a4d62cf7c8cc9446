"""A service that the app starts for itself, and that ends with it however the app ends."""

from __future__ import annotations

import atexit
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from typing import IO

import clip_har
from clip_har.client import Client, ClientSettings, ServiceProblem
from clip_har.errors import ClipHarError
from clip_har.ui.settings import AppSettings

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_READ = 65_536
_ADDRESS = re.compile(r"^Serving on (http://\S+)", re.MULTILINE)
_MISTAKE = re.compile(r"^error: (.+)$", re.MULTILINE)


class NotStarted(ClipHarError):
    """A service of the app's own that does not come up."""


class LocalService:
    """One process of the service on a free port of this machine.

    Args:
        settings: whose workspace, outputs and bundle it serves.
    """

    def __init__(self, settings: AppSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._log: IO[bytes] | None = None
        self._url: str | None = None

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def url(self) -> str:
        """Its address; it is started, and waited for, if it is not there.

        Raises:
            NotStarted: if it does not come up.
        """
        with self._lock:
            if self.running and self._url is not None:
                return self._url
            self._start()
            self._url = self._await()
            return self._url

    def stop(self) -> None:
        """End it; what it has accepted is answered first."""
        process, self._process, self._url = self._process, None, None
        if process is None:
            return
        process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._log is not None:
            self._log.close()

    def _start(self) -> None:
        self.stop()
        settings, package = self._settings, clip_har.__name__
        command = [sys.executable, "-m", f"{package}.serving", "--host", "127.0.0.1", "--port", "0"]
        command += ["--workspace", str(settings.workspace.absolute()), "--outputs", str(settings.outputs.absolute())]
        command += ["--bundle", str(settings.bundle.absolute())] if settings.bundle is not None else []
        command += ["--set", "serving.grpc.enabled=false", "--set", "serving.observability.access_log=false"]
        self._log = tempfile.TemporaryFile(prefix="clip-har-service-")  # noqa: SIM115 - it has no name to be left behind
        # CLIP_HAR_BUNDLE would be served instead of the workspace's champion
        environment = {name: value for name, value in os.environ.items() if name != "CLIP_HAR_BUNDLE"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{package}.ui.ends_with", *command],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # a Ctrl-C in the terminal is the app's
        )
        atexit.register(self.stop)

    def _await(self) -> str:
        until, url = time.monotonic() + _START_SECONDS, None
        settings = ClientSettings(tries=1, connect_seconds=2.0, deadline_seconds=5.0)
        while time.monotonic() < until:
            said = self._said()
            if url is None and (found := _ADDRESS.search(said)):
                url = found[1]
            if url is not None:
                with Client(url, settings=settings) as client, suppress(ServiceProblem):
                    client.model()  # 503 until pictures are answered
                    return url
            if not self.running:
                said = self._said()
                mistake = _MISTAKE.search(said)
                raise NotStarted(
                    mistake[1] if mistake else f"The service ended while it started. It said last: {_last(said)}"
                )
            time.sleep(0.1)
        self.stop()
        raise NotStarted(f"The service was not ready after {_START_SECONDS:.0f} seconds. It said last: {_last(said)}")

    def _said(self) -> str:
        """The beginning of what it wrote, and the end."""
        size = os.fstat(self._log.fileno()).st_size
        start, end = (os.pread(self._log.fileno(), _READ, place) for place in (0, max(0, size - _READ)))
        return (start if size <= _READ else start + b"\n" + end).decode("utf-8", "replace")


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing."
