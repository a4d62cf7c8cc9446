"""Progress: lines now and then where there is no terminal, a bar where there is one."""

from __future__ import annotations

import os
import subprocess
import sys

from clip_har import progress as module
from clip_har.progress import progress


def test_lines_say_how_far_and_how_long(monkeypatch, capsys):
    now = iter([0.0, 10.0, 20.0, 25.0, 60.0, 100.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    with progress("Encoding") as report:
        for done in (1, 20, 25, 60, 100):
            report(done, 100, note="loss 1.5")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "  Encoding: 20 of 100, about 80 s left loss 1.5",  # the first after 15 s
        "  Encoding: 60 of 100, about 40 s left loss 1.5",  # 25 s came too soon; the end needs no line
    ]


def test_a_terminal_shows_a_bar():
    code = (
        "import os, pty, sys\n"
        "def read(descriptor):\n"
        "    data = os.read(descriptor, 4096); return data\n"
        "script = 'from clip_har.progress import progress\\nwith progress(\"Encoding\") as report:\\n'\n"
        "script += '    for done in range(1, 4): report(done, 3, note=\"loss 1.5\")\\n'\n"
        "sys.exit(os.waitstatus_to_exitcode(pty.spawn([sys.executable, '-c', script], read)))\n"
    )
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "Encoding" in done.stdout
    assert "3/3" in done.stdout
    assert "loss 1.5" in done.stdout
