"""Near-duplicates: hashes, pairs, similarity, groups."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from clip_har.data import duplicates
from clip_har.data.duplicates import close_pairs, groups_of, perceptual_hash, similarity, verified_pairs
from clip_har.data.image import decode_image
from clip_har.samples import HAR_ACTIONS, describe_scene, draw_scene


def texture(seed: int, size: tuple[int, int] = (80, 60)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


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


def recoloured(image: Image.Image) -> dict[str, Image.Image]:
    """The picture in grey, in sepia, under a warm lamp, faded, and in colours that are too strong."""
    grey = image.convert("L").convert("RGB")
    tinted = {"sepia": (grey, (1.0, 0.9, 0.72)), "warm": (image, (1.2, 1.0, 0.75))}
    return {
        "grey": grey,
        **{
            name: Image.fromarray(np.clip(np.asarray(base) * np.array(gains), 0, 255).astype(np.uint8))
            for name, (base, gains) in tinted.items()
        },
        "faded": ImageEnhance.Color(image).enhance(0.3),
        "strong": ImageEnhance.Color(image).enhance(1.8),
    }


def assert_recoloured_are_recognised(pictures: list[Image.Image]) -> None:
    found = dict.fromkeys(recoloured(pictures[0]), 0)
    for image in pictures:
        hashed = perceptual_hash(image)
        for name, other in recoloured(image).items():
            close = bin(hashed ^ perceptual_hash(other)).count("1") <= 10
            found[name] += close and similarity(image, other) >= 0.9
    assert found == dict.fromkeys(found, len(pictures))


def test_a_recoloured_picture_is_the_same_picture():
    pictures = [draw_scene(describe_scene(action, number)) for number, action in enumerate(HAR_ACTIONS[:6])]
    assert_recoloured_are_recognised(pictures)


def test_recoloured_photographs_are_recognised(har_folder):
    paths = sorted((har_folder / "train").glob("*.jpg"))[::150]
    assert len(paths) == 30
    assert_recoloured_are_recognised([decode_image(path).image for path in paths])


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


@pytest.mark.parametrize("held", [2, 5, 1000])
def test_each_picture_is_asked_for_once_and_progress_is_told(monkeypatch, held):
    """Where few thumbnails are held pictures are asked for again, and the pairs are the same."""
    monkeypatch.setattr(duplicates, "_THUMBNAILS_HELD", held)
    pictures = [texture(seed % 3, (60 + seed, 50)) for seed in range(9)]
    pairs = np.array([(i, j, 1) for i in range(9) for j in range(i + 1, 9)])
    asked, told = Counter(), []

    def picture(index: int) -> Image.Image:
        asked[index] += 1
        return pictures[index]

    found = verified_pairs(pairs, picture, 0.9, lambda *numbers: told.append(numbers))
    expected = [(i, j, 1, pytest.approx(similarity(pictures[i], pictures[j]))) for i, j, _ in pairs if i % 3 == j % 3]
    assert found == expected
    assert len(found) == 9
    assert (set(asked.values()) == {1}) == (held == 1000)
    assert [done for done, _ in told] == list(range(1, told[-1][1] + 1))
    assert told[-1][1] == sum(asked.values()) + len(pairs)


def test_similarity_is_the_best_correlation_over_the_shifts():
    """Against the definition, shift by shift."""
    first, second = texture(1, (96, 96)), texture(1, (96, 96)).crop((7, 0, 96, 90))
    a, b = (
        np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), dtype=float) for image in (first, second)
    )
    best = max(
        np.corrcoef(
            a[max(down, 0) :][:29, max(right, 0) :][:, :29].ravel(),
            b[max(-down, 0) :][:29, max(-right, 0) :][:, :29].ravel(),
        )[0, 1]
        for down in range(-3, 4)
        for right in range(-3, 4)
    )
    assert similarity(first, second) == pytest.approx(best, abs=1e-12)
    assert best > np.corrcoef(a[:29, :29].ravel(), b[:29, :29].ravel())[0, 1] + 0.01


def test_groups_are_connected_and_named_by_their_smallest_id():
    ids = ["d", "a", "b", "c", "e"]
    assert groups_of(ids, [(0, 1), (1, 3)]) == ["a", "a", "b", "a", "e"]
    assert groups_of(ids, []) == ids
