"""The app as its own process, for tests that look at it from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clip_har.ui.settings import VARIABLES
from tests.serving.engines import end_group, free_port


@contextmanager
def running_app(tmp_path: Path, *arguments: str, wait: float = 60) -> Iterator[str]:
    """The app's address, once it answers; it is ended at the end.

    Args:
        tmp_path: where its log and its workspace go.
        arguments: of `python -m clip_har.ui`, besides address and port.
    """
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES.values()}
    command = [sys.executable, "-m", "clip_har.ui", "--port", str(port), *arguments]
    if "--workspace" not in arguments:
        command += ["--workspace", str(tmp_path / "workspace")]
    log = tmp_path / "app.log"
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + wait
        while time.monotonic() < until and process.poll() is None:
            try:
                with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        else:
            raise AssertionError(f"The app did not answer. It wrote:\n{log.read_text()[-4000:]}")
        yield url
    finally:
        end_group(process)
