"""The embedding cache: the same bits from it as without it, whatever happens to its files and to its writers."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clip_har.data.cache_folders import bytes_of, in_use
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.errors import DataError
from clip_har.hashing import sha256_file
from clip_har.models.backbone import ModelConfig
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.embeddings import embed_manifest
from clip_har.models.preprocessing import PreprocessingConfig
from clip_har.training import embedding_cache, embedding_shards
from clip_har.training.embedding_cache import EmbeddingCache, EmbeddingCacheConfig
from tests.conftest import PROJECT
from tests.tiny_models import colour_photos, tiny_clip

BATCH = 4
COUNT = 40
PREPROCESSING = PreprocessingConfig(
    resize_shortest_edge=36,
    resize_to=None,
    resample=3,
    crop=(32, 32),
    scale=1 / 255,
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.4),
)


def manifest_of(folder: Path) -> Manifest:
    """All pictures below a folder, by the hash of their bytes."""
    rows = [
        (sha256_file(path), path.relative_to(folder).as_posix(), "a", "train", "", 64, 64, "JPEG", "folder", "")
        for path in sorted(folder.rglob("*.jpg"))
    ]
    return Manifest(pd.DataFrame(rows, columns=list(COLUMNS)), ("a",), str(folder))


def first(manifest: Manifest, number: int) -> Manifest:
    return replace(manifest, frame=manifest.frame.head(number))


class Counting:
    """An encoder that counts the pictures that it is given; those that fill up a batch count once."""

    def __init__(self, encoder: DualEncoder) -> None:
        self._encoder, self.pictures = encoder, 0

    def __getattr__(self, name: str):
        return getattr(self._encoder, name)

    def encode_images(self, pixel_values: np.ndarray) -> np.ndarray:
        self.pictures += len({picture.tobytes() for picture in pixel_values})
        return self._encoder.encode_images(pixel_values)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def encoder(backbone: Path) -> Counting:
    return Counting(DualEncoder.load(ModelConfig(backbone=str(backbone))))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return manifest_of(colour_photos(tmp_path_factory.mktemp("photos"), ("a",), COUNT))


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "embeddings")


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING, logger="clip_har")
    return lambda: [record.getMessage() for record in caplog.records]


def plain(manifest: Manifest, encoder, batch_size: int = BATCH) -> np.ndarray:
    """Without a cache."""
    made = embed_manifest(manifest, encoder._encoder.encode_images, "", encoder.preprocessing, batch_size=batch_size)
    return made.matrix


def computed(cache: EmbeddingCache, manifest: Manifest, encoder: Counting, **options) -> int:
    """How many pictures were encoded; what comes out is checked to the last bit."""
    before = encoder.pictures
    found = cache.embed(manifest, encoder, **{"batch_size": BATCH} | options)
    np.testing.assert_array_equal(found.matrix, plain(manifest, encoder, options.get("batch_size", BATCH)))
    assert found.ids == tuple(manifest.ids)
    assert found.encoder_hash == encoder.image_encoder_hash()
    assert found.matrix.dtype == np.float32
    return encoder.pictures - before


def shards(cache: EmbeddingCache) -> list[Path]:
    return sorted(cache.folder.glob("*/*.safetensors"))


def stored(cache: EmbeddingCache) -> int:
    """Distinct samples that are in place."""
    ids = [identity for path in shards(cache) for identity in embedding_shards._read(path)[0]]
    return len(set(ids))


def test_a_photograph_is_encoded_once(cache, manifest, encoder) -> None:
    assert computed(cache, manifest, encoder) == COUNT
    assert computed(cache, manifest, encoder) == 0
    another = EmbeddingCache(cache.folder)
    assert computed(another, manifest, encoder) == 0
    assert (another.read, another.encoded) == (COUNT, 0)
    assert (cache.read, cache.encoded) == (COUNT, COUNT)


def test_only_new_photographs_are_encoded_and_any_order_is_given(cache, manifest, encoder) -> None:
    assert computed(cache, first(manifest, COUNT - 10), encoder) == COUNT - 10
    assert computed(cache, manifest, encoder) == 10
    backwards = replace(manifest, frame=manifest.frame.iloc[::-1].reset_index(drop=True))
    assert computed(cache, backwards, encoder) == 0
    assert computed(cache, first(backwards, 3), encoder) == 0


def test_without_the_photographs_the_cache_still_answers(cache, manifest, encoder, tmp_path) -> None:
    expected = cache.embed(manifest, encoder, batch_size=BATCH).matrix
    gone = replace(manifest, root=str(tmp_path))
    np.testing.assert_array_equal(cache.embed(gone, encoder, batch_size=BATCH).matrix, expected)


def test_what_could_change_a_number_is_another_key(cache, manifest, encoder, backbone, monkeypatch) -> None:
    import torch

    some = first(manifest, 6)
    assert computed(cache, some, encoder) == 6
    other = Counting(DualEncoder.load(ModelConfig(backbone=str(backbone))))
    with torch.no_grad():
        other.model.visual_projection.weight[0, 0] += 1e-3
    assert computed(cache, some, other) == 6, "another encoder"
    cropped = Counting(DualEncoder.load(ModelConfig(backbone=str(backbone))))
    cropped._encoder.preprocessing = cropped.preprocessing.model_copy(update={"resample": 2})
    assert computed(cache, some, cropped) == 6, "other preprocessing"
    assert computed(cache, some, encoder, limits=ImageLimits(max_bytes=10**6)) == 6, "other limits"
    assert computed(cache, some, encoder, batch_size=3) == 6, "products of another size are rounded otherwise"
    half = Counting(DualEncoder.load(ModelConfig(backbone=str(backbone), dtype="bfloat16")))
    assert computed(cache, some, half) == 6
    half.model.float()
    assert computed(cache, some, half) == 6, "the same weights, computed with in another type"
    monkeypatch.setattr(embedding_cache, "_FORMAT", 2)
    assert computed(cache, some, encoder) == 6, "another format"
    monkeypatch.undo()
    assert computed(cache, some, encoder) == 0
    assert computed(cache, some, encoder, limits=ImageLimits(max_pixels_in_flight=10**6)) == 0, "changes no number"


def test_a_limit_that_refuses_a_photograph_does_so_with_a_cache_too(cache, manifest, encoder) -> None:
    cache.embed(manifest, encoder, batch_size=BATCH)
    with pytest.raises(DataError, match="cannot be read any more"):
        cache.embed(manifest, encoder, batch_size=BATCH, limits=ImageLimits(max_bytes=100))


def test_several_kinds_come_from_one_pass(cache, manifest, encoder) -> None:
    def rows(kinds: dict[str, tuple], part: Manifest) -> tuple[np.ndarray, ...]:
        def encode(pixel_values: np.ndarray) -> tuple[np.ndarray, ...]:
            embeddings = encoder.encode_images(pixel_values)
            return tuple({"embeddings": embeddings, "double": 2 * embeddings}[kind] for kind in kinds)

        return cache.rows(part, encoder, kinds, encode, batch_size=BATCH)

    assert computed(cache, first(manifest, 8), encoder) == 8
    encoder.pictures = 0
    embeddings, double = rows({"embeddings": (), "double": ()}, first(manifest, 12))
    assert encoder.pictures == 12, "eight for what they lack of one kind, four for both"
    np.testing.assert_array_equal(double, 2 * embeddings)
    np.testing.assert_array_equal(embeddings, plain(first(manifest, 12), encoder))
    rows({"embeddings": (), "double": ()}, first(manifest, 12))
    rows({"double": ()}, first(manifest, 12))
    assert encoder.pictures == 12
    assert computed(cache, first(manifest, 12), encoder) == 0
    double_of_other_code = rows({"double": (embedding_shards,)}, first(manifest, 12))[0]
    assert encoder.pictures == 24
    np.testing.assert_array_equal(double_of_other_code, double)


def test_the_pixel_cache_serves_what_must_be_encoded(cache, manifest, encoder, tmp_path) -> None:
    pixels = PixelCache(tmp_path / "pixels", PixelCacheConfig(enabled="always"))
    assert computed(cache, manifest, encoder, pixels=pixels) == COUNT
    assert pixels.bytes() > 0
    assert computed(cache, manifest, encoder, pixels=pixels) == 0


def test_the_pixel_cache_serves_by_the_size_of_the_data_set_not_of_what_is_missing(
    cache, manifest, encoder, tmp_path
) -> None:
    computed(cache, first(manifest, COUNT - 4), encoder)
    for above, served in ((COUNT, False), (COUNT - 1, True)):
        pixels = PixelCache(tmp_path / f"pixels-{above}", PixelCacheConfig(above=above))
        EmbeddingCache(shutil.copytree(cache.folder, tmp_path / f"{above}")).embed(
            manifest, encoder, batch_size=BATCH, pixels=pixels
        )
        assert (pixels.bytes() > 0) == served


def test_a_file_that_has_other_bytes_now_is_not_kept(cache, encoder, tmp_path) -> None:
    photos = manifest_of(colour_photos(tmp_path / "photos", ("a",), 8))
    photos.paths[3].write_bytes(photos.paths[5].read_bytes())
    cache.embed(photos, encoder, batch_size=BATCH)
    encoder.pictures = 0
    cache.embed(photos, encoder, batch_size=BATCH)
    assert encoder.pictures == 1


def test_what_was_encoded_before_a_photograph_that_cannot_be_read_is_kept(cache, encoder, tmp_path) -> None:
    photos = manifest_of(colour_photos(tmp_path / "photos", ("a",), 12))
    whole = photos.paths[9].read_bytes()
    photos.paths[9].unlink()
    with pytest.raises(DataError, match="cannot be read any more"):
        cache.embed(photos, encoder, batch_size=BATCH)
    photos.paths[9].write_bytes(whole)
    assert computed(cache, photos, encoder) == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: bytes(len(data)),
    ],
    ids=["cut off", "empty", "one bit", "zeros"],
)
def test_a_damaged_shard_is_reported_once_and_made_again(cache, manifest, encoder, warnings, damage) -> None:
    computed(cache, first(manifest, 8), encoder)
    (broken,) = shards(cache)
    computed(cache, manifest, encoder)
    broken.write_bytes(damage(broken.read_bytes()))
    assert computed(EmbeddingCache(cache.folder), manifest, encoder) == 8
    assert computed(EmbeddingCache(cache.folder), manifest, encoder) == 0
    assert [message for message in warnings() if broken.name in message and "damaged" in message] == warnings()
    assert len(warnings()) == 1


def test_the_encoder_used_least_recently_goes_first(tmp_path, manifest, backbone, warnings) -> None:
    import torch

    size = bytes_of_one(tmp_path / "one", manifest, backbone)
    cache = EmbeddingCache(tmp_path / "embeddings", max_bytes=int(2.5 * size))
    encoders = []
    for number in range(3):
        encoder = Counting(DualEncoder.load(ModelConfig(backbone=str(backbone))))
        with torch.no_grad():
            encoder.model.visual_projection.weight[0, 0] += 0.01 * number
        encoders.append(encoder)
    computed(cache, manifest, encoders[0])
    computed(cache, manifest, encoders[1])
    assert computed(cache, manifest, encoders[0]) == 0  # used since
    set_back(cache, manifest, encoders[1])
    assert computed(cache, manifest, encoders[2]) == COUNT
    assert bytes_of(cache.folder) <= cache.max_bytes
    assert computed(cache, manifest, encoders[0]) == 0
    assert computed(cache, manifest, encoders[2]) == 0
    assert computed(cache, manifest, encoders[1]) == COUNT
    assert warnings() == []


def set_back(cache: EmbeddingCache, manifest: Manifest, encoder: Counting) -> None:
    """Make an encoder's rows those used longest ago: times of files are coarse."""
    (folder,) = cache.folder.glob(f"embeddings-{encoder.image_encoder_hash()[:12]}-*")
    os.utime(folder / "used", (1, 1))


def bytes_of_one(folder: Path, manifest: Manifest, backbone: Path) -> int:
    cache = EmbeddingCache(folder)
    cache.embed(manifest, DualEncoder.load(ModelConfig(backbone=str(backbone))), batch_size=BATCH)
    return bytes_of(folder)


def test_rows_in_use_are_not_dropped(tmp_path, manifest, encoder, backbone, warnings) -> None:
    import torch

    size = bytes_of_one(tmp_path / "embeddings", manifest, backbone)
    cache = EmbeddingCache(tmp_path / "embeddings", max_bytes=int(1.5 * size))
    (folder,) = cache.folder.iterdir()
    other = Counting(DualEncoder.load(ModelConfig(backbone=str(backbone))))
    with torch.no_grad():
        other.model.visual_projection.weight[0, 0] += 0.01
    with in_use(folder):
        assert computed(cache, manifest, other) == COUNT
    assert len(warnings()) == 1
    assert "is full (embedding_cache.max_bytes" in warnings()[0]
    assert computed(cache, manifest, encoder) == 0, "a full cache is still read"
    assert computed(cache, manifest, other) == COUNT
    assert len(warnings()) == 1, "said once"


def test_zero_bytes_keep_nothing(tmp_path, manifest, encoder) -> None:
    cache = EmbeddingCache.of(EmbeddingCacheConfig(max_bytes=0), tmp_path)
    assert computed(cache, manifest, encoder) == computed(cache, manifest, encoder) == COUNT
    assert list(tmp_path.iterdir()) == []


def test_the_config_says_where(tmp_path) -> None:
    assert EmbeddingCache.of(EmbeddingCacheConfig(), tmp_path).folder == tmp_path / "embeddings"
    elsewhere = EmbeddingCache.of(EmbeddingCacheConfig(path=str(tmp_path / "x"), max_bytes=5), "workspace")
    assert (elsewhere.folder, elsewhere.max_bytes) == (tmp_path / "x", 5)


def test_a_full_disk_stops_no_run(cache, manifest, encoder, warnings, monkeypatch) -> None:
    computed(cache, first(manifest, 8), encoder)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(embedding_shards, "write_atomic", full)
    assert computed(cache, manifest, encoder) == COUNT - 8
    assert computed(cache, manifest, encoder) == COUNT - 8
    assert len(warnings()) == 1, "said once"
    assert "cannot be written (No space left on device)" in warnings()[0]
    monkeypatch.undo()
    assert computed(EmbeddingCache(cache.folder), manifest, encoder) == COUNT - 8
    assert stored(cache) == COUNT


def test_a_folder_that_cannot_be_written_is_read(cache, manifest, encoder, warnings, monkeypatch) -> None:
    computed(cache, first(manifest, 8), encoder)

    def refuse(folder: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(embedding_shards, "in_use", refuse)
    another = EmbeddingCache(cache.folder)
    assert computed(another, manifest, encoder) == computed(another, manifest, encoder) == COUNT - 8
    assert len(warnings()) == 1, "said once"


# Imports torch once, and forks for every run that is asked for; its encoder is slow enough to be killed at work.
SERVER = """
import os
import sys
import time
from pathlib import Path
import numpy as np
import torch
from clip_har.training import embedding_cache
from clip_har.training.embedding_cache import EmbeddingCache
from tests.training.test_embedding_cache import BATCH, Drawn, manifest_of
embedding_cache._SHARD_ROWS = 4
manifest = manifest_of(Path(sys.argv[1]))

def embed(folder, result):
    cache, encoder = EmbeddingCache(folder), Drawn(seconds=0.01)
    rows = cache.embed(manifest, encoder, batch_size=BATCH).matrix
    np.savez(result + ".partial.npz", rows=rows, encoded=cache.encoded)
    os.rename(result + ".partial.npz", result)

print("ready", flush=True)
for line in sys.stdin:
    command, *arguments = line.split()
    if command == "wait":
        print(os.waitpid(int(arguments[0]), 0)[1], flush=True)
    elif pid := os.fork():
        print(pid, flush=True)
    else:
        try:
            embed(*arguments)
            os._exit(0)
        finally:
            os._exit(1)
"""


class Drawn:
    """Stands in for an encoder: rows are drawn by the picture."""

    preprocessing = PREPROCESSING
    dtype = "float32"

    def __init__(self, seconds: float = 0.0) -> None:
        import torch

        self.device, self._seconds, self.pictures = torch.device("cpu"), seconds, 0

    def image_encoder_hash(self) -> str:
        return "0123456789abcdef"

    def encode_images(self, pixel_values: np.ndarray) -> np.ndarray:
        time.sleep(self._seconds)
        distinct = {picture.tobytes(): picture for picture in pixel_values}
        self.pictures += len(distinct)
        seeds = [int(np.abs(picture).sum() * 1000) for picture in pixel_values]
        return np.stack([np.random.default_rng(seed).normal(size=16).astype(np.float32) for seed in seeds])


class Server:
    """Processes that embed the same photographs."""

    def __init__(self, photos: str) -> None:
        command = [sys.executable, "-c", SERVER, photos]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        assert self._read() == "ready"

    def start(self, cache: EmbeddingCache, result: Path) -> int:
        """Begin to embed in a process of its own; its id."""
        return int(self._ask(f"start {cache.folder} {result}"))

    def wait(self, pid: int) -> int:
        """Its status, when it has ended."""
        return int(self._ask(f"wait {pid}"))

    def close(self) -> None:
        self._process.communicate()

    def _ask(self, line: str) -> str:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def server(manifest: Manifest) -> Iterator[Server]:
    started = Server(manifest.root)
    yield started
    started.close()


def test_two_processes_at_once_share_the_work(cache, manifest, server, tmp_path) -> None:
    results = [tmp_path / "one.npz", tmp_path / "two.npz"]
    running = [server.start(cache, result) for result in results]
    assert [server.wait(pid) for pid in running] == [0, 0]
    made = [dict(np.load(result)) for result in results]
    expected = EmbeddingCache.none().embed(manifest, Drawn(), batch_size=BATCH).matrix
    for found in made:
        np.testing.assert_array_equal(found["rows"], expected)
    assert sum(found["encoded"] for found in made) == COUNT, "each photograph once"
    assert stored(cache) == COUNT
    assert not list(cache.folder.rglob("*.partial"))


def test_killed_writers_leave_a_cache_that_works(cache, manifest, server, tmp_path) -> None:
    generator = np.random.default_rng(0)
    expected = EmbeddingCache.none().embed(manifest, Drawn(), batch_size=BATCH).matrix
    kept = [0]
    for seconds in np.sort(
        generator.uniform(0, 0.15, 8)
    ):  # ten batches take a tenth of a second, and their files longer
        pid = server.start(cache, tmp_path / "killed.npz")
        time.sleep(float(seconds))
        os.kill(pid, signal.SIGKILL)
        server.wait(pid)
        kept.append(stored(cache))
    assert kept == sorted(kept), "nothing that was in place is lost"
    encoder = Drawn()
    np.testing.assert_array_equal(cache.embed(manifest, encoder, batch_size=BATCH).matrix, expected)
    assert encoder.pictures == COUNT - kept[-1]
    assert stored(cache) == COUNT


def test_a_run_waits_for_another_and_goes_on_when_it_dies(cache, manifest, encoder, warnings, monkeypatch) -> None:
    computed(cache, first(manifest, 8), encoder)
    (folder,) = cache.folder.iterdir()
    holder = embedding_shards.RowFolder(folder, {})
    assert holder.take_turn()
    looks = []

    def look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            rows = plain(manifest, encoder)
            holder.add(manifest.ids[8:20], rows[8:20])
        if len(looks) == 4:
            holder.close()

    monkeypatch.setattr(embedding_cache.time, "sleep", look)
    seen = []
    found = cache.embed(manifest, encoder, batch_size=BATCH, progress=lambda *done: seen.append(done))
    np.testing.assert_array_equal(found.matrix, plain(manifest, encoder))
    assert encoder.pictures == 8 + COUNT - 20
    assert len(looks) == 4
    assert seen[:4] == [(8, COUNT), (20, COUNT), (20, COUNT), (20, COUNT)]
    assert seen[-1] == (COUNT, COUNT)
    assert len(warnings()) == 1
    assert "waiting for it" in warnings()[0]


def test_a_run_waits_no_longer_than_it_needs(cache, manifest, encoder, monkeypatch) -> None:
    computed(cache, first(manifest, 8), encoder)
    (folder,) = cache.folder.iterdir()
    holder = embedding_shards.RowFolder(folder, {})
    assert holder.take_turn()
    rows = plain(manifest, encoder)
    monkeypatch.setattr(embedding_cache.time, "sleep", lambda seconds: holder.add(manifest.ids[8:], rows[8:]))
    assert computed(cache, manifest, encoder) == 0, "all is there, though the other one still has its turn"
    holder.close()


def test_a_run_that_gets_nowhere_is_not_waited_for(cache, manifest, encoder, warnings) -> None:
    computed(cache, first(manifest, 8), encoder)
    (folder,) = cache.folder.iterdir()
    holder = embedding_shards.RowFolder(folder, {})
    assert holder.take_turn()
    os.utime(folder / "writing", (1, 1))
    assert computed(cache, manifest, encoder) == COUNT - 8
    assert stored(cache) == COUNT
    assert len(warnings()) == 1
    assert "encoding without waiting" in warnings()[0]
    holder.close()


def test_a_killed_writers_rest_is_removed(cache, manifest, encoder) -> None:
    computed(cache, first(manifest, 8), encoder)
    (folder,) = cache.folder.iterdir()
    old, new = folder / ".old.1.partial", folder / ".new.2.partial"
    old.write_bytes(b"half")
    os.utime(old, (1, 1))
    new.write_bytes(b"being written")
    computed(cache, manifest, encoder)
    assert not old.exists()
    assert new.exists()
