"""MixUp and CutMix: labels are the shares of the pixels, and pairs are drawn by the batch's samples and the epoch."""

from __future__ import annotations

import numpy as np
import pytest

from clip_har.data.augmentation import AugmentationConfig, draw_mixture

SIZE = (40, 56)
IDS = [f"sample-{number}" for number in range(32)]
LABELS = np.arange(32) % 5
NAMES = [f"class-{label}" for label in LABELS]
CUTMIX = AugmentationConfig(policy="none", cutmix=1.0)
MIXUP = AugmentationConfig(policy="none", mixup={"probability": 1.0, "alpha": 1.0})


def flat_pictures() -> np.ndarray:
    """Each picture has one value of its own: a mixed one tells what it is made of."""
    return np.broadcast_to(np.arange(32, dtype=np.float32)[:, None, None, None], (32, 3, *SIZE)).copy()


def test_cutmixs_labels_are_the_shares_of_the_pixels():
    mixture = draw_mixture(CUTMIX, IDS, SIZE, 0, 0)
    pixels, targets = mixture.pixels(flat_pictures()), mixture.targets(LABELS, 5)
    for row in range(32):
        expected = np.zeros(5)
        for value, count in zip(*np.unique(pixels[row, 0], return_counts=True), strict=True):
            expected[LABELS[int(value)]] += count / (SIZE[0] * SIZE[1])
        assert targets[row] == pytest.approx(expected, abs=1e-6)
        assert len(np.unique(pixels[row])) <= 2
    shares = mixture.shares[mixture.partners != np.arange(32)]
    assert len(shares) > 20
    assert np.ptp(shares) > 0.6


def test_mixups_labels_are_the_weights_of_the_pictures():
    mixture = draw_mixture(MIXUP, IDS, SIZE, 0, 0)
    pixels, targets = mixture.pixels(flat_pictures()), mixture.targets(LABELS, 5)
    mixed = mixture.partners != np.arange(32)
    assert mixed.sum() > 20
    assert not mixture.boxes.any()
    for row in np.flatnonzero(mixed):
        partner = mixture.partners[row]
        weight = (float(pixels[row, 0, 0, 0]) - partner) / (row - partner)  # of the row's own picture
        expected = np.zeros(5)
        expected[LABELS[row]] += weight
        expected[LABELS[partner]] += 1 - weight
        assert targets[row] == pytest.approx(expected, abs=1e-4)
        assert np.ptp(pixels[row]) < 1e-5
    np.testing.assert_array_equal(pixels[~mixed], flat_pictures()[~mixed])


@pytest.mark.parametrize("config", [CUTMIX, MIXUP], ids=["cutmix", "mixup"])
def test_pairs_depend_on_the_batchs_samples_whatever_their_order(config):
    first = draw_mixture(config, IDS, SIZE, 0, 3)
    order = np.random.default_rng(1).permutation(32)
    again = draw_mixture(config, [IDS[row] for row in order], SIZE, 0, 3)
    for place, row in enumerate(order):
        assert order[again.partners[place]] == first.partners[row]
        assert again.shares[place] == first.shares[row]
        np.testing.assert_array_equal(again.boxes[place], first.boxes[row])


@pytest.mark.parametrize("change", [{"epoch": 1}, {"seed": 1}, {"ids": [*IDS[:-1], "other"]}])
def test_another_epoch_seed_or_batch_gives_other_pairs(change):
    values = {"ids": IDS, "size": SIZE, "seed": 0, "epoch": 0}
    first, other = draw_mixture(MIXUP, **values), draw_mixture(MIXUP, **(values | change))
    assert not np.array_equal(first.partners, other.partners)
    assert not np.array_equal(first.shares, other.shares)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.3, 0.6)])
def test_each_comes_as_often_as_its_probability_says(mixup, cutmix):
    config = AugmentationConfig(policy="none", mixup=mixup, cutmix=cutmix)
    kinds = {"mixup": 0, "cutmix": 0}
    for epoch in range(40):
        mixture = draw_mixture(config, IDS, SIZE, 0, epoch)
        pasted = mixture.boxes.any(axis=1)
        kinds["cutmix"] += pasted.sum()
        kinds["mixup"] += ((mixture.shares < 1) & ~pasted).sum()
    for name, asked in (("mixup", mixup), ("cutmix", cutmix)):
        assert kinds[name] / (40 * 32) == pytest.approx(asked, abs=0.06 if asked else 0)


def test_a_small_alpha_leaves_pictures_nearly_whole():
    small, large = (
        draw_mixture(AugmentationConfig(mixup={"probability": 1, "alpha": alpha}), IDS, SIZE, 0, 0).shares
        for alpha in (0.05, 20.0)
    )
    assert np.mean((small < 0.05) | (small > 0.95)) > 0.6
    assert np.mean((large[large < 1] > 0.3) & (large[large < 1] < 0.7)) > 0.9


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_class_that_forbids_it_is_neither_mixed_nor_mixed_in(name):
    config = AugmentationConfig(policy="none", **{name: 1.0}, forbidden={"class-2": [name]})
    for epoch in range(10):
        mixture = draw_mixture(config, IDS, SIZE, 0, epoch, NAMES)
        mixed = mixture.shares < 1
        assert mixed.sum() > 8
        assert not mixed[LABELS == 2].any()
        assert not (LABELS[mixture.partners[mixed]] == 2).any()
        free = draw_mixture(AugmentationConfig(policy="none", **{name: 1.0}), IDS, SIZE, 0, epoch, NAMES)
        np.testing.assert_array_equal(mixture.shares[mixed], free.shares[mixed])


def test_a_batch_of_one_has_nobody_to_be_mixed_with():
    mixture = draw_mixture(CUTMIX, ["a"], SIZE, 0, 0)
    assert mixture.targets(np.array([1]), 3).tolist() == [[0, 1, 0]]
