"""RandAugment: Cubuk et al. 2020, "RandAugment: Practical automated data augmentation with a reduced search space".

The fourteen operations and the meaning of a magnitude from 0 to 30 are those of the paper's table and of torchvision's
`RandAugment`; that library itself is no dependency here, and the operations are a few lines of Pillow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

_MOST = 30.0
# What comes in from outside: the mean colour of ImageNet, as in the reference implementation.
_GROUND = (124, 116, 104)
_SHEAR, _SHIFT, _DEGREES, _ENHANCE = 0.3, 150 / 331, 30.0, 0.9  # at the largest magnitude

Kind = Callable[[Image.Image, float, float], Image.Image]


def _moved(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR, fillcolor=_GROUND
    )


def _enhanced(enhancer: type) -> Kind:
    return lambda image, level, sign: enhancer(image).enhance(1 + sign * level * _ENHANCE)


# Each takes a picture, the magnitude as a share of the largest, and a sign drawn at random.
_KINDS: dict[str, Kind] = {
    "identity": lambda image, level, sign: image,
    "auto_contrast": lambda image, level, sign: ImageOps.autocontrast(image),
    "equalize": lambda image, level, sign: ImageOps.equalize(image),
    "rotate": lambda image, level, sign: image.rotate(
        sign * level * _DEGREES, resample=Image.Resampling.BILINEAR, fillcolor=_GROUND
    ),
    "solarize": lambda image, level, sign: ImageOps.solarize(image, round(256 - 256 * level)),
    "color": _enhanced(ImageEnhance.Color),
    "posterize": lambda image, level, sign: ImageOps.posterize(image, 8 - round(4 * level)),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "brightness": _enhanced(ImageEnhance.Brightness),
    "sharpness": _enhanced(ImageEnhance.Sharpness),
    "shear_x": lambda image, level, sign: _moved(
        image, (1, sign * level * _SHEAR, -sign * level * _SHEAR * image.height / 2, 0, 1, 0)
    ),
    "shear_y": lambda image, level, sign: _moved(
        image, (1, 0, 0, sign * level * _SHEAR, 1, -sign * level * _SHEAR * image.width / 2)
    ),
    "translate_x": lambda image, level, sign: _moved(image, (1, 0, sign * level * _SHIFT * image.width, 0, 1, 0)),
    "translate_y": lambda image, level, sign: _moved(image, (1, 0, 0, 0, 1, sign * level * _SHIFT * image.height)),
}
KINDS = tuple(_KINDS)


def rand_augment(
    pixels: np.ndarray, operations: int, magnitude: float, exclude: Collection[str], generator: np.random.Generator
) -> np.ndarray:
    """A view changed by operations drawn with replacement, each as likely as any other.

    Args:
        pixels: uint8 [h, w, 3].
        magnitude: from 0 to 30.
        exclude: names that are not drawn; whatever they are, the other draws stay as they would be.
    """
    image = Image.fromarray(pixels)
    for number, sign in zip(
        generator.integers(len(KINDS), size=operations), generator.choice((-1.0, 1.0), size=operations), strict=True
    ):
        kind = KINDS[number]
        if kind not in exclude:
            image = _KINDS[kind](image, magnitude / _MOST, float(sign))
    return np.asarray(image)
