"""Where many pictures come from: a ZIP, or a folder beside the app. What cannot be read is a row, not a stop."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from clip_har.errors import DataError
from clip_har.ui.asking import Picture
from clip_har.ui.pictures import KINDS

_LARGEST = 50_000_000
_MOST = 20_000
_ENDINGS = tuple(f".{kind}" for kind in KINDS)


@dataclass(frozen=True)
class Given:
    """A picture of a source, which is read when its turn comes.

    Attributes:
        name: path in the ZIP, or below the folder.
        read: gives the bytes; raises DataError with the reason.
    """

    name: str
    read: Callable[[], bytes]

    def picture(self) -> Picture:
        """The picture.

        Raises:
            DataError: if it cannot be read.
        """
        return Picture(self.name, self.read())


def in_zip(file: BinaryIO, name: str = "The file") -> list[Given]:
    """The pictures of a ZIP, in its order; the file must stay open.

    Raises:
        DataError: if it is no ZIP, or has no picture, or too many.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{name} is not a ZIP that can be read: {error}.") from error
    found = [
        Given(info.filename, _from_zip(archive, info))
        for info in archive.infolist()
        if not info.is_dir() and _is_picture(info.filename)
    ]
    return _checked(found, name)


def in_folder(folder: Path) -> list[Given]:
    """The pictures of a folder and of those below it, by name. Links to folders are not followed.

    Raises:
        DataError: if there is no such folder, or it has no picture, or too many.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {str(folder)!r} on the machine that the app runs on.")
    found = []
    for path in _walk(folder):
        found.append(Given(path.relative_to(folder).as_posix(), _from_disk(path)))
        if len(found) > _MOST:
            break
    return _checked(found, str(folder))


def _checked(found: list[Given], name: str) -> list[Given]:
    if not found:
        raise DataError(f"{name} has no picture. Looked for files that end in {', '.join(_ENDINGS)}.")
    if len(found) > _MOST:
        raise DataError(f"{name} has more than {_MOST:,} pictures. For so many: python run.py --pipeline batch.")
    return found


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return name.lower().endswith(_ENDINGS) and not any(_is_hidden(part) for part in path.parts)


def _is_hidden(part: str) -> bool:
    return (part.startswith(".") and part not in (".", "..")) or part == "__MACOSX"


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place) / name for name in sorted(files) if _is_picture(name))


def _from_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        if info.flag_bits & 1:
            raise DataError("It is encrypted; put it into a ZIP without a password.")
        try:
            with archive.open(info) as entry:
                return _bounded(entry)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            RuntimeError,
            NotImplementedError,
            ValueError,
        ) as error:
            raise DataError(f"It cannot be read from the ZIP: {error}.") from error

    return read


def _from_disk(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with open(path, "rb") as file:
                return _bounded(file)
        except OSError as error:
            raise DataError(f"It cannot be read: {error.strerror}.") from error

    return read


def _bounded(file) -> bytes:
    """What a ZIP says of an entry's size may be a lie: count what comes."""
    data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise DataError(f"It has more than {_LARGEST:,} bytes.")
    return data
