"""Figures of a picture that tell a dark, blurred or grey camera from a good one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

STATISTICS = ("brightness", "contrast", "sharpness", "saturation", "red", "green", "blue", "aspect")
_SIDE = 64  # shorter side of the thumbnail: on less, a blur of one pixel in a small photograph is hardly seen


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
        image = image.resize(size, Resampling.BOX, reducing_gap=1.0)
    pixels, grey = np.asarray(image), np.asarray(image.convert("L"), np.int16)
    colours, luma = pixels.reshape(-1, 3).astype(np.float32), grey.reshape(-1).astype(np.float32)
    red, green, blue = (np.ones(len(luma), np.float32) @ colours / (255 * len(luma))).tolist()
    brightness = float(luma.mean())
    return {
        "brightness": brightness / 255,
        "contrast": float(np.linalg.norm(luma - brightness)) / len(luma) ** 0.5 / 255,
        "sharpness": _sharpness(grey),
        "saturation": _saturation(pixels),
        "red": red,
        "green": green,
        "blue": blue,
        "aspect": width / height,
    }


def _saturation(pixels: np.ndarray) -> float:
    """Of uint8 [h, w, 3], every other pixel: a mean does not need them all."""
    red, green, blue = (np.ascontiguousarray(pixels[::2, ::2, channel]) for channel in range(3))
    highest = np.maximum(np.maximum(red, green), blue)
    lowest = np.minimum(np.minimum(red, green), blue)
    return float(((highest - lowest) / np.maximum(highest, 1).astype(np.float32)).mean())


def _sharpness(luma: np.ndarray) -> float:
    """Mean absolute Laplacian of int16 [h, w] in 0 to 255, as a share of 255."""
    if min(luma.shape) < 3:
        return 0.0
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    return float(np.abs(laplacian).mean(dtype=np.float32)) / 255.0
