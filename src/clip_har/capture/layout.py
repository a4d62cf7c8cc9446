"""Where things are in a capture folder, and which of its files count.

    predictions/  <time>-<writer>-<number>.parquet   written once, by rename, by one process
                  <time>-<token>-<number>-m.parquet  merged from such files; counts once the manifest names it
    feedback/     <time>-<writer>-<number>.json      one a call
                  <time>-<token>-<number>-m.parquet  merged
    deletions/    <time>-<token>.json                tombstones
    images/       <first two letters>/<sha256>.<format>
    dropped/      <writer>.json                      rows that a process could not keep
    manifest.json                                    what is merged, and what that replaces
    lock                                             held by whoever merges

The manifest is replaced by one rename, so that a row is either in the files that were merged or in the one that they were
merged into, never in both or in neither, whenever a process is killed.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clip_har.capture.errors import CaptureError
from clip_har.capture.schema import VERSION, check_format
from clip_har.storage import write_atomic

PREDICTIONS, FEEDBACK, DELETIONS, IMAGES, DROPPED = "predictions", "feedback", "deletions", "images", "dropped"
LOCK = "lock"
_MANIFEST = "manifest.json"
_MERGED = "-m.parquet"
_LOOKS = 1000  # a look is repeated only if the files were merged meanwhile


@dataclass(frozen=True)
class Manifest:
    """What counts.

    Attributes:
        generation: grows with every change.
        merged: files that were made by merging, as `folder/name`; others of their kind are left from a merge that was cut off.
        replaced: files that are in merged ones, and may still lie there.
        applied: tombstones that no file named here or before is still subject to.
        lost: there is no manifest; every file counts, and only the rows' ids tell what is double.
    """

    generation: int = 0
    merged: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()
    applied: frozenset[str] = frozenset()
    lost: bool = False

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """That of a capture folder; an empty one if there is none yet."""
        value = read_json(folder / _MANIFEST)
        if value is None:
            return cls(lost=True)
        return cls(
            value["generation"], *(frozenset(value[name]) for name in ("merged", "replaced", "applied")), lost=False
        )

    def write(self, folder: Path) -> Manifest:
        """Make it the folder's, as its next generation."""
        written = replace(self, generation=self.generation + 1, lost=False)
        value = {
            "format": VERSION,
            "generation": written.generation,
            **{name: sorted(getattr(written, name)) for name in ("merged", "replaced", "applied")},
        }
        write_durably(folder / _MANIFEST, json.dumps(value, indent=2))
        return written

    def counts(self, name: str) -> bool:
        """Whether a file, as `folder/name`, is read."""
        return name not in self.replaced and (self.lost or not is_merged(name) or name in self.merged)


@dataclass(frozen=True)
class Files:
    """The files that count at one moment, as `folder/name`, in the order of their times."""

    manifest: Manifest
    predictions: tuple[str, ...] = ()
    feedback: tuple[str, ...] = ()
    deletions: tuple[str, ...] = field(default=())


def look(folder: Path) -> Files:
    """Which files count now.

    Raises:
        CaptureError: if it cannot be seen, or a newer version wrote the folder.
    """
    for _ in range(_LOOKS):
        manifest = Manifest.read(folder)
        listed = {kind: names_in(folder, kind) for kind in (PREDICTIONS, FEEDBACK, DELETIONS)}
        # A listing is no single moment: files may have been merged, and removed, between its first name and its last.
        if Manifest.read(folder).generation == manifest.generation:
            counting = {kind: tuple(filter(manifest.counts, names)) for kind, names in listed.items()}
            return Files(manifest, counting[PREDICTIONS], counting[FEEDBACK], counting[DELETIONS])
    raise CaptureError(f"{folder} is being merged over and over again by another process.")


def names_in(folder: Path, kind: str) -> list[str]:
    """Finished files of a kind, as `kind/name`, in order; none if their folder is not there."""
    try:
        names = os.listdir(folder / kind)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CaptureError(f"{folder / kind} cannot be read: {error.strerror}.") from error
    return sorted(f"{kind}/{name}" for name in names if name.endswith((".parquet", ".json")) and name[0] != ".")


def is_merged(name: str) -> bool:
    """Whether a file was made by merging."""
    return name.endswith(_MERGED)


def piece_name(kind: str, writer: str, number: int, suffix: str) -> str:
    """Name of a file of one process's own."""
    return f"{kind}/{_now()}-{writer}-{number:06d}.{suffix}"


def merged_name(kind: str, first: str, merge: str, number: int) -> str:
    """Name of a new merged file, of those that one merge makes; they take the place of `first` in the order."""
    return f"{kind}/{Path(first).name.partition('-')[0]}-{merge}-{number:06d}{_MERGED}"


def tombstone_name() -> str:
    """Name of a new tombstone."""
    return f"{DELETIONS}/{_now()}-{token()}.json"


def made_at(name: str) -> float:
    """When a file of this name was made, in seconds since 1970."""
    stamp = Path(name).name.partition("-")[0]
    return int(stamp) / 1000 if stamp.isdigit() else 0.0


def _now() -> str:
    return f"{time.time_ns() // 1_000_000:013d}"


def token() -> str:
    """A short name that nothing else has."""
    return uuid.uuid4().hex[:12]


class DamagedJson(CaptureError):
    """A JSON file that is none of ours."""


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file of ours; None if it is not there.

    Raises:
        CaptureError: if it is damaged, or a newer version wrote it.
    """
    try:
        value = json.loads(path.read_bytes())
        check_format(value["format"], path)
        return value
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CaptureError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedJson(f"{path} is damaged: {error}. Mend or remove it.") from error


def write_durably(path: Path, data: bytes | str) -> None:
    """Write a file that is there, whole, even if the machine stops right after."""
    write_atomic(path, data)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have a folder's names on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(folder: Path, names: Iterable[str]) -> None:
    """Remove files that may have gone already."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
