"""Noise for surfaces, foliage and sensors: fixed tiles, cut and turned by seed, so that they cost almost nothing."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_SIZE = 512


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """float32 [512, 512, 3], standard normal, independent pixels."""
    return np.random.default_rng(20240501).standard_normal((_SIZE, _SIZE, 3), dtype=np.float32)


@lru_cache(maxsize=1)
def _clouds() -> np.ndarray:
    """float32 [512, 512], mean 0, about -1 to 1, with structure from 4 to 128 pixels; it can be tiled."""
    rng = np.random.default_rng(20240502)
    wave = np.fft.fftfreq(_SIZE)
    radius = np.sqrt(wave[:, None] ** 2 + wave[None, :] ** 2)
    spectrum = np.fft.fft2(rng.standard_normal((_SIZE, _SIZE)))
    band = np.where((radius > 1 / 200) & (radius < 1 / 3), 1 / np.maximum(radius, 1e-6) ** 1.15, 0)
    field = np.fft.ifft2(spectrum * band).real
    return (field / (2.2 * field.std())).astype(np.float32)


def _cut(tile: np.ndarray, seed: int, height: int, width: int, zoom: float = 1.0) -> np.ndarray:
    rows = (np.arange(height) * zoom + seed % 509).astype(np.intp) % _SIZE
    columns = (np.arange(width) * zoom + seed // 509 % 503).astype(np.intp) % _SIZE
    if seed & 1:
        rows = rows[::-1]
    if seed & 2:
        columns = columns[::-1]
    return tile[rows[:, None], columns[None, :]]


def grain(seed: int, height: int, width: int) -> np.ndarray:
    """float32 [height, width, 3], independent standard normal values."""
    # the sum of two cuts does not show the tile again
    return (_cut(_grain(), seed, height, width) + _cut(_grain(), seed // 7 + 91, height, width)) * np.float32(0.7071)


def clouds(seed: int, height: int, width: int, zoom: float = 1.0) -> np.ndarray:
    """float32 [height, width], smooth noise of about -1 to 1; `zoom` > 1 makes its structure smaller."""
    return _cut(_clouds(), seed, height, width, zoom)
