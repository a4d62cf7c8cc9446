"""SIGKILL at any moment of an update, then a rerun: the same table, the same files, nothing lost and nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from clip_har.data.quarantine import RejectionQueue
from tests.data.quarantine.reports import rejected, report_of

PROJECT = Path(__file__).parents[3]
TIME = "2026-11-24T12:00:00+00:00"
_UPDATE = """
import sys, time
from clip_har.data.quarantine import RejectionQueue
from clip_har.data.validation import ValidationReport
report, root, folder, pause = sys.argv[1:]
def tell(done, total):
    print(done, flush=True)
    time.sleep(float(pause))
queue, found = RejectionQueue(folder), ValidationReport.read(report)
import pyarrow.parquet
print("ready", flush=True)
sys.stdin.readline()
queue.update(found, root, "v2", "2026-11-24T12:00:00+00:00", tell)
print("done", flush=True)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("queue.parquet", ".lock")
    }


def started(report: Path, root: Path, folder: Path, pause: float = 0.0) -> subprocess.Popen:
    """A process that is about to update, and waits for a line; it pauses after each rejection."""
    process = subprocess.Popen(
        [sys.executable, "-c", _UPDATE, str(report), str(root), str(folder), str(pause)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_killed_at_random_moments_and_run_again(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    reasons = ("too_small", "truncated", "blurred", "exact_duplicate")
    rows = [
        rejected(root, f"{number % 7}/{number}.jpg", reasons[number % 4], number.to_bytes(4, "big") * 2000)
        for number in range(240)
    ]
    first = report_of(rows[:120])
    second = report_of(rows[60:])  # 60 leave, 120 come
    second.write(tmp_path / "second")

    def prepared(name: str) -> RejectionQueue:
        queue = RejectionQueue(tmp_path / name)
        queue.update(first, root, "v1", TIME)
        queue.discard(["0/63.jpg"], "Ada", "no use", TIME)
        queue.requeue(["1/64.jpg"], "Ada", "look again", ["too_small"], time=TIME)
        return queue

    whole, killed = prepared("whole"), prepared("killed")
    for uri, *_ in rows[:30]:  # the queue has the only copies of what was rejected now
        (root / uri).write_bytes(b"mended")
    whole.update(second, root, "v2", TIME)
    expected, files = whole.history(), contents(whole.folder)
    moments = random.Random(0)
    for _ in range(5):
        process = started(tmp_path / "second", root, killed.folder, pause=0.002)
        go(process)
        reached = str(moments.randrange(1, 180))
        assert process.stdout is not None
        assert any(line.strip() == reached for line in process.stdout)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert len(killed.entries()) in (120, 180)  # what was true before or after, never something between
    killed.update(second, root, "v2", TIME)
    pd.testing.assert_frame_equal(killed.history(), expected)
    assert contents(killed.folder) == files


def test_killed_between_any_two_changes_of_the_disk(tmp_path, monkeypatch):
    """Stopped before each system call that changes something, in turn: the rerun ends at the same place."""

    class Killed(BaseException):
        pass

    def scene(name: str) -> tuple[RejectionQueue, Path, list]:
        root = tmp_path / name / "data"
        root.mkdir(parents=True)
        rows = [rejected(root, f"{number}.jpg", "too_small", bytes([number])) for number in range(4)]
        queue = RejectionQueue(tmp_path / name / "quarantine")
        queue.update(report_of(rows[:3]), root, "v1", TIME)
        (root / "0.jpg").write_bytes(b"mended")
        return queue, root, rows[1:]

    def run(queue: RejectionQueue, root: Path, rows: list, stop_at: int | None) -> int:
        calls = 0
        with monkeypatch.context() as patched:
            for name in ("replace", "link", "unlink", "mkdir", "rmdir"):
                real = getattr(os, name)

                def counted(*arguments, real=real, **options):
                    nonlocal calls
                    if calls == stop_at:
                        raise Killed
                    calls += 1
                    return real(*arguments, **options)

                patched.setattr(os, name, counted)
            queue.requeue(["2.jpg"], "Ada", "again", time=TIME)
            queue.discard(["1.jpg"], "Ada", "no use", time=TIME)
            queue.update(report_of(rows), root, "v2", TIME)
        return calls

    queue, root, rows = scene("whole")
    steps = run(queue, root, rows, None)
    assert steps >= 10
    expected, files = queue.history().drop(columns="source"), contents(queue.folder)
    files.pop("decisions.jsonl")
    for step in range(steps):
        queue, root, rows = scene(f"stopped_{step}")
        try:
            run(queue, root, rows, step)
        except Killed:
            pass
        else:
            raise AssertionError(f"nothing was stopped at {step}")
        run(queue, root, rows, None)
        pd.testing.assert_frame_equal(queue.history().drop(columns="source"), expected)
        found = contents(queue.folder)
        records = found.pop("decisions.jsonl").splitlines()
        assert 2 <= len(records) <= 4  # a person who repeats a command that was stopped is recorded again
        assert found == files


def test_two_processes_take_turns(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    rows = [rejected(root, f"{number}.jpg", "too_small", number.to_bytes(2, "big") * 500) for number in range(150)]
    report = report_of(rows)
    report.write(tmp_path / "report")
    processes = [started(tmp_path / "report", root, tmp_path / "queue") for _ in range(2)]
    for process in processes:
        go(process)
    queue = RejectionQueue(tmp_path / "queue")
    while not queue.exists():
        time.sleep(0.01)
    queue.discard(["7.jpg"], "Ada", "no use")
    assert all(process.communicate()[0].endswith("done\n") for process in processes)
    assert len(queue.entries()) == 150
    assert queue.entries()["status"].value_counts().to_dict() == {"waiting": 149, "discarded": 1}
    assert len([name for name in contents(queue.folder) if name.startswith("too_small/")]) == 149
