"""Brightness, contrast, sharpness and the perceptual hash of a picture, all from one small version of it.

cleanvision measures the same things, but opens every file anew for each kind of issue, through a `datasets` or torchvision
data set and worker processes of its own; here a picture is decoded once for all checks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from clip_har.data.duplicates import perceptual_hash
from clip_har.data.image import DecodedImage

SIDE = 320
"""Pixels of the longer side of the small version; a smaller picture is measured as it is."""

_POWERS = np.arange(256, dtype=np.int64)[:, None] ** np.arange(3)


@dataclass(frozen=True, slots=True)
class Measures:
    """What is known of a decoded picture.

    Attributes:
        format, width, height, frames: as in `DecodedImage`.
        perceptual_hash: 64 bits.
        brightness: mean, 0 to 1.
        highlights: brightness that one pixel in a hundred reaches, 0 to 1.
        contrast: standard deviation of the colour channel that varies most, 0 to 1.
        sharpness: standard deviation of the Laplacian over that of the picture: 0.2 to 2 for most photographs of about
            240 × 160 pixels, and about 0.1 for the same ones blurred with a radius of 1.5 pixels. (The Laplacian's
            variance alone, Pech-Pacheco et al. 2000, falls with contrast too.) 0 where the picture is constant.
    """

    format: str
    width: int
    height: int
    frames: int
    perceptual_hash: int
    brightness: float
    highlights: float
    contrast: float
    sharpness: float


def measure(decoded: DecodedImage) -> Measures:
    """Measure a decoded picture. Only sums of whole numbers are used: the same on every machine."""
    small = decoded.image
    if max(small.size) > SIDE:
        factor = SIDE / max(small.size)
        size = tuple(max(1, round(side * factor)) for side in small.size)
        small = small.resize(size, Image.Resampling.BOX)
    grey = small.convert("L")
    counts = np.array([*grey.histogram(), *small.histogram()], dtype=np.int64).reshape(4, 256)
    (pixels, total, _), *_ = sums = (counts @ _POWERS).tolist()
    grey_deviation, *deviations = (_deviation(*each) for each in sums)
    reached = np.cumsum(counts[0, ::-1])[::-1] * 100 >= pixels  # by at least one pixel in a hundred
    return Measures(
        format=decoded.format,
        width=decoded.width,
        height=decoded.height,
        frames=decoded.frames,
        perceptual_hash=perceptual_hash(small),
        brightness=round(total / pixels / 255, 4),
        highlights=round(int(np.flatnonzero(reached)[-1]) / 255, 4),
        contrast=round(max(deviations) / 255, 4),
        sharpness=round(_sharpness(np.asarray(grey, dtype=np.int32), grey_deviation), 4),
    )


def _deviation(number: int, total: int, squares: int) -> float:
    """Standard deviation of values by their number, their sum and the sum of their squares."""
    return max(0, squares * number - total * total) ** 0.5 / number


def _sharpness(grey: np.ndarray, deviation: float) -> float:
    if min(grey.shape) < 3 or deviation == 0:
        return 0.0
    laplacian = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    total, squares = (int(values.sum(dtype=np.int64)) for values in (laplacian, laplacian * laplacian))
    return _deviation(laplacian.size, total, squares) / deviation
