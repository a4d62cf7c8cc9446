"""Figures of a picture that tell a dark, blurred or grey camera from a good one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

STATISTICS = ("brightness", "contrast", "sharpness", "saturation", "red", "green", "blue", "aspect")
_SIDE = 96  # shorter side of the thumbnail: on less, a blur of one pixel in a small photograph is not seen


def image_statistics(image: Image) -> dict[str, float]:
    """Figures of an upright RGB picture, taken on a thumbnail; they hardly depend on its size.

    For a file: `image_statistics(decode_image(path).image)`, as the service does.

    Returns:
        brightness: mean luma (ITU-R BT.601), 0 to 1. contrast: its standard deviation. sharpness: mean absolute Laplacian of the luma
        (Pech-Pacheco et al. 2000 take its variance, which a few edges dominate). saturation: mean of (max - min) / max of the
        channels. red, green, blue: means, 0 to 1. aspect: width / height.
    """
    from PIL.Image import Resampling

    width, height = image.size
    if image.mode != "RGB":
        image = image.convert("RGB")
    scale = _SIDE / min(width, height)
    if scale < 1:
        size = (min(round(width * scale), 4 * _SIDE), min(round(height * scale), 4 * _SIDE))
        image = image.resize(size, Resampling.BILINEAR, reducing_gap=2.0)
    levels = np.arange(256) / 255.0
    count = image.width * image.height
    red, green, blue = (np.array(image.histogram()).reshape(3, 256) @ levels / count).tolist()
    grey = image.convert("L")
    shares = np.array(grey.histogram()) / count
    brightness = float(shares @ levels)
    return {
        "brightness": brightness,
        "contrast": float(np.sqrt(shares @ (levels - brightness) ** 2)),
        "sharpness": _sharpness(np.asarray(grey, np.int16)),
        "saturation": _saturation(image),
        "red": red,
        "green": green,
        "blue": blue,
        "aspect": width / height,
    }


def _saturation(image: Image) -> float:
    """Of every other pixel: a mean does not need them all."""
    red, green, blue = (band.reshape(-1) for band in np.moveaxis(np.asarray(image)[::2, ::2], 2, 0))
    highest = np.maximum(np.maximum(red, green), blue)
    lowest = np.minimum(np.minimum(red, green), blue)
    return float(((highest - lowest) / np.maximum(highest, 1).astype(np.float32)).mean())


def _sharpness(luma: np.ndarray) -> float:
    """Mean absolute Laplacian of int16 [h, w] in 0 to 255, as a share of 255."""
    if min(luma.shape) < 3:
        return 0.0
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    return float(np.abs(laplacian).mean()) / 255.0
