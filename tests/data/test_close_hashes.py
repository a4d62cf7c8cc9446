"""Close pairs of hashes: those of the definition, also where hashes crowd, and without comparing each with each."""

from __future__ import annotations

import numpy as np
import pytest

from clip_har.data import close_hashes
from clip_har.data.close_hashes import close_pairs
from clip_har.data.duplicates import groups_of, perceptual_hash
from clip_har.data.image import decode_image


def compared(hashes: np.ndarray, max_distance: int) -> np.ndarray:
    """The definition: each compared with each."""
    distances = np.bitwise_count(hashes[:, None] ^ hashes[None]).astype(np.int64)
    first, second = np.nonzero(np.triu(distances <= max_distance, 1))
    return np.stack([first, second, distances[first, second]], axis=1)


def changed(hashes: np.ndarray, bits: int, generator: np.random.Generator) -> np.ndarray:
    """Each hash with exactly so many bits changed."""
    places = np.argsort(generator.random((len(hashes), 64)), axis=1)[:, :bits].astype(np.uint64)
    return hashes ^ np.bitwise_or.reduce(np.uint64(1) << places, axis=1, initial=0)


def random_hashes(count: int, seed: int = 0) -> np.ndarray:
    """The last fifth of them copies of the first, with 0 to 12 bits changed."""
    generator = np.random.default_rng(seed)
    hashes = generator.integers(0, 2**64, count, dtype=np.uint64)
    copies = count // 5
    for bits in range(13):
        place = slice(count - copies + bits, count, 13)
        hashes[place] = changed(hashes[bits:copies:13], bits, generator)
    return hashes


@pytest.mark.parametrize("max_distance", [0, 1, 4, 10, 13, 20, 32])
@pytest.mark.parametrize("count", [1, 2, 60, 1500])
def test_close_pairs_are_those_of_the_definition(count, max_distance):
    if count > 1000 and max_distance > 13:
        count = 300  # random hashes are close by then, and no hash may have more than 32 partners here
    hashes = random_hashes(count)
    if max_distance > 20:
        hashes = hashes[:40]
    expected = compared(hashes, max_distance)
    assert len(expected) > 1 or count < 100
    assert close_pairs(hashes, max_distance).tolist() == expected.tolist()


@pytest.mark.parametrize("chunks", range(4, 17))
def test_any_cut_into_chunks_finds_all(monkeypatch, chunks):
    """Copies that differ in exactly ten bits, which is where a chunk's share of them is decided."""
    monkeypatch.setattr(close_hashes, "_chunks", lambda count, distance: close_hashes._cut(chunks, distance))
    generator = np.random.default_rng(chunks)
    hashes = generator.integers(0, 2**64, 1500, dtype=np.uint64)
    hashes = np.concatenate([hashes, changed(hashes, 10, generator)])
    monkeypatch.setattr(close_hashes, "_compared_with_all", lambda *_: pytest.fail("compared each with each"))
    pairs = close_pairs(hashes, 10)
    assert pairs.tolist() == compared(hashes, 10).tolist()
    assert len(pairs) >= 1500


def test_small_pieces_of_work_give_the_same(monkeypatch):
    hashes = random_hashes(700)
    hashes[:200] &= ~np.uint64(0xFFFF)  # more entries at one place of a table than are taken at once
    expected = compared(hashes, 10).tolist()
    monkeypatch.setattr(close_hashes, "_AT_ONCE", 50)
    assert close_pairs(hashes, 10).tolist() == expected


def test_many_hashes_are_not_compared_with_each_other(monkeypatch):
    """Only a small share of all pairs is looked at."""
    hashes, looked_at = random_hashes(20_000), []
    count = np.bitwise_count

    def counted(values):
        looked_at.append(np.size(values))
        return count(values)

    monkeypatch.setattr(close_hashes.np, "bitwise_count", counted)
    pairs = close_pairs(hashes, 10)
    assert len(pairs) >= 20_000 / 5 * 11 / 13
    assert sum(looked_at) < 0.03 * 20_000**2 / 2


def test_equal_hashes_do_not_explode():
    """Thousands of black pictures: tied to the first of them, and to what is near it."""
    hashes = np.zeros(20_000, dtype=np.uint64)
    hashes[7_000:7_003] = [2**63 + 1, 2**64 - 1, 2**63 + 1]
    pairs = close_pairs(hashes, 10)
    assert len(pairs) < 20_000 + 32 * 40
    assert np.array_equal(np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]), pairs[:, 2])
    names = groups_of([f"{number:05}" for number in range(20_000)], pairs[:, :2].tolist())
    assert [name for name in names if name != "00000"] == ["07001"]


def test_crowded_hashes_keep_their_nearest():
    """Frames of films: each film stays connected, no hash has more than 32 partners after it, those the nearest."""
    generator = np.random.default_rng(0)
    films = generator.integers(0, 2**64, 3, dtype=np.uint64)
    film = generator.integers(0, 3, 1500)
    hashes = changed(films[film], 3, generator)
    pairs = close_pairs(hashes, 10)
    assert np.bincount(pairs[:, 0]).max() == 32
    names = groups_of([f"{number:05}" for number in range(1500)], pairs[:, :2].tolist())
    assert len(set(zip(names, film.tolist(), strict=True))) == 3
    everything = compared(hashes, 10)
    for first in (0, 734, 1490):
        expected = everything[everything[:, 0] == first]
        expected = expected[np.argsort(expected[:, 2], kind="stable")][:32]
        found = pairs[pairs[:, 0] == first]
        assert found.tolist() == sorted(expected.tolist())


def test_hashes_of_photographs(har_folder):
    paths = sorted((har_folder / "train").glob("*.jpg"))[:300]
    hashes = np.array([perceptual_hash(decode_image(path).image) for path in paths], dtype=np.uint64)
    for max_distance in (10, 20):
        expected = compared(hashes, max_distance)
        assert close_pairs(hashes, max_distance).tolist() == expected.tolist()
    assert len(expected) > 50
