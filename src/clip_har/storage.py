"""Writing without halves: everything is made under a temporary name beside its place, then renamed."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clip_har.errors import DataError


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.partial")


def write_atomic(target: str | Path, data: bytes | str, mode: int = 0o666) -> Path:
    """Write a file whole or not at all; an existing one is replaced. Its permissions are `mode` less the umask."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(target)
    try:
        with open(partial, "wb", opener=lambda path, flags: os.open(path, flags, mode)) as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def write_json(target: str | Path, value: Any) -> Path:
    """Write JSON that people can read and `diff` can compare: sorted keys, two spaces, a newline at the end."""
    return write_atomic(target, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def new_folder(target: str | Path) -> Iterator[Path]:
    """Make a folder whole or not at all.

    Yields a temporary folder beside `target`, which is renamed to it when the block ends well and removed otherwise.

    Raises:
        FileExistsError: if `target` exists and is not an empty folder.
    """
    target = Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} exists already and is not an empty folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(target)
    partial.mkdir()
    try:
        yield partial
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def point_link(link: str | Path, target: str | Path) -> None:
    """Make `link` a symbolic link to `target` (relative to the link's folder), replacing an older link at once."""
    link = Path(link)
    partial = _beside(link)
    os.symlink(os.path.relpath(target, link.parent), partial, target_is_directory=True)
    os.replace(partial, link)


@contextmanager
def exclusive(lock: str | Path, wait: float = 600.0) -> Iterator[None]:
    """Keep other processes out of a place for the block; the lock goes with its process, however that ends.

    Args:
        lock: a file that stands for the place; made if it is not there.
        wait: seconds to wait for another process.

    Raises:
        DataError: if another process still works there after that time.
    """
    import fcntl

    lock = Path(lock)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "ab") as file:
        until = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise DataError(
                        f"Another process has been working in {lock.parent} for {wait:.0f} s. Wait for it to end."
                    ) from None
                time.sleep(0.05)
        yield  # closing the file lets go
