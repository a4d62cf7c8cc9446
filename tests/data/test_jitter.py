"""Colour jitter: seeded, bounded, and off unless it is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from clip_har.data.augmentation import AugmentationConfig, augment, generator_of

STILL = {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0}


@pytest.fixture
def image() -> Image.Image:
    pixels = np.random.default_rng(0).integers(60, 180, (32, 32, 3), dtype=np.uint8)
    pixels[:, :, 0] += 40
    return Image.fromarray(pixels)


def view(image: Image.Image, jitter: float, epoch: int = 0) -> np.ndarray:
    config = AugmentationConfig(**STILL, jitter=jitter)
    return augment(image, (32, 32), 3, config, generator_of(0, "a", epoch)).astype(float)


def test_without_jitter_colours_stay(image):
    assert np.array_equal(view(image, 0.0), np.asarray(image))


def test_brightness_contrast_and_saturation_change_within_bounds(image):
    original = np.asarray(image).astype(float)

    def measures(pixels: np.ndarray) -> np.ndarray:
        grey = pixels @ [0.299, 0.587, 0.114]
        return np.array([pixels.mean(), grey.std() / pixels.mean(), (pixels - grey[..., None]).std() / grey.std()])

    changes = np.array([measures(view(image, 0.3, epoch)) / measures(original) for epoch in range(60)])
    assert changes.min() > 0.68
    assert changes.max() < 1.32
    assert (changes.std(axis=0) > 0.1).all()  # each of the three moves


def test_it_is_the_same_for_a_sample_and_an_epoch(image):
    assert np.array_equal(view(image, 0.3, 5), view(image, 0.3, 5))
    assert not np.array_equal(view(image, 0.3, 5), view(image, 0.3, 6))
