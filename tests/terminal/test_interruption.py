"""Ctrl-C in the middle of the work: at once, with 130, and no traceback, even if a service does not answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.client.stand_in import Handler, predicted, stand_in

ANSWERED = (b"picture 0", b"picture 1")


def answers_the_first(handler: Handler) -> None:
    """Whichever request comes first: answers are printed in the order of the files, requests come in any."""
    predicted(after=0 if any(one in handler.seen.body for one in ANSWERED) else 60)(handler)


def test_predict_is_stopped_while_it_waits_for_a_service(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}.jpg").write_bytes(f"picture {number}".encode())
    with stand_in() as service:
        service.behaviours = [answers_the_first]
        process = subprocess.Popen(
            [sys.executable, "-m", "clip_har", "predict", str(tmp_path), "--url", service.url, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            lines = [process.stdout.readline() for _ in range(2)]
            until = time.monotonic() + 10
            while len(service.seen) < 4 and time.monotonic() < until:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            _, err = process.communicate(timeout=30)
            assert time.monotonic() - began < 10
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130
    assert all('"label": "running"' in line for line in lines)
    assert err.splitlines()[-1] == "Stopped."
    assert "Traceback" not in err
