"""Pictures in any form → the bytes that are sent."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_har.client.settings import ClientSettings
from clip_har.errors import ConfigError, ImageError

if TYPE_CHECKING:
    pass

Picture = Any
"""A path, a file's bytes, an open binary file, a PIL image, or an array uint8 [h, w, 3]."""

# Nothing below this is decoded to save bytes: a request of that size is sent sooner.
_WORTH_REDUCING = 50_000
_MOST_PIXELS = 100_000_000
_ORIENTATION = 0x0112
_MODES_OF_PNG = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


def as_list(pictures: Picture | Iterable[Picture]) -> list[Picture]:
    """One picture or several → a list.

    Raises:
        ConfigError: if there is none.
    """
    single = isinstance(pictures, str | os.PathLike | bytes | bytearray | memoryview)
    if single or hasattr(pictures, "read") or hasattr(pictures, "getexif") or hasattr(pictures, "__array_interface__"):
        return [pictures]
    found = list(pictures)
    if not found:
        raise ConfigError("There is no picture to ask about; at least one is wanted.")
    return found


def contents(pictures: Picture | Iterable[Picture], settings: ClientSettings) -> list[bytes]:
    """The bytes to send for each.

    Raises:
        ImageError: for the first picture that cannot be read.
    """
    return [content(picture, settings) for picture in as_list(pictures)]


def content(picture: Picture, settings: ClientSettings) -> bytes:
    """The bytes to send for a picture: a file's as they are, unless it is to be reduced; a decoded one's as PNG.

    Raises:
        ImageError: if it cannot be read.
    """
    if isinstance(picture, str | os.PathLike):
        data = _read(Path(picture), settings.max_picture_bytes)
    elif isinstance(picture, bytes | bytearray | memoryview):
        data = bytes(picture)
    elif hasattr(picture, "read"):
        data = picture.read()
        if not isinstance(data, bytes):
            raise ImageError("not_an_image", "The file is opened as text; open it as binary ('rb').")
    else:
        data = _encoded(picture)
    if settings.shorter_edge is None or len(data) < _WORTH_REDUCING:
        return data
    return reduced(data, settings.shorter_edge, settings.reduced_quality)


def reduced(data: bytes, shorter_edge: int, quality: int) -> bytes:
    """An upright JPEG of the picture, if it is larger than that and takes fewer bytes; else the bytes as they are.

    Args:
        shorter_edge: of the reduced picture, in pixels.

    What cannot be decoded is left to the service to judge; so are transparent and deep pictures and animations.
    """
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = Image.open(io.BytesIO(data))
            width, height = picture.size
            least = min(width, height)
            plain = picture.mode in ("RGB", "L") and "transparency" not in picture.info
            if least <= shorter_edge or width * height > _MOST_PIXELS or not plain:
                return data
            scale = shorter_edge / least
            size = tuple(max(shorter_edge, round(edge * scale)) for edge in (width, height))
            picture.draft(None, (2 * size[0], 2 * size[1]))  # a JPEG's decoder halves faster than a filter
            picture.load()
            profile = picture.info.get("icc_profile")
            orientation = picture.getexif().get(_ORIENTATION, 1)
            small = picture.resize(size, Image.Resampling.LANCZOS)
            small.getexif()[_ORIENTATION] = orientation
            small = ImageOps.exif_transpose(small)
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=quality, icc_profile=profile)
        except MemoryError:
            raise
        except Exception:  # Pillow's plugins raise whatever a damaged file leads them to
            return data
    return buffer.getvalue() if buffer.tell() < len(data) else data


def _read(path: Path, most: int) -> bytes:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(most + 1) if size <= most else b""
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # the last: a NUL in the name
        raise ImageError("missing_file", f"There is no file {str(path)!r}.") from error
    except OSError as error:
        raise ImageError("missing_file", f"{path} cannot be read: {error.strerror}.") from error
    if max(size, len(data)) > most:
        raise ImageError("too_many_bytes", f"{path} has {size:,} bytes; at most {most:,} are sent.")
    return data


def _encoded(picture: Picture) -> bytes:
    """A PIL image or an array as PNG, which loses nothing."""
    import numpy as np
    from PIL import Image, ImageOps

    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise ImageError(
                "not_an_image",
                f"The array is {picture.dtype} {list(picture.shape)}; wanted: uint8 [h, w, 3].",
            )
        picture = Image.fromarray(picture)
    if not isinstance(picture, Image.Image):
        wanted = "a path, a file's bytes, an open file, a PIL image, or an array uint8 [h, w, 3]"
        raise ImageError("not_an_image", f"A {type(picture).__name__} is no picture; wanted: {wanted}.")
    if picture.mode in ("I", "F"):
        raise ImageError(
            "not_an_image", f"A PIL image of mode {picture.mode} says nothing of its range; make it L or I;16."
        )
    upright = ImageOps.exif_transpose(picture)
    buffer = io.BytesIO()
    (upright if upright.mode in _MODES_OF_PNG else upright.convert("RGB")).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def picture_files(folder: Path, suffixes: Sequence[str], *, recursive: bool = True) -> Iterable[Path]:
    """A folder's pictures by name, one after the other; hidden files and folders are left out.

    Args:
        suffixes: in lower case, with the dot.

    Raises:
        ConfigError: if the folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            here = sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries)
    except OSError as error:
        raise ConfigError(f"The folder {str(folder)!r} cannot be read: {error.strerror}.") from error
    for name, is_folder, is_link in here:
        if name.startswith("."):
            continue
        if not is_folder:
            if name.lower().endswith(tuple(suffixes)):
                yield folder / name
        elif recursive and not is_link:  # a link may lead in circles
            yield from picture_files(folder / name, suffixes)
