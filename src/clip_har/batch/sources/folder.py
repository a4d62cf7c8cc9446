"""A folder with all folders below it."""

from __future__ import annotations

import hashlib
import heapq
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import Field

from clip_har.batch.sources.base import (
    BatchSource,
    BatchSourceConfig,
    Fingerprint,
    Item,
    failing,
    is_hidden,
    stamp_of,
)
from clip_har.data.image import ImageLimits, read_image_bytes
from clip_har.data.sources.base import printable
from clip_har.errors import DataError, ImageError

_NAMES_HELD = 10_000
_FOLDER, _FILE, _CLOSED = b"\1d", b"\1f", b"\1x"  # after a name; names that begin alike sort right with it


class FolderSourceConfig(BatchSourceConfig):
    """A folder of pictures."""

    kind: Literal["folder"] = "folder"
    suffixes: tuple[str, ...] | None = Field(
        None, description="Endings of the files that are taken ('.jpg'); all but hidden files if not given."
    )


class FolderSource(BatchSource):
    """All files of a folder, recursive, in the order of their names' bytes; links to folders are not followed."""

    Config = FolderSourceConfig
    config: FolderSourceConfig

    def check(self) -> None:
        if not self.place.exists():
            raise DataError(f"batch.source: there is no folder {self.config.path!r} (looked in {self.place.parent}).")
        if not self.place.is_dir():
            raise DataError(
                f"batch.source: {self.config.path!r} is a file, and its ending does not tell of what kind. Say it: "
                "batch.source='{kind: list, path: FILE}' (or zip, tar, parquet, video)."
            )

    def fingerprint(self) -> Fingerprint:
        digest, count = hashlib.sha256(), 0
        for kind, path in self._files():
            digest.update(kind + b"\0" + path + b"\0")
            digest.update(stamp_of(self.place / os.fsdecode(path)).encode() + b"\0")
            count += 1
        return Fingerprint(digest.hexdigest(), count)

    def items(self, start: int = 0, stop: int | None = None) -> Iterator[Item]:
        for kind, path in islice(self._files(), start, stop):
            name = os.fsdecode(path)
            shown = printable((Path(self.config.path) / name).as_posix())
            if kind == _CLOSED:
                yield Item(shown, failing("missing_file", f"The folder {shown} cannot be listed."))
            else:
                yield Item(shown, partial(read_found, self.place / name, shown, self.limits))

    def _files(self) -> Iterator[tuple[bytes, bytes]]:
        """(kind, path below the folder) of every file, and of every folder that cannot be listed."""
        root = os.fsencode(self.place)
        below: list[tuple[bytes, Iterator[bytes]]] = [(b"", _entries(root))]
        while below:
            folder, entries = below[-1]
            entry = next(entries, None)
            if entry is None:
                below.pop()
            elif entry == _CLOSED:
                yield _CLOSED, folder
            elif is_hidden(os.fsdecode(entry[:-2])):
                continue
            else:
                path = os.path.join(folder, entry[:-2])
                if entry[-2:] == _FOLDER:
                    below.append((path, _entries(os.path.join(root, path))))
                elif self._taken(entry[:-2]):
                    yield _FILE, path

    def _taken(self, name: bytes) -> bool:
        suffixes = self.config.suffixes
        return suffixes is None or os.fsdecode(name).lower().endswith(tuple(suffix.lower() for suffix in suffixes))


def read_found(place: Path, shown: str, limits: ImageLimits) -> bytes:
    """A file's bytes; what goes wrong is told with the path as it was found."""
    try:
        return read_image_bytes(place, limits)
    except ImageError as error:
        raise ImageError(error.reason, printable(str(error)).replace(printable(str(place)), shown)) from error
    except ValueError as error:  # a NUL in a path
        raise ImageError("missing_file", f"There is no file {shown!r}.") from error


def _entries(folder: bytes) -> Iterator[bytes]:
    """Names in a folder in order, each followed by what it is; more names than should be held are sorted on disk."""
    held: list[bytes] = []
    runs: list[BinaryIO] = []
    try:
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    held.append(entry.name + (_FOLDER if entry.is_dir(follow_symlinks=False) else _FILE))
                    if len(held) == _NAMES_HELD:
                        runs.append(_sorted_run(held))
                        held = []
        except OSError:
            yield _CLOSED
            return
        held.sort()
        yield from heapq.merge(held, *map(_read_run, runs)) if runs else held
    finally:
        for run in runs:
            run.close()


def _sorted_run(names: list[bytes]) -> BinaryIO:
    run = tempfile.TemporaryFile(prefix="clip-har-")  # noqa: SIM115 - closed when the folder has been listed
    run.write(b"\0".join(sorted(names)) + b"\0")
    run.seek(0)
    return run


def _read_run(run: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while chunk := run.read(1 << 14):
        *names, rest = (rest + chunk).split(b"\0")
        yield from names
