"""Safe decoding: bytes or a file → an RGB picture, or one typed error. The only place that opens images.

The header is judged before pixels are touched, so that a decompression bomb costs nothing; memory for pixels in
flight is bounded by a `PixelBudget` shared by all threads that decode.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.errors import ImageError

REASONS = {
    "missing_file": "there is no such file",
    "empty_file": "the file has no bytes",
    "too_many_bytes": "the file is larger than allowed",
    "not_an_image": "the bytes are not an image of an allowed format",
    "too_many_pixels": "the header announces more pixels than allowed",
    "truncated": "the image ends too early or is damaged",
}

# In the `info` of a picture that its decoder has reduced: its (width, height) in the file, and whether it starts inside
# the first column and the first row. The reduced size is that over 2, 4 or 8, rounded up, which alone does not say how far
# the picture reaches into its last column and row (or, turned by its EXIF orientation, into its first).
REDUCED_FROM = "reduced_from"
# EXIF orientations that bring the right or lower edge of the file's picture to the left, and to the top.
_EDGE_AT_LEFT, _EDGE_AT_TOP = (2, 3, 6, 7), (3, 4, 7, 8)
_PILLOW_REFUSES_ABOVE = 178_956_970  # twice PIL.Image.MAX_IMAGE_PIXELS


class ImageLimits(ComponentConfig):
    """What is accepted as an image."""

    max_bytes: int = Field(50_000_000, gt=0, description="Largest file, in bytes.")
    max_pixels: int = Field(
        50_000_000, gt=0, le=_PILLOW_REFUSES_ABOVE, description="Largest width × height, in pixels."
    )
    max_pixels_in_flight: int = Field(
        150_000_000, gt=0, description="Pixels being decoded at one time, over all threads; others wait."
    )
    formats: tuple[str, ...] = Field(
        ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"), description="Allowed formats, by Pillow's names."
    )


@dataclass(frozen=True)
class DecodedImage:
    """A decoded picture and what its header said.

    Attributes:
        image: RGB, upright (EXIF orientation applied), the first frame of an animation.
        format: Pillow's name of the format ("JPEG").
        width, height: size of the upright picture in the file, in pixels (`image` is smaller if it was reduced).
        frames: number of frames in the file.
    """

    image: Image.Image
    format: str
    width: int
    height: int
    frames: int


class PixelBudget:
    """A bound on the pixels that several threads decode at one time; whoever would exceed it waits."""

    def __init__(self, pixels: int) -> None:
        self._limit = pixels
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Take `pixels` from the budget for the block. One picture alone is always let through."""
        with self._changed:
            self._changed.wait_for(lambda: self._used == 0 or self._used + pixels <= self._limit)
            self._used += pixels
        try:
            yield
        finally:
            with self._changed:
                self._used -= pixels
                self._changed.notify_all()


def read_image_bytes(path: str | Path, limits: ImageLimits) -> bytes:
    """Bytes of an image file, its size checked before it is read.

    Raises:
        ImageError: missing_file, empty_file or too_many_bytes.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ImageError("missing_file", f"{path} is not a file.")
        if size > limits.max_bytes:
            raise ImageError("too_many_bytes", f"{path} has {size:,} bytes; at most {limits.max_bytes:,} are allowed.")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError("missing_file", f"There is no file {path}.") from error
    except OSError as error:
        raise ImageError("missing_file", f"{path} cannot be read: {error.strerror}.") from error


def decode_image(
    source: bytes | str | Path,
    limits: ImageLimits | None = None,
    *,
    reduce_above: int | None = None,
    budget: PixelBudget | None = None,
) -> DecodedImage:
    """Decode one image to upright RGB.

    CMYK, palette, grey, 16-bit, alpha (laid over white) and animated files (first frame) all give RGB.

    Args:
        source: the file's bytes, or its path.
        limits: what is accepted; the defaults of `ImageLimits` if None.
        reduce_above: if given, a JPEG whose shorter side is at least twice this many pixels is reduced by its
            decoder (to a half, a quarter or an eighth) as far as that side stays at or above it.
        budget: shared bound on pixels in flight.

    Raises:
        ImageError: with one of `REASONS`.
    """
    limits = limits or ImageLimits()
    if isinstance(source, bytes | bytearray | memoryview):
        data, name = bytes(source), "The image"
    else:
        data, name = read_image_bytes(source, limits), str(source)
    if not data:
        raise ImageError("empty_file", f"{name} is empty (0 bytes).")
    if len(data) > limits.max_bytes:
        raise ImageError("too_many_bytes", f"{name} has {len(data):,} bytes; at most {limits.max_bytes:,} are allowed.")
    opened = _open(data, name, limits)
    width, height = opened.size
    with budget.hold(width * height) if budget else nullcontext():
        try:
            if reduce_above and opened.format in ("JPEG", "MPO") and min(width, height) >= 2 * reduce_above:
                scale = reduce_above / min(width, height)
                opened.draft(None, (int(width * scale), int(height * scale)))
            frames = getattr(opened, "n_frames", 1)
            opened.load()
            orientation = opened.getexif().get(ExifTags.Base.Orientation, 1)
            upright = ImageOps.exif_transpose(opened)
            if upright.size != opened.size:
                width, height = height, width
            image = _to_rgb(upright)
            if max(image.size) < max(width, height):
                image.info[REDUCED_FROM] = (width, height, orientation in _EDGE_AT_LEFT, orientation in _EDGE_AT_TOP)
        except MemoryError:
            raise
        except Exception as error:  # Pillow's plugins raise whatever a damaged file leads them to
            raise ImageError("truncated", f"{name} is a damaged {opened.format} file: {error}.") from error
    return DecodedImage(image=image, format=str(opened.format), width=width, height=height, frames=frames)


def upright_rgb(image: Image.Image) -> Image.Image:
    """A picture that Pillow has opened → what `decode_image` makes of its file.

    Raises:
        ImageError: truncated, if its pixels cannot be read.
    """
    try:
        return _to_rgb(ImageOps.exif_transpose(image))
    except MemoryError:
        raise
    except Exception as error:  # as in decode_image
        raise ImageError("truncated", f"The image is damaged: {error}.") from error


def _open(data: bytes, name: str, limits: ImageLimits) -> Image.Image:
    allowed = ", ".join(limits.formats)
    try:
        opened = Image.open(io.BytesIO(data), formats=limits.formats)
    except Image.DecompressionBombError as error:
        raise ImageError(
            "too_many_pixels", f"{name} announces far more pixels than the {limits.max_pixels:,} that are allowed."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError("not_an_image", f"{name} is not an image of an allowed format ({allowed}).") from error
    except Exception as error:  # as above: damaged headers
        raise ImageError("truncated", f"{name} has a damaged header: {error}.") from error
    width, height = opened.size
    if width * height > limits.max_pixels:
        raise ImageError(
            "too_many_pixels",
            f"{name} has {width} × {height} = {width * height:,} pixels; at most {limits.max_pixels:,} are allowed.",
        )
    return opened


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey_to_rgb(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _deep_grey_to_rgb(image: Image.Image) -> Image.Image:
    """16- and 32-bit grey: Pillow would clip at 255, so the range is scaled to eight bits first."""
    values = np.asarray(image, dtype=np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=65535.0, neginf=0.0)
    if image.mode == "F":
        full_scale = 1.0 if values.max(initial=0.0) <= 1.0 else 255.0
    else:
        full_scale = 65535.0 if image.mode.startswith("I;16") or values.max(initial=0.0) > 255 else 255.0
    grey = np.clip(np.rint(values * (255.0 / full_scale)), 0, 255).astype(np.uint8)
    return Image.fromarray(grey, mode="L").convert("RGB")
