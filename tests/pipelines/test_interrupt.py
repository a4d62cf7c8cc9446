"""Ctrl-C is never lost."""

from __future__ import annotations

import subprocess
import sys

from tests.command import PROJECT

_SCRIPT = """
import os, signal, sys, time
from pipelines.interrupt import keep_interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell start with it ignored
if sys.argv[1] == "kept":
    keep_interrupts()
class Finalised:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
try:
    del [Finalised()][0]
    for _ in range(20):
        time.sleep(0.1)
    print("went on")
except KeyboardInterrupt:
    print("stopped")
"""


def _outcome(setting: str) -> str:
    command = [sys.executable, "-c", _SCRIPT, setting]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()


def test_an_interrupt_in_a_finaliser_still_stops() -> None:
    assert _outcome("kept") == "stopped"
    assert _outcome("dropped") == "went on", "the case is one that Python itself loses"
