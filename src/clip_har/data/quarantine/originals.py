"""The original bytes of rejected samples: under what name they are kept, and how they get there."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_BLOCK = 1 << 20
_STEM_BYTES = 100  # of the name that are kept
_KEPT = re.compile(r"-[0-9a-f]{12}(\.[a-z0-9]{1,8})?$")
INCOMING = ".incoming"
RESOLVED = "resolved"


class NotKept(Exception):
    """Why the bytes of a sample cannot be kept, in words."""


def kept_name(uri: str, key: str) -> str:
    """A file name that people recognise and every file system takes, whatever the uri: its stem, then the key."""
    name = PurePosixPath(uri.replace("\\", "/").replace("\0", "")).name
    stem, dot, suffix = name.rpartition(".")
    if not dot or not re.fullmatch(r"[A-Za-z0-9]{1,8}", suffix):
        stem, suffix = name, ""
    return f"{_plain(stem)}-{key}{f'.{suffix.lower()}' if suffix else ''}"


def folder_name(reason: str) -> str:
    """The folder of a reason."""
    return _plain(reason)


def _plain(text: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in text)
    short = kept.encode("utf-8", "ignore")[:_STEM_BYTES].decode("utf-8", "ignore")
    return short.strip("_") or "unnamed"


@contextmanager
def opened_inside(root: Path, uri: str) -> Iterator[BinaryIO]:
    """Open a regular file below a folder; links are followed as long as they stay inside.

    Raises:
        NotKept: if the path leads out of the folder, or to nothing that can be read.
    """
    try:
        place = (root / uri).resolve()
        if not place.is_relative_to(root.resolve()):
            raise NotKept("the path leads out of the data folder")
        # O_NOFOLLOW: the path is resolved, a link here is one that was put there since; O_NONBLOCK: a pipe would wait.
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotKept("there is no such file") from None
    except (OSError, ValueError, RuntimeError) as error:  # names that no file can have; links in a circle
        raise NotKept(f"the file cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotKept("it is not a file")
    with open(descriptor, "rb") as file:
        yield file


def identity_of(root: Path, uri: str) -> str | None:
    """sha256 of the file as it is now; None if it cannot be read."""
    try:
        with opened_inside(root, uri) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (NotKept, OSError):
        return None


def keep(root: Path, uri: str, identity: str, queue: Path, target: str, limit: int | None) -> None:
    """Copy the bytes of a sample into the queue, whole or not at all, without holding them in memory.

    Args:
        identity: sha256 that they must have; empty if it is not known.
        queue: the queue's folder.
        target: place below it.
        limit: largest file to keep, in bytes.

    Raises:
        NotKept: if they cannot be had, or are others.
    """
    partial = queue / INCOMING / Path(target).name
    with opened_inside(root, uri) as file:
        about = os.fstat(file.fileno())
        if limit is not None and about.st_size > limit:
            raise NotKept(f"the file has {about.st_size:,} bytes, and the queue keeps at most {limit:,}")
        digest = hashlib.sha256()
        partial.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as copy:
            for block in _blocks(file):
                digest.update(block)
                copy.write(block)
    if identity and digest.hexdigest() != identity:
        raise NotKept("the file has been changed since it was rejected")
    os.utime(partial, ns=(about.st_atime_ns, about.st_mtime_ns))
    (queue / target).parent.mkdir(parents=True, exist_ok=True)
    os.replace(partial, queue / target)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    try:
        while block := file.read(_BLOCK):
            yield block
    except OSError as error:
        raise NotKept(f"the file cannot be read ({error.strerror})") from None


def is_kept(root: Path, uri: str, identity: str, place: Path, size: int | None) -> bool:
    """Whether the queue has the bytes of a sample already.

    Args:
        size: bytes of the kept file, if the table knows it.
    """
    if place.is_symlink() or not place.is_file():
        return False
    about = place.stat()
    if not identity:  # nothing but its size and its time says whether the file is still the same
        with suppress(NotKept), opened_inside(root, uri) as file:
            now = os.fstat(file.fileno())
            return (now.st_size, now.st_mtime_ns) == (about.st_size, about.st_mtime_ns)
        return True
    if size is not None:
        return about.st_size == size
    with open(place, "rb") as file:  # left by a process that was killed before it wrote the table
        return hashlib.file_digest(file, "sha256").hexdigest() == identity


def set_aside(queue: Path, file: str) -> str:
    """Give kept bytes, of which the source may have no more, a second name under `resolved/`; the place's name."""
    target = f"{RESOLVED}/{file.removeprefix(f'{RESOLVED}/')}"
    if target != file and not (queue / target).exists():
        (queue / target).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(queue / file, queue / target)
        except OSError:  # a file system without hard links
            partial = queue / INCOMING / Path(file).name
            partial.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(queue / file, partial)
            os.replace(partial, queue / target)
    return target


def sweep(queue: Path, wanted: set[str]) -> None:
    """Remove kept files that nothing refers to, and folders that this leaves empty. What people put there stays."""
    for place in sorted(queue.rglob("*"), reverse=True):
        if place.is_dir() and not place.is_symlink():
            with suppress(OSError):  # not empty
                place.rmdir()
        elif _is_ours(queue, place) and place.relative_to(queue).as_posix() not in wanted:
            place.unlink(missing_ok=True)


def _is_ours(queue: Path, place: Path) -> bool:
    if place.parent == queue:
        return place.match(".queue.parquet.*.partial")  # left by a process that was killed while it wrote the table
    return place.parent.name == INCOMING or bool(_KEPT.search(place.name))
