"""What several processes of one service have counted, in a file for each: whichever is asked can tell the sum."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from clip_har.errors import ConfigError
from clip_har.storage import write_atomic

_log = logging.getLogger(__name__)


class Snapshots:
    """Writes this process's values once in a while, and reads the others'.

    Args:
        folder: of these processes only.
        snapshot: this process's values, as JSON can hold them.
        interval: seconds between two writes; nothing is written if nothing has changed.
    """

    def __init__(self, folder: str | Path, snapshot: Callable[[], Mapping[str, list]], interval: float = 1.0) -> None:
        self._folder, self._snapshot, self._interval = Path(folder), snapshot, interval
        self._folder.mkdir(parents=True, exist_ok=True)
        self._own = self._folder / f"{os.getpid()}.json"
        self._written, self._failed = "", False
        self._write()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep_writing, name="shared-metrics", daemon=True)
        self._thread.start()

    def read(self) -> list[tuple[Mapping[str, list], bool]]:
        """The others' values, each with whether its process is still there."""
        found = []
        for file in sorted(self._folder.glob("[0-9]*.json")):
            if file != self._own:
                found.append((json.loads(file.read_text(encoding="utf-8")), _alive(int(file.stem))))
        return found

    def close(self) -> None:
        """Write the last values; they stay."""
        self._closed.set()
        self._thread.join()
        self._write()

    def _keep_writing(self) -> None:
        while not self._closed.wait(self._interval):
            self._write()

    def _write(self) -> None:
        text = json.dumps(self._snapshot())
        if text == self._written:
            return
        try:
            write_atomic(self._own, text, mode=0o600)
            self._written, self._failed = text, False
        except OSError as error:  # a full disk costs figures, not answers
            if not self._failed:
                _log.error("metrics are not shared with the other workers: %s", error)
            self._failed = True


def folder_of_siblings() -> Path:
    """A folder that all processes with this one's parent have alike, and no others; the owner's only.

    Raises:
        ConfigError: if its place belongs to somebody else.
    """
    import psutil

    parent = psutil.Process(os.getppid())
    base = Path(tempfile.gettempdir()) / f"clip-har-metrics-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    state = base.lstat()
    if base.is_symlink() or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise ConfigError(f"{base} is not this user's alone; remove it, or set TMPDIR to another folder.")
    for old in base.iterdir():
        pid = old.name.partition("-")[0]
        if pid.isdecimal() and not _alive(int(pid)):
            _remove(old)
    made = base / f"{parent.pid}-{int(parent.create_time())}"
    made.mkdir(mode=0o700, exist_ok=True)
    return made


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
