"""The journal of a run: everything that was recorded, in order, in a file that outlives the process.

`<folder>/events.jsonl` has a line for each event, `<folder>/files/` what they refer to, `<folder>/trackers.json` who is to
be told, and `<folder>/<tracker>.json` how far that one came.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from clip_har.errors import ClipHarError

logger = logging.getLogger(__name__)

EVENTS = "events.jsonl"
FILES = "files"
TRACKERS = "trackers.json"
_LOCK = "lock"
_MOST_IN_MEMORY = 100_000

_TO_JSON = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes an encoder for every event

Event = dict[str, Any]


class JournalInUse(ClipHarError):
    """A journal that a living process writes or replays."""


class Journal:
    """Appends events and hands them out again; where the disk refuses, it keeps them in memory instead.

    Args:
        folder: the journal's own; made if it is not there. One that an earlier process left is gone on with.

    Raises:
        JournalInUse: if a living process has it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.news = threading.Condition()
        self.broken: OSError | None = None
        self._descriptor: int | None = None
        self._lock: int | None = None
        self._written = self._size = 0
        self._memory: list[Event] = []
        self._first_in_memory = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
            self._descriptor = os.open(folder / EVENTS, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._written = self._cut_torn_line()
        except OSError as error:
            self.give_up(error)

    def _cut_torn_line(self) -> int:
        """Remove the half of a line that a killed process left; the number of whole ones."""
        lines = whole = 0
        with open(self.folder / EVENTS, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    lines, whole = lines + 1, whole + len(line)
        os.ftruncate(self._descriptor, whole)
        self._size = whole
        return lines

    def give_up(self, error: OSError) -> None:
        """From here on events stay in memory; reported once."""
        if self.broken is not None:
            return
        self.broken = error
        self._first_in_memory = self._written
        logger.warning(
            "The tracking journal %s cannot be written (%s). Trackers are told all the same; what one of them misses "
            "from here on cannot be replayed.",
            self.folder,
            error,
        )

    def __len__(self) -> int:
        """Events so far."""
        return self._first_in_memory + len(self._memory) if self.broken else self._written

    def append(self, event: Event) -> None:
        """Add an event. Never raises for the disk's sake."""
        with self.news:
            if self.broken is None:
                line = _TO_JSON(event).encode() + b"\n"
                try:
                    self._write(line)
                except OSError as error:
                    self.give_up(error)
            if self.broken is not None:
                self._memory.append(event)
                if len(self._memory) > _MOST_IN_MEMORY:
                    dropped = len(self._memory) // 10
                    del self._memory[:dropped]
                    self._first_in_memory += dropped
            self.news.notify_all()

    def _write(self, line: bytes) -> None:
        try:
            done = os.write(self._descriptor, line)
            if done < len(line):  # the disk was full in the middle
                done += os.write(self._descriptor, line[done:])
                if done < len(line):
                    raise OSError(28, "No space left on device")
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._written += 1
        self._size += len(line)

    def events(self) -> Iterator[tuple[int, Event]]:
        """All events with their numbers; then those that have come meanwhile, and `(-1, {})` whenever there are no more."""
        number = 0
        if (self.folder / EVENTS).is_file():
            with open(self.folder / EVENTS, "rb") as file:
                while True:
                    line = file.readline() if number < self._written else b""
                    if line:
                        yield number, json.loads(line)
                        number += 1
                    elif self.broken is None or number < self._written:
                        yield -1, {}
                    else:
                        break
        while True:
            with self.news:
                number = max(number, self._first_in_memory)
                place = number - self._first_in_memory
                event = self._memory[place] if place < len(self._memory) else None
            if event is None:
                yield -1, {}
            else:
                yield number, event
                number += 1

    def keep(self, path: Path) -> Path:
        """A hard link to a file or a folder's files, or a copy of it, that lies beside the events.

        Raises:
            OSError: if that cannot be made.
        """
        place = self._place() / path.name
        place.parent.mkdir(parents=True)
        try:
            if path.is_dir():
                shutil.copytree(path, place, copy_function=_link_or_copy)
            else:
                _link_or_copy(path, place)
        except BaseException:
            shutil.rmtree(place.parent, ignore_errors=True)
            raise
        return place

    def keep_bytes(self, name: str, content: bytes) -> Path:
        """A new file that lies beside the events.

        Raises:
            OSError: if it cannot be written.
        """
        place = self._place() / name
        place.parent.mkdir(parents=True)
        place.write_bytes(content)  # nothing refers to it before it is whole; waiting for the disk is not worth it
        return place

    def _place(self) -> Path:
        """A new folder's, for files."""
        return self.folder / FILES / f"{len(self)}-{uuid.uuid4().hex[:6]}"

    def close(self, *, remove: bool = False) -> None:
        """Let go of the journal, and remove it if nobody needs it any more."""
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)
        for descriptor in (self._descriptor, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._descriptor = self._lock = None


def _link_or_copy(source: Any, target: Any) -> Any:
    """A hard link where the file system has them; our own files are replaced by rename, so a link keeps its content."""
    try:
        os.link(source, target, follow_symlinks=True)
    except OSError:
        shutil.copy2(source, target)
    return target


def _locked(folder: Path) -> int:
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalInUse(f"The tracking journal {folder} is in use by a running process.") from None
    return descriptor
