"""One writer at a time, and nothing that a killed one left behind."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK_FILE = "data.lock"
_SECONDS_FOR_OTHERS = 2.0  # a `git` that somebody else runs holds its lock files for a moment


@contextmanager
def only_writer(workspace: Path, repository: Path, leftovers: tuple[str, ...] = ()) -> Iterator[None]:
    """Hold the workspace's lock, which the system releases when a process dies, however it dies.

    While it is held, lock files of Git and DVC that a killed writer left are removed.

    Args:
        repository: the Git + DVC repository; need not exist.
        leftovers: patterns, below the workspace, of what only an unfinished writer leaves.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    with open(workspace / _LOCK_FILE, "a+") as file:
        _wait_for(file)
        file.seek(0)
        predecessor_died = bool(file.read())
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        _remove_stale_locks(repository, predecessor_died)
        for pattern in leftovers:
            for path in workspace.glob(pattern):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        try:
            yield
        finally:
            file.truncate(0)


def _wait_for(file) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        print(f"waiting for another process (pid {file.read() or '?'}) that writes to {file.name}", file=sys.stderr)
        fcntl.flock(file, fcntl.LOCK_EX)


def _remove_stale_locks(repository: Path, predecessor_died: bool) -> None:
    """Git's lock files stop Git by being there; DVC's are of the kind that dies with its process, except for `rwlock`."""
    git = repository / ".git"
    if not git.is_dir():
        return
    deadline = time.monotonic() + (0 if predecessor_died else _SECONDS_FOR_OTHERS)
    while found := [*git.glob("*.lock"), *(git / "refs").rglob("*.lock")]:
        if time.monotonic() >= deadline:
            for path in found:
                path.unlink(missing_ok=True)
        else:
            time.sleep(0.1)
    readers_and_writers = repository / ".dvc" / "tmp" / "rwlock"
    try:
        json.loads(readers_and_writers.read_text())
    except FileNotFoundError:
        pass
    except ValueError:  # cut off while it was written: DVC would refuse it for ever
        readers_and_writers.unlink()
