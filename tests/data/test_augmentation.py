"""Augmentation: seeded by sample and epoch, and within its bounds."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from clip_har.data.augmentation import AugmentationConfig, augment, generator_of

BILINEAR, NEAREST = 2, 0
# Red says how far right a pixel comes from, green how far down: a view tells its own crop.
RAMP = np.zeros((200, 240, 3), dtype=np.uint8)
RAMP[:, :, 0] = np.arange(240)
RAMP[:, :, 1] = np.arange(200)[:, None]
PICTURE = Image.fromarray(RAMP)


def view(sample="a", epoch=0, seed=0, size=(24, 32), config=None, picture=PICTURE):
    return augment(picture, size, BILINEAR, config or AugmentationConfig(), generator_of(seed, sample, epoch))


def test_a_view_is_the_same_wherever_it_is_drawn():
    assert np.array_equal(view(), view())
    assert view().shape == (24, 32, 3)
    assert view().dtype == np.uint8


@pytest.mark.parametrize("other", [{"sample": "b"}, {"epoch": 1}, {"seed": 1}, {"sample": "a:0", "epoch": 0}])
def test_sample_epoch_and_seed_each_give_another_view(other):
    assert not np.array_equal(view(), view(**other))


def test_draws_are_the_same_on_every_machine():
    assert generator_of(3, "abc", 2).integers(0, 1000, 4).tolist() == [333, 136, 318, 470]


def test_crops_stay_within_the_bounds():
    config = AugmentationConfig(crop_scale=(0.3, 0.7), crop_ratio=(0.5, 2.0), flip=0)
    areas, ratios, lefts = [], [], []
    for epoch in range(300):
        drawn = view(epoch=epoch, size=(50, 50), config=config).astype(float)
        assert not (np.diff(drawn[:, :, 0], axis=1) < 0).any()  # not mirrored
        # between the centres of the first and last pixels lie 49 of the crop's 50 parts
        width = (drawn[25, -1, 0] - drawn[25, 0, 0]) * 50 / 49
        height = (drawn[-1, 25, 1] - drawn[0, 25, 1]) * 50 / 49
        areas.append(width * height / (240 * 200))
        ratios.append(width / height)
        lefts.append(drawn[25, 0, 0])
    assert 0.28 < min(areas) < 0.36
    assert 0.64 < max(areas) < 0.72
    assert 0.47 < min(ratios) < 0.7
    assert 1.6 < max(ratios) < 2.1
    assert min(lefts) < 10
    assert max(lefts) > 80


@pytest.mark.parametrize("flip", [0.0, 0.25, 1.0])
def test_flips_come_as_often_as_asked(flip):
    config = AugmentationConfig(flip=flip)
    flipped = [
        bool(view(epoch=epoch, config=config)[0, 0, 0] > view(epoch=epoch, config=config)[0, -1, 0])
        for epoch in range(200)
    ]
    assert np.mean(flipped) == pytest.approx(flip, abs=0.1 if 0 < flip < 1 else 0)


def test_keeping_all_is_plain_resizing():
    config = AugmentationConfig(crop_scale=(1, 1), crop_ratio=(1.2, 1.2), flip=0)
    expected = np.asarray(PICTURE.resize((32, 24), BILINEAR))
    assert np.abs(view(config=config).astype(int) - expected).max() <= 1


def test_a_long_picture_falls_back_to_its_middle():
    long = PICTURE.resize((2000, 20), NEAREST)
    config = AugmentationConfig(crop_scale=(0.9, 1.0), flip=0)
    drawn = view(picture=long, config=config, size=(8, 8))
    assert drawn[:, :, 0].min() > 110
    assert drawn[:, :, 0].max() < 130
