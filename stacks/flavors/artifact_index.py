"""Which files a store has: small immutable JSON entries in the remote, each put whole and seen whole.

An entry lists files that become visible together, or paths that vanish together. What a path is now follows from the
entries of its artifact, the later one winning; so that every change is a single put, and two processes that write at
once never write the same key. Entries that later ones have made pointless stay until garbage collection: a reader that
has just listed an artifact never finds its listing gone for a newer one that it has not seen.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from clip_har.errors import ClipHarError

_FORMAT = 1
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ZENML_SUFFIX = re.compile(r"[0-9a-f]{8}")
_ENTRY_NAME = re.compile(r"(\d{20})-[0-9a-f]{16}\.json")
_ATTEMPTS = 20


class ArtifactStoreError(ClipHarError):
    """An artifact that cannot be read or written: an object or a remote that is missing, damaged or out of reach."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What a path holds.

    Attributes:
        md5: the object's name.
        size: bytes.
        time: when it was written, seconds since the epoch.
    """

    md5: str
    size: int
    time: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One put to the index: files that appear, paths that vanish.

    Attributes:
        key: the entry's path in the remote's file system.
        sequence: later entries win; nanoseconds since the epoch, or one more than what was seen before.
        database: the id of the ZenML database that the writer used.
    """

    key: str
    sequence: int
    database: str
    files: dict[str, StoredFile] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()

    @property
    def paths(self) -> set[str]:
        return set(self.files) | self.removed


def artifact_of(folder: str) -> str:
    """The artifact that a folder of the store belongs to, as a path: everything in it becomes visible with one put.

    ZenML's names end in a UUID (saved by hand, logs) or in a UUID and eight digits (a step's outputs). Other places
    count as one artifact for each first component.
    """
    parts = folder.split("/") if folder else []
    for position, part in enumerate(parts, start=1):
        if _UUID.fullmatch(part):
            has_suffix = position < len(parts) and _ZENML_SUFFIX.fullmatch(parts[position])
            return "/".join(parts[: position + 1 if has_suffix else position])
    return "/".join(parts[:1])


def parent_of(path: str) -> str:
    return path.rpartition("/")[0]


def state_of(entries: Iterable[Entry]) -> dict[str, tuple[StoredFile | None, Entry]]:
    """Path → what it holds now (None: removed) and the entry that says so."""
    state: dict[str, tuple[StoredFile | None, Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.sequence, entry.key)):
        state.update(dict.fromkeys(entry.removed, (None, entry)))
        state.update({path: (file, entry) for path, file in entry.files.items()})
    return state


class ArtifactIndex:
    """The entries of a store, in a folder of the remote.

    Args:
        fs: the remote's `dvc_objects` file system.
        folder: the index's folder in it.
        database: gives the id of the ZenML database; asked when the first entry is written.
    """

    def __init__(self, fs: Any, folder: str, database: Callable[[], str]) -> None:
        self.fs = fs
        self.folder = folder.rstrip("/")
        self._database = database
        self._parsed: dict[str, Entry] = {}  # entries never change
        self._last = 0

    def file(self, path: str) -> StoredFile | None:
        """What a path holds, None if it is no file."""
        found = state_of(self._entries_of(artifact_of(parent_of(path)))).get(path)
        return found[0] if found else None

    def files(self, folder: str) -> dict[str, StoredFile]:
        """All files in a folder and below it, by path."""
        entries = {entry.key: entry for entry in self.entries(folder)}
        start = f"{folder}/" if folder else ""
        state = state_of(entries.values())
        return {path: file for path, (file, _) in sorted(state.items()) if file is not None and path.startswith(start)}

    def add(self, files: dict[str, StoredFile], removed: Collection[str] = ()) -> None:
        """Make files visible, and others invisible: at once within each artifact."""
        changes: dict[str, tuple[dict[str, StoredFile], set[str]]] = defaultdict(lambda: ({}, set()))
        for path, file in files.items():
            changes[artifact_of(parent_of(path))][0][path] = file
        for path in removed:
            changes[artifact_of(parent_of(path))][1].add(path)
        # what appears before what vanishes: a file that moves to another artifact is never nowhere
        for artifact, (appearing, vanishing) in sorted(changes.items(), key=lambda item: (not item[1][0], item[0])):
            self._put(artifact, appearing, vanishing)

    def remove(self, paths: Collection[str]) -> None:
        """Make files invisible, all of an artifact's at once, and drop the entries that say nothing else."""
        by_artifact: dict[str, set[str]] = defaultdict(set)
        for path in paths:
            by_artifact[artifact_of(parent_of(path))].add(path)
        for artifact, gone in by_artifact.items():
            touching = [entry for entry in self._entries_of(artifact) if entry.paths & gone]
            pointless = all(entry.paths <= gone for entry in touching)
            after = max((entry.sequence for entry in touching), default=0)
            if pointless and len(touching) == 1:
                self.delete(touching)
            elif touching:
                tombstone = self._put(artifact, {}, gone, after)
                if pointless:
                    self.delete([*touching, tombstone])

    def delete(self, entries: Iterable[Entry]) -> None:
        """Delete entries, the oldest first, so that nothing old comes to light."""
        for entry in sorted(entries, key=lambda entry: (entry.sequence, entry.key)):
            with suppress(FileNotFoundError):  # another process was faster
                self.fs.remove(entry.key)
            self._parsed.pop(entry.key, None)

    def entries(self, folder: str = "") -> list[Entry]:
        """All entries that say something about a folder, or about what lies below it."""
        artifact = artifact_of(folder)
        found = {entry.key: entry for entry in self._read(lambda: self._below(folder))}
        if artifact != folder:
            found |= {entry.key: entry for entry in self._entries_of(artifact)}
        return list(found.values())

    def unreadable(self) -> list[str]:
        """Keys of entries that are no whole JSON: being written by a remote without atomic puts, or damaged."""
        return [key for key in self._below("") if self._parse(key) is None]

    def _entries_of(self, artifact: str) -> list[Entry]:
        return self._read(lambda: self._directly_in(artifact))

    def _directly_in(self, artifact: str) -> list[str]:
        place = self._place(artifact)
        self.fs.fs.invalidate_cache(place)
        try:
            found = self.fs.ls(place, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [key for key in found if _ENTRY_NAME.fullmatch(self.fs.name(key))]

    def _below(self, folder: str) -> list[str]:
        place = self._place(folder)
        self.fs.fs.invalidate_cache(place)
        try:
            return [key for key in self.fs.find(place) if _ENTRY_NAME.fullmatch(self.fs.name(key))]
        except FileNotFoundError:
            return []

    def _read(self, listing: Callable[[], list[str]]) -> list[Entry]:
        """The entries of a listing; listed anew if one is deleted in between."""
        for _ in range(_ATTEMPTS):
            keys = listing()
            try:
                fresh = [key for key in keys if key not in self._parsed]
                if len(fresh) > 1 and self.fs.protocol != "local":
                    with ThreadPoolExecutor(self.fs.jobs) as executor:
                        parsed = list(executor.map(self._parse, fresh))
                else:
                    parsed = [self._parse(key) for key in fresh]
            except FileNotFoundError:
                continue
            known = [self._parsed.get(key) for key in keys if key not in set(fresh)]
            return [entry for entry in (*known, *parsed) if entry is not None]
        raise ArtifactStoreError(f"The index {self.folder} changes faster than it can be read. Try again.")

    def _parse(self, key: str) -> Entry | None:
        """An entry, or None where it is not whole (yet)."""
        text = self.fs.cat_file(key)
        try:
            value = json.loads(text)
        except ValueError:
            return None
        if value["format"] != _FORMAT:
            raise ArtifactStoreError(f"{key} has the format {value['format']}; this version reads {_FORMAT}.")
        artifact = self._artifact_at(key)
        start = f"{artifact}/" if artifact else ""
        entry = Entry(
            key=key,
            sequence=int(_ENTRY_NAME.fullmatch(self.fs.name(key))[1]),  # type: ignore[index]
            database=value["database"],
            files={
                start + file["relpath"]: StoredFile(file["md5"], file["size"], file["time"]) for file in value["files"]
            },
            removed=frozenset(start + path for path in value["removed"]),
        )
        self._parsed[key] = entry
        return entry

    def _put(self, artifact: str, files: dict[str, StoredFile], removed: Collection[str], after: int = 0) -> Entry:
        self._last = sequence = max(time.time_ns(), self._last + 1, after + 1)
        start = len(artifact) + 1 if artifact else 0
        value = {
            "format": _FORMAT,
            "database": self._database(),
            "files": [{"relpath": path[start:], **asdict(file)} for path, file in sorted(files.items())],
            "removed": sorted(path[start:] for path in removed),
        }
        key = self.fs.join(self._place(artifact), f"{sequence:020d}-{secrets.token_hex(8)}.json")
        data = json.dumps(value, separators=(",", ":")).encode()
        try:
            self.fs.put_file(io.BytesIO(data), key, size=len(data))
        except OSError as error:
            raise ArtifactStoreError(
                f"The artifact {artifact!r} could not be made visible in {key}: {error}"
            ) from error
        return Entry(key, sequence, value["database"], dict(files), frozenset(removed))

    def _place(self, folder: str) -> str:
        return self.fs.join(self.folder, *folder.split("/")) if folder else self.folder

    def _artifact_at(self, key: str) -> str:
        return "/".join(self.fs.parts(self.fs.parent(key))[len(self.fs.parts(self.folder)) :])
