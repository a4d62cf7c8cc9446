"""Shards: what is written is read to the last byte, anybody's tar reads them, and damage is noticed."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from clip_har.data.pixel_shards import DamagedShard, Shard, ShardWriter, index_of, remove_shard


def pictures(number: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    sizes = generator.integers(1, 40, (number, 2))
    return {f"{row:064x}": generator.integers(0, 256, (*size, 3), dtype=np.uint8) for row, size in enumerate(sizes)}


def written(folder, named) -> Shard:
    writer = ShardWriter(folder / "a.tar")
    for name, pixels in named.items():
        writer.add(name, pixels)
    return writer.publish()


def test_what_is_written_is_read_in_any_order(tmp_path):
    named = pictures(9)
    for shard in (written(tmp_path, named), Shard.open(tmp_path / "a.tar")):
        assert [name.decode() for name in shard.index["name"]] == list(named)
        for row in (8, 0, 4, 4):
            np.testing.assert_array_equal(shard.read(row), list(named.values())[row])


def test_any_tar_and_any_viewer_read_it(tmp_path):
    named = pictures(5)
    written(tmp_path, named)
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames() == [f"{name}.ppm" for name in named]
        for name, pixels in named.items():
            data = archive.extractfile(f"{name}.ppm").read()
            np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)


def test_nothing_is_in_place_before_it_is_published(tmp_path):
    writer = ShardWriter(tmp_path / "a.tar")
    writer.add("a", np.zeros((3, 3, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.partial"]
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_changed_byte_of_a_picture_is_noticed(tmp_path):
    shard = written(tmp_path, pictures(3))
    offset = int(shard.index["offset"][1])
    with open(tmp_path / "a.tar", "r+b") as file:
        file.seek(offset + 1)
        changed = bytes([file.read(1)[0] ^ 1])
        file.seek(offset + 1)
        file.write(changed)
    shard.read(0)
    shard.read(2)
    with pytest.raises(DamagedShard, match=r"a\.tar is damaged"):
        shard.read(1)


@pytest.mark.parametrize("harm", ["short tar", "no tar", "short index", "no index", "another table"])
def test_a_shard_that_is_not_whole_is_noticed(tmp_path, harm):
    written(tmp_path, pictures(3))
    tar, index = tmp_path / "a.tar", index_of(tmp_path / "a.tar")
    if harm == "short tar":
        tar.write_bytes(tar.read_bytes()[:700])
    elif harm == "no tar":
        tar.unlink()
    elif harm == "short index":
        index.write_bytes(index.read_bytes()[:-5])
    elif harm == "no index":
        index.unlink()
    else:
        np.save(index, np.zeros((3, 5)))
    with pytest.raises(DamagedShard):
        Shard.open(tar).read(2)


def test_removal_leaves_nothing(tmp_path):
    written(tmp_path, pictures(1))
    remove_shard(tmp_path / "a.tar")
    remove_shard(tmp_path / "a.tar")
    assert list(tmp_path.iterdir()) == []
