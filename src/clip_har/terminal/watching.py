"""A folder that pictures come into: which of them are wholly there and have not been seen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from clip_har.client.folders import SUFFIXES


class _State(Enum):
    COMING = "it has changed of late"
    GIVEN = "it was given out and is as it was"
    HELD = "it was given out, and was not whole"


@dataclass
class _File:
    stamp: tuple[int, int, int]
    since: float
    state: _State
    last_call: bool = False


class FolderWatch:
    """Looks at a folder, and those below it, again and again. It keeps a line for each file that is there, and no more.

    A file is given out once it has not changed for a while: whoever writes slowly, or stops half-way, is waited for. What
    is written again, or replaced by another file of the same name, is given out again.

    Args:
        folder: what is watched.
        settle_seconds: how long a file must have stayed as it is.
        patience_seconds: how long one that is not whole may stay so before that is its last word.
        existing: whether those that are there at the first look count as new.
        clock: seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settle_seconds: float = 0.5,
        patience_seconds: float = 10.0,
        existing: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._settle, self._patience = folder, settle_seconds, patience_seconds
        self._clock, self._existing = clock, existing
        self._files: dict[str, _File] | None = None

    def look(self) -> list[Path]:
        """The files that are whole now, as far as can be seen, the oldest first.

        Raises:
            OSError: if the folder cannot be read; what is known of it is kept.
        """
        now, known = self._clock(), self._files
        state = _State.COMING if known is not None or self._existing else _State.GIVEN
        found: dict[str, _File] = {}
        for path, stamp in _stamps(str(self._folder)):
            before = None if known is None else known.get(path)
            if before is not None and before.stamp == stamp:
                found[path] = before
            else:
                found[path] = _File(stamp, now, state)
        self._files = found
        ready = [(file.stamp[0], path) for path, file in found.items() if self._is_ready(file, now)]
        for _, path in ready:
            found[path].state = _State.GIVEN
        return [Path(path) for _, path in sorted(ready)]

    def not_whole(self, path: Path) -> bool:
        """A file that was given out was found to end too early.

        Returns:
            Whether it is waited for; False if that was its last call.
        """
        file = (self._files or {}).get(str(path))
        if file is None or file.last_call:
            return False
        file.state = _State.HELD
        return True

    def give_again(self, path: Path) -> None:
        """Give a file out at the next look: nobody could say anything of it."""
        file = (self._files or {}).get(str(path))
        if file is not None:
            file.state = _State.COMING

    def _is_ready(self, file: _File, now: float) -> bool:
        quiet = now - file.since
        if file.state is _State.GIVEN:
            return False
        file.last_call = quiet >= self._patience
        if file.state is _State.HELD or file.stamp[1] == 0:
            return file.last_call
        return quiet >= self._settle


def _stamps(folder: str) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Path, and (time of change in ns, bytes, inode), of each picture; hidden files are somebody's unfinished ones."""
    with os.scandir(folder) as entries:
        here = list(entries)
    for entry in here:
        if entry.name.startswith("."):
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _stamps(entry.path)
            elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                status = entry.stat()
                yield entry.path, (status.st_mtime_ns, status.st_size, status.st_ino)
        except (FileNotFoundError, NotADirectoryError):  # gone meanwhile
            continue
