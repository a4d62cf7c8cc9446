"""Augmentation of training pictures, seeded by sample and epoch: the same draw whatever the order or the worker."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from PIL import Image
from pydantic import Field

from clip_har.component import ComponentConfig


class AugmentationConfig(ComponentConfig):
    """Random resized crop (Szegedy et al. 2015), horizontal flip, and, where asked for, colour."""

    crop_scale: tuple[float, float] = Field(
        (0.6, 1.0), description="Share of the picture's area that a crop keeps: from, to. (1, 1) keeps all."
    )
    crop_ratio: tuple[float, float] = Field((0.75, 1.3333), description="Width over height of a crop: from, to.")
    flip: float = Field(0.5, ge=0, le=1, description="Probability of a horizontal flip.")
    jitter: float = Field(
        0.0, ge=0, lt=1, description="Brightness, contrast and saturation change by factors of up to 1 ± this."
    )


def generator_of(seed: int, sample: str, epoch: int) -> np.random.Generator:
    """The random numbers of one sample in one epoch."""
    digest = hashlib.sha256(f"{seed}:{sample}:{epoch}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8]))


def augment(
    image: Image.Image, size: tuple[int, int], resample: int, config: AugmentationConfig, generator: np.random.Generator
) -> np.ndarray:
    """A random view of a picture: uint8 [h, w, 3].

    Args:
        image: RGB.
        size: (height, width) of the view, in pixels.
        resample: Pillow's number of the resampling filter.
    """
    height, width = size
    box = _random_box(image.width, image.height, config, generator)
    view = image.resize((width, height), Image.Resampling(resample), box)
    if generator.random() < config.flip:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if config.jitter:
        return _jittered(np.asarray(view, dtype=np.float32), config.jitter, generator)
    return np.asarray(view)


def _jittered(pixels: np.ndarray, amount: float, generator: np.random.Generator) -> np.ndarray:
    brightness, contrast, saturation = generator.uniform(1 - amount, 1 + amount, 3).astype(np.float32)
    pixels = pixels * brightness
    mean = pixels.mean()
    pixels = mean + contrast * (pixels - mean)
    grey = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    pixels = grey[:, :, None] + saturation * (pixels - grey[:, :, None])
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _random_box(
    width: int, height: int, config: AugmentationConfig, generator: np.random.Generator
) -> tuple[float, float, float, float]:
    area = width * height
    low, high = math.log(config.crop_ratio[0]), math.log(config.crop_ratio[1])
    for _ in range(10):
        target = area * generator.uniform(*config.crop_scale)
        ratio = math.exp(generator.uniform(low, high))
        box_width, box_height = math.sqrt(target * ratio), math.sqrt(target / ratio)
        if box_width <= width and box_height <= height:
            left, top = generator.uniform(0, width - box_width), generator.uniform(0, height - box_height)
            return left, top, left + box_width, top + box_height
    side = min(width, height)  # no such crop fits: the central square
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side
