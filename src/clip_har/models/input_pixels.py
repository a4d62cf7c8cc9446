"""A data set's pictures as the image encoder takes them: decoded and resized, or read from the pixel cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import clip_har.models.preprocessing
from clip_har.data.image import ImageLimits
from clip_har.data.pixel_cache import PixelCache
from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor

LoadPixels = Callable[[str, Path], np.ndarray]
"""`load(id, path) -> uint8 [h, w, 3]`, before scaling and normalising; raises ImageError."""


@contextmanager
def input_pixels(
    preprocessing: PreprocessingConfig,
    samples: int,
    cache: PixelCache | None = None,
    limits: ImageLimits | None = None,
) -> Iterator[LoadPixels]:
    """What loads the pictures of a data set, for the block; the same bytes with a cache and without.

    Args:
        samples: how many there are, by which the cache decides whether it serves.
    """
    preprocessor = Preprocessor(preprocessing)

    def make(source: bytes | Path) -> np.ndarray:
        return preprocessor.resize_and_crop(preprocessor.decode(source, limits))

    if cache is None or not cache.serves(samples):
        yield lambda identity, path: make(path)
        return
    with cache.open({"pixels": "input", **preprocessing.geometry}, [clip_har.models.preprocessing]) as pictures:
        yield lambda identity, path: pictures.get(identity, path, make, limits)
