"""The pixel cache: the same bytes from it as without it, whatever happens to its files and to its writers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from clip_har.data.image import decode_image
from clip_har.data.loading import map_ahead
from clip_har.data.pixel_cache import CachedPictures, PixelCache, PixelCacheConfig
from clip_har.data.pixel_shards import Shard
from clip_har.errors import ImageError
from clip_har.hashing import sha256_file

MADE = {"size": 16}


def small(data: bytes) -> np.ndarray:
    return np.asarray(decode_image(data).image.resize((16, 16)))


def never(data: bytes) -> np.ndarray:
    raise AssertionError("decoded although it is in the cache")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> dict[str, Path]:
    """Forty files by the hash of their bytes."""
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(40):
        pixels = generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return {sha256_file(path): path for path in folder.iterdir()}


@pytest.fixture
def cache(tmp_path) -> PixelCache:
    return PixelCache(tmp_path / "pixels", PixelCacheConfig(enabled="always"))


def read(cache: PixelCache, photos: dict[str, Path], make: Callable = small, made: dict = MADE) -> CachedPictures:
    """Every photograph through the cache, checked against what it is without."""
    with cache.open(made) as pictures:
        found = list(map_ahead(lambda photo: pictures.get(*photo, make), photos.items()))
    for pixels, path in zip(found, photos.values(), strict=True):
        np.testing.assert_array_equal(pixels, small(path.read_bytes()))
    return pictures


def shards(cache: PixelCache) -> list[Path]:
    return sorted(cache.folder.glob("*/*.tar"))


def leftovers(cache: PixelCache) -> list[Path]:
    return [path for path in cache.folder.rglob("*") if path.name.endswith((".partial", ".dropped"))]


def test_a_picture_is_decoded_once(cache, photos):
    first = read(cache, photos)
    assert (first.hits, first.decoded) == (0, 40)
    again = read(cache, photos, never)
    assert (again.hits, again.decoded) == (40, 0)
    assert read(PixelCache(cache.folder, cache.config), photos, never).hits == 40
    assert len(shards(cache)) == 1
    assert not leftovers(cache)


def test_pictures_made_otherwise_are_others(cache, photos):
    read(cache, photos)
    assert read(cache, photos, made={"size": 17}).decoded == 40
    assert read(cache, photos, never).hits == 40


def test_pictures_that_other_code_made_are_others(cache, photos, tmp_path):
    module, file = ModuleType("maker"), tmp_path / "maker.py"
    module.__file__ = str(file)

    def decoded() -> int:
        with cache.open(MADE, [module]) as pictures:
            for photo in photos.items():
                pictures.get(*photo, small)
        return pictures.decoded

    file.write_text("one = 1")
    assert (decoded(), decoded()) == (40, 0)
    file.write_text("one = 2")
    assert decoded() == 40


def test_only_what_the_file_holds_is_kept_under_its_name(cache, photos, tmp_path):
    """A file that was changed since it was listed is made as it is now, and not kept as what it was."""
    identity, path = next(iter(photos.items()))
    changed = tmp_path / "changed.jpg"
    Image.new("RGB", (30, 30), "red").save(changed)
    with cache.open(MADE) as pictures:
        np.testing.assert_array_equal(pictures.get(identity, changed, small), small(changed.read_bytes()))
    with cache.open(MADE) as pictures:
        np.testing.assert_array_equal(pictures.get(identity, path, small), small(path.read_bytes()))


def test_a_file_that_cannot_be_read_is_an_error(cache, photos, tmp_path):
    with cache.open(MADE) as pictures, pytest.raises(ImageError, match="There is no file"):
        pictures.get("0" * 64, tmp_path / "gone.jpg", small)


@pytest.mark.parametrize(
    ("enabled", "samples", "serves"),
    [("auto", 10, False), ("auto", 11, True), ("always", 1, True), ("never", 10**6, False)],
)
def test_it_serves_as_configured(tmp_path, enabled, samples, serves):
    assert PixelCache(tmp_path, PixelCacheConfig(enabled=enabled, above=10)).serves(samples) == serves


@pytest.mark.parametrize("harm", ["a byte", "half", "index", "tar gone"])
def test_a_damaged_shard_is_noticed_and_made_again(cache, photos, harm):
    read(cache, photos)
    shard = shards(cache)[0]
    index = shard.with_name(f"{shard.stem}.index.npy")
    data = shard.read_bytes()
    if harm == "a byte":
        place = int(Shard.open(shard).index["offset"][20]) + 5
        shard.write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
    elif harm == "half":
        shard.write_bytes(data[: len(data) // 2])
    elif harm == "index":
        index.write_bytes(b"nothing")
    else:
        shard.unlink()
    mended = read(cache, photos)
    assert mended.damaged == 1
    assert mended.decoded > 0
    read(cache, photos)  # pictures that were read before the damage was noticed are made in this round
    assert read(cache, photos, never).hits == 40
    assert not shard.exists()


WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {project!r})
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.hashing import sha256_file
from tests.data.test_pixel_cache import MADE, small
cache = PixelCache({folder!r}, PixelCacheConfig(enabled="always"))
with cache.open(MADE) as pictures:
    for number, path in enumerate(sorted(Path({photos!r}).iterdir())):
        pictures.get(sha256_file(path), path, small)
        if number == 20:
            print("half", flush=True)
            {then}
print("done", pictures.hits, pictures.decoded, flush=True)
"""


def writer(cache: PixelCache, photos: dict[str, Path], then: str) -> subprocess.Popen:
    folder = next(iter(photos.values())).parent
    code = WRITER.format(
        project=str(Path(__file__).parents[2]), folder=str(cache.folder), photos=str(folder), then=then
    )
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_killed_writer_leaves_a_usable_cache(cache, photos):
    with writer(cache, photos, "time.sleep(600)") as process:
        assert process.stdout.readline() == "half\n"
        assert leftovers(cache)
        process.send_signal(signal.SIGKILL)
    assert read(cache, photos).decoded == 40
    assert not leftovers(cache)
    assert read(cache, photos, never).hits == 40


def test_two_writers_at_once_leave_one_whole_cache(cache, photos):
    with writer(cache, photos, "sys.stdin.readline()") as process:
        assert process.stdout.readline() == "half\n"
        beside = read(cache, photos)  # while the other holds the lock
        assert (beside.decoded, shards(cache)) == (40, [])
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done 0 40\n"
    assert process.returncode == 0
    assert read(cache, photos, never).hits == 40
    assert not leftovers(cache)


def test_threads_that_ask_for_the_same_pictures_get_them_all(cache, photos):
    wrong = []

    def work() -> None:
        try:
            read(cache, photos)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert read(cache, photos, never).hits == 40


def test_it_is_bounded_and_what_was_used_least_recently_goes_first(tmp_path, photos):
    size = sum(small(path.read_bytes()).nbytes for path in photos.values())
    cache = PixelCache(tmp_path / "pixels", PixelCacheConfig(enabled="always", max_gb=5.5 * size / 1e9))

    def kept(number: int) -> bool:
        with cache.open({"number": number}) as pictures:
            return len(pictures) == 40

    for number in range(2):
        read(cache, photos, made={"number": number})
    for age, number in ((100, 0), (200, 1)):  # 1 was used before 0
        with cache.open({"number": number}) as pictures:
            used = pictures._folder / "used"
        os.utime(used, (used.stat().st_mtime - age,) * 2)
    read(cache, photos, made={"number": 2})
    assert cache.bytes() <= cache.max_bytes
    assert not leftovers(cache)
    assert [kept(number) for number in (2, 0)] == [True, True]
    assert not kept(1)


def test_what_is_in_use_is_not_dropped_and_what_does_not_fit_is_decoded(tmp_path, photos):
    size = sum(small(path.read_bytes()).nbytes for path in photos.values())
    cache = PixelCache(tmp_path / "pixels", PixelCacheConfig(enabled="always", max_gb=3.5 * size / 1e9))
    read(cache, photos)
    with cache.open(MADE) as in_use:
        other = read(cache, photos, made={"number": 1})
        assert other.decoded == 40
        assert all(in_use.get(identity, path, never) is not None for identity, path in photos.items())
        with cache.open(MADE) as again:
            assert len(again) == 40
        assert cache.bytes() <= cache.max_bytes
    assert 0 < len(read(cache, photos, made={"number": 1})) <= 40


def test_a_disk_that_cannot_be_written_stops_nothing(cache, photos, monkeypatch):
    from clip_har.data import pixel_cache

    class Full(pixel_cache.ShardWriter):
        def add(self, name, pixels):
            if len(self) == 5:
                raise OSError(28, "No space left on device")
            super().add(name, pixels)

    monkeypatch.setattr(pixel_cache, "ShardWriter", Full)
    with pytest.warns(UserWarning, match="cannot be written .No space left on device.*decoded each time"):
        assert read(cache, photos).decoded == 40
    assert not leftovers(cache)
    assert shards(cache) == []


def test_a_place_that_is_no_folder_stops_nothing(tmp_path, photos):
    (tmp_path / "pixels").write_text("")
    with pytest.warns(UserWarning, match="cannot be written"):
        assert read(PixelCache(tmp_path / "pixels"), photos).decoded == 40


def test_shards_are_cut_at_their_size(tmp_path, photos):
    size = sum(small(path.read_bytes()).nbytes for path in photos.values())
    cache = PixelCache(tmp_path / "pixels", PixelCacheConfig(enabled="always", max_gb=24 * size / 1e9))
    read(cache, photos)
    assert len(shards(cache)) == 1
    bounded = PixelCache(tmp_path / "bounded", PixelCacheConfig(enabled="always", max_gb=6 * size / 1e9))
    read(bounded, photos)
    assert len(shards(bounded)) > 2
    assert read(bounded, photos, never).hits == 40
