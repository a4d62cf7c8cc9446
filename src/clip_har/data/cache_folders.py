"""The folders of a cache on disk: one for each way of making things, kept from others while in use, dropped when least
recently used.

A folder counts as used while a process holds a shared lock on the file `used` in it, which goes with its process; when
it was last used is that file's time.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from clip_har.hashing import sha256_file


def decoded_by(code: Sequence[ModuleType] = ()) -> dict[str, Any]:
    """What else a picture's pixels depend on, as JSON: the versions of the decoders and the code that makes them.

    Args:
        code: modules beside the decoder.
    """
    from PIL import __version__, features

    from clip_har.data import image

    return {
        "code": {module.__name__: sha256_file(str(module.__file__)) for module in (image, *code)},
        "pillow": __version__,
        "jpeg": features.version("jpg"),
        "webp": features.version("webp"),
    }


def in_use(folder: Path) -> IO[bytes]:
    """A folder, made if it is not there, that nobody drops before the file given back is closed."""
    import fcntl

    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = open(folder / "used", "ab")  # noqa: SIM115 - the caller closes it
        except FileNotFoundError:  # dropped since
            continue
        fcntl.flock(file, fcntl.LOCK_SH)
        try:
            if os.path.samestat(os.fstat(file.fileno()), os.stat(folder / "used")):
                os.utime(folder / "used")
                return file
        except FileNotFoundError:
            pass
        file.close()


def bytes_of(cache: Path) -> int:
    """Bytes of everything in a cache's folders."""
    return sum(_size(file) for file in cache.glob("*/*"))


def make_room(cache: Path, wanted: int, most: int, keep: Collection[Path] = ()) -> int:
    """Bytes that may still be added, after dropping folders until `wanted` are free or none can be dropped.

    Args:
        cache: where the folders are.
        most: bytes that all of them may have.
        keep: folders that stay. Folders in use stay too; the least recently used go first.
    """
    for leftover in cache.glob(".*.dropped"):
        shutil.rmtree(leftover, ignore_errors=True)
    others = [used.parent for used in cache.glob("*/used") if used.parent not in keep]
    for folder in sorted(others, key=lambda folder: modified(folder / "used")):
        if most - bytes_of(cache) >= wanted:
            break
        _drop_unused(folder)
    return most - bytes_of(cache)


def modified(file: Path) -> float:
    """When a file was changed, in seconds since the epoch; 0 if it is not there."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _drop_unused(folder: Path) -> None:
    """Remove a folder unless someone uses it."""
    import fcntl

    try:
        with open(folder / "used", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.dropped")
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
    except (BlockingIOError, FileNotFoundError):
        return


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
