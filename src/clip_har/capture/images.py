"""Kept images: files by their content, as they were sent."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from clip_har.capture import layout
from clip_har.storage import write_atomic

_ENDINGS = {"JPEG": "jpg", "TIFF": "tif"}
_STARTS = {"jpg": b"\xff\xd8", "png": b"\x89PNG", "gif": b"GIF8", "bmp": b"BM", "tif": (b"II*\0", b"MM\0*")}
_NAME = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{1,8}")


def keep_image(folder: Path, data: bytes, kind: str) -> str:
    """Keep a file's bytes in a capture folder; the same bytes are kept once.

    Args:
        kind: Pillow's name of the format.

    Returns:
        The image's name.
    """
    ending = _ENDINGS.get(kind.upper(), re.sub("[^a-z0-9]", "", kind.lower())[:8] or "bin")
    name = f"{hashlib.sha256(data).hexdigest()}.{ending}"
    path = image_path(folder, name)
    try:
        os.utime(path)  # as new: the clean-up of what no row names leaves it alone
    except FileNotFoundError:
        write_atomic(path, data)
    return name


def name_of_image(data: bytes) -> str:
    """The name under which these bytes are kept, their format told by how they begin."""
    ending = next((ending for ending, start in _STARTS.items() if data.startswith(start)), "bin")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        ending = "webp"
    return f"{hashlib.sha256(data).hexdigest()}.{ending}"


def image_path(folder: Path, name: str) -> Path:
    """Where the image of a name is."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a kept image.")
    return folder / layout.IMAGES / name[:2] / name


def remove_images(folder: Path, names: Iterable[str]) -> None:
    """Remove images that may have gone already."""
    for name in names:
        image_path(folder, name).unlink(missing_ok=True)


def kept_images(folder: Path) -> Iterator[os.DirEntry]:
    """All images of a capture folder, and what is left of one whose writing was cut off."""
    try:
        places = sorted(entry.path for entry in os.scandir(folder / layout.IMAGES) if entry.is_dir())
    except FileNotFoundError:
        return
    for place in places:
        with os.scandir(place) as entries:
            yield from entries


def sweep_images(folder: Path, named: set[str], age: float) -> int:
    """Remove images that no row names and that are older than `age` seconds; how many there were.

    A younger one may belong to a row that is about to be written.
    """
    until = time.time() - age
    removed = 0
    for entry in kept_images(folder):
        try:
            if entry.name not in named and entry.stat().st_mtime < until:
                os.unlink(entry.path)
                removed += 1
        except FileNotFoundError:
            pass
    return removed
