"""A random view of a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from clip_har.data.augmentation.config import OPERATIONS, AugmentationConfig

_NUMBERS = {name: number for number, name in enumerate(OPERATIONS)}
_ON_VIEWS = ("rand_augment", "blur", "jpeg", "erasing")


def generator_of(seed: int, sample: str, epoch: int) -> np.random.Generator:
    """The random numbers of one sample in one epoch."""
    digest = hashlib.sha256(f"{seed}:{sample}:{epoch}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8]))


def augment(
    image: Image.Image,
    size: tuple[int, int],
    resample: int,
    config: AugmentationConfig,
    generator: np.random.Generator,
    uncropped: Callable[[Image.Image], np.ndarray] | None = None,
) -> np.ndarray:
    """A random view of a picture: uint8 [h, w, 3].

    Each operation but the first three has random numbers of its own, so that a change of one leaves the others' draws.

    Args:
        image: RGB.
        size: (height, width) of the view, in pixels.
        resample: Pillow's number of the resampling filter.
        uncropped: what a view is where no crop is made, uint8 [h, w, 3]; if not given, the picture's central part of the
            view's shape.
    """
    height, width = size
    box = config.crop.box(image.width, image.height, generator)
    if _acts("crop", config, generator):
        view = np.asarray(image.resize((width, height), Image.Resampling(resample), box))
    elif uncropped is not None:
        view = uncropped(image)
    else:
        box = _central(image, width / height)
        view = np.asarray(image.resize((width, height), Image.Resampling(resample), box))
    if generator.random() < config.flip.probability:
        view = np.ascontiguousarray(view[:, ::-1])
    jitter = config.jitter
    if jitter.acts and _acts("jitter", config, generator):
        if jitter.strength:
            view = jitter.colours(view, generator)
        if jitter.hue:
            view = jitter.turned(view, _own("jitter", generator, 1))
    for name in _ON_VIEWS:
        if getattr(config, name).acts and _acts(name, config, generator):
            view = getattr(config, name)(view, _own(name, generator, 1))
    return view


def _acts(name: str, config: AugmentationConfig, generator: np.random.Generator) -> bool:
    probability = getattr(config, name).probability
    return probability >= 1 or (probability > 0 and _own(name, generator, 0).random() < probability)


def _own(name: str, generator: np.random.Generator, part: int) -> np.random.Generator:
    """An operation's own random numbers: `part` 0 says whether it acts, 1 how."""
    seed = generator.bit_generator.seed_seq
    key = (*seed.spawn_key, _NUMBERS[name], part)
    return np.random.default_rng(np.random.SeedSequence(seed.entropy, spawn_key=key))


def _central(image: Image.Image, ratio: float) -> tuple[float, float, float, float]:
    width = min(image.width, image.height * ratio)
    height = width / ratio
    left, top = (image.width - width) / 2, (image.height - height) / 2
    return left, top, left + width, top + height
