"""Near-duplicates: hashes, pairs, similarity, groups."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from clip_har.data import duplicates
from clip_har.data.duplicates import close_pairs, groups_of, perceptual_hash, similarity, verified_pairs


def texture(seed: int, size: tuple[int, int] = (80, 60)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("block", [1, 7, 64, 2048])
def test_close_pairs_are_those_of_the_definition(monkeypatch, block):
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, 60, dtype=np.uint64)
    hashes[20:30] = hashes[:10] ^ (np.uint64(1) << generator.integers(0, 64, 10, dtype=np.uint64))
    hashes[40] = hashes[3]
    expected = [
        (first, second, distance)
        for first in range(60)
        for second in range(first + 1, 60)
        if (distance := bin(int(hashes[first]) ^ int(hashes[second])).count("1")) <= 4
    ]
    assert len(expected) > 10
    assert [tuple(row) for row in close_pairs(hashes, 4).tolist()] == expected


def test_no_pairs_without_pictures():
    assert close_pairs(np.array([], dtype=np.uint64), 10).shape == (0, 3)
    assert groups_of([], []) == []


def test_the_hash_uses_all_of_its_bits_and_forgives_size():
    hashes = [perceptual_hash(texture(seed)) for seed in range(20)]
    assert all(0 <= value < 2**64 for value in hashes)
    assert max(hashes) >= 2**60  # nothing was cut off
    distance = bin(hashes[0] ^ perceptual_hash(texture(0, (160, 120)))).count("1")
    assert distance <= 2
    assert min(bin(hashes[0] ^ other).count("1") for other in hashes[1:]) > 10


def test_similarity_of_the_same_and_of_others():
    image = texture(0, (96, 96))
    assert similarity(image, image) == pytest.approx(1)
    assert similarity(image, image.point(lambda value: value // 2 + 30)) > 0.99
    assert similarity(image, image.crop((6, 3, 96, 96))) > 0.9
    assert similarity(image, image.resize((48, 40))) > 0.98
    assert max(similarity(image, texture(seed, (96, 96))) for seed in range(1, 9)) < 0.8


def test_similarity_of_plain_pictures():
    grey, also_grey, white = (Image.new("RGB", (40, 40), colour) for colour in ("grey", "grey", "white"))
    assert similarity(grey, also_grey) == 1
    assert similarity(grey, texture(0)) == pytest.approx(0, abs=0.01)
    assert 0 <= similarity(grey, white) <= 1


def test_pairs_are_verified_on_the_pictures():
    pictures = [texture(0), texture(0, (120, 90)), texture(1)]
    pairs = np.array([[0, 1, 2], [0, 2, 9], [1, 2, 9]])
    ((first, second, distance, value),) = verified_pairs(pairs, pictures.__getitem__, 0.9)
    assert (first, second, distance) == (0, 1, 2)
    assert value > 0.95


def test_groups_are_connected_and_named_by_their_smallest_id():
    ids = ["d", "a", "b", "c", "e"]
    assert groups_of(ids, [(0, 1), (1, 3)]) == ["a", "a", "b", "a", "e"]
    assert groups_of(ids, []) == ids
