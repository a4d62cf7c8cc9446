"""What can change about pictures, by strength from 0 to 1: real photographs spoiled, and the dials of the drawn world.

A photograph is saved as it had been, with its own quantisation tables and sampling: nothing changes but what is meant to. What
names a shift best is written down here before anything is measured.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageEnhance, ImageFilter, ImageOps, JpegImagePlugin

Change = Callable[[Image.Image, float], Image.Image]

_FIRST_QUALITY, _LAST_QUALITY = 95, 10
LESS_LIGHT, BLUR_OF_HEIGHT = 0.75, 0.016
ENCODER_SEES = ("embedding_classifier", "embedding_mmd", "out_of_vocabulary")
"""Checks that name what no figure of a picture shows."""


@dataclass(frozen=True)
class Shift:
    """A change that comes to a window.

    Attributes:
        name: of it, as in the JSON line.
        title: in words, with what strength 1 is.
        named_by: checks of which one names it.
        change: picture and strength → picture; None where the file is changed otherwise, or not at all.
        by_share: whether strength is the share of the window's pictures that have changed, each wholly.
    """

    name: str
    title: str
    named_by: tuple[str, ...]
    change: Change | None = None
    by_share: bool = False


def _darken(picture: Image.Image, strength: float) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(1 - LESS_LIGHT * strength)


def _blur(picture: Image.Image, strength: float) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(BLUR_OF_HEIGHT * picture.height * strength))


def _turn(picture: Image.Image, strength: float) -> Image.Image:
    return picture.transpose(Image.Transpose.ROTATE_90)


def _grey(picture: Image.Image, strength: float) -> Image.Image:
    return ImageEnhance.Color(picture).enhance(1 - strength)


def jpeg_quality(strength: float) -> int:
    """Evenly by factors from 95, which the photographs here have, down to 10."""
    return round(_FIRST_QUALITY * (_LAST_QUALITY / _FIRST_QUALITY) ** strength)


CLASS_MIX, OTHER_THINGS, OTHER_FILES, SAVED_AGAIN = "class_mix", "other_things", "other_files", "saved_again"
PHOTOGRAPHS: tuple[Shift, ...] = (
    Shift("darkening", "darker; 1 leaves a quarter of the light", ("brightness",), _darken),
    Shift("blur", "Gaussian blur; 1 is 1.6 % of the height", ("sharpness",), _blur),
    Shift("jpeg", "JPEG quality from 95 (0) down to 10 (1)", ("bits_per_pixel",)),
    Shift("turn", "share of photographs turned by 90°", ("aspect",), _turn, by_share=True),
    Shift("grey", "colours fade; 1 is grey", ("saturation",), _grey),
    Shift(CLASS_MIX, "share drawn from 5 of the 15 actions", ("predicted_labels",), by_share=True),
    Shift(OTHER_THINGS, "share of other things, in these sizes and files", ("out_of_vocabulary",), by_share=True),
    Shift(
        OTHER_FILES,
        "share of other things, as their files are",
        ("out_of_vocabulary", "megapixels", "bits_per_pixel", "aspect"),
        by_share=True,
    ),
)
"""Of real photographs. Other things are `../shared/data/out_of_domain`."""

DIALS: tuple[Shift, ...] = (
    Shift("light", "less light and a colour cast", ("brightness",)),
    Shift("blur", "out of focus", ("sharpness",)),
    Shift("tilt", "camera held askew", ENCODER_SEES),
    Shift("crowd", "bystanders, and things in front", ENCODER_SEES),
    Shift("colour", "colours fade and shift to green", ("saturation",)),
    Shift("noise", "sensor noise", ("sharpness", "bits_per_pixel")),
    Shift("compression", "JPEG quality down to 6", ("bits_per_pixel",)),
)
"""Of the drawn world: `clip_har.samples.Nuisances`."""


def shifted(data: bytes, shift: Shift, strength: float) -> bytes:
    """A JPEG file with a change, saved as it had been."""
    with Image.open(io.BytesIO(data)) as opened:
        tables, sampling = opened.quantization, JpegImagePlugin.get_sampling(opened)
        picture = opened.convert("RGB")
    if shift.name == "jpeg":
        return _saved(picture, quality=jpeg_quality(strength))
    if shift.change is not None:
        picture = shift.change(picture, strength)
    return _saved(picture, qtables=tables, subsampling=max(sampling, 0))


def dressed_as(data: bytes, model: bytes) -> bytes:
    """A picture of anything in the size, and with the compression, of another JPEG file."""
    with Image.open(io.BytesIO(model)) as opened:
        size, tables, sampling = opened.size, opened.quantization, JpegImagePlugin.get_sampling(opened)
    with Image.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    fitted = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    return _saved(fitted, qtables=tables, subsampling=max(sampling, 0))


def _saved(picture: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()
