"""Sources of a batch job: what they give, in which order, and what their traps do."""

from __future__ import annotations

import bz2
import io
import os
import random
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clip_har.batch.sources.folder as folder_module
import clip_har.batch.sources.zipped as zipped
from clip_har.batch.sources import BatchSource, build_batch_source, kind_of, parse_batch_source
from clip_har.batch.sources.base import BytesInFlight, Item
from clip_har.data.image import ImageLimits
from clip_har.errors import ConfigError, DataError, ImageError
from tests.batch.conftest import jpeg, pictures


def source_of(value: object, limits: ImageLimits | None = None) -> BatchSource:
    source = build_batch_source(
        parse_batch_source(value if isinstance(value, dict) else str(value)), limits or ImageLimits()
    )
    source.check()
    return source


def names(source: BatchSource, *where: int) -> list[str]:
    found = []
    for item in source.items(*where):
        found.append(item.path.rsplit("!", 1)[-1].rsplit("/", 1)[-1])
        item.drop()
    return found


def outcome(item: Item) -> object:
    """What is fetched, or the reason why not."""
    try:
        return item.read()
    except ImageError as error:
        return error.reason


def outcomes(source: BatchSource) -> dict[str, object]:
    return {item.path.rsplit("!", 1)[-1]: outcome(item) for item in source.items()}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("photos", "folder"),
        ("photos.d/", "folder"),
        ("A.ZIP", "zip"),
        ("a.tar.gz", "tar"),
        ("a.tgz", "tar"),
        ("a.parquet", "parquet"),
        ("a.txt", "list"),
        ("a.MP4", "video"),
    ],
)
def test_a_path_tells_the_kind(path, kind):
    assert kind_of(path) == kind
    assert parse_batch_source(path).kind == kind


def test_a_mistaken_source_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'folder'"):
        parse_batch_source({"kind": "foldre", "path": "x"})
    with pytest.raises(ConfigError, match="every"):
        parse_batch_source({"kind": "video", "path": "x.mp4", "every": 2})
    with pytest.raises(DataError, match="there is no folder"):
        source_of("nowhere-at-all")


def test_a_folder_is_walked_in_order_whatever_is_held(tmp_path, monkeypatch):
    for name in (
        "b.jpg",
        "a/z.jpg",
        "a.jpg",
        "a/b/c.jpg",
        "ab.jpg",
        ".hidden.jpg",
        ".git/x.jpg",
        "é.jpg",
        "new\nline.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "loop").symlink_to(tmp_path)
    source = source_of(tmp_path)
    expected = [item.path for item in source.items()]
    shown = [path.removeprefix(f"{tmp_path}/") for path in expected]
    assert shown == ["a/b/c.jpg", "a/z.jpg", "a.jpg", "ab.jpg", "b.jpg", "loop", "new\nline.jpg", "é.jpg"]
    before = source.fingerprint()
    assert before.count == 8
    monkeypatch.setattr(folder_module, "_NAMES_HELD", 2)
    assert [item.path for item in source.items()] == expected
    assert [item.path for item in source.items(2, 5)] == expected[2:5]
    assert source.fingerprint() == before
    os.utime(tmp_path / "a.jpg", ns=(1, 1))
    assert source.fingerprint().digest != before.digest


def test_odd_files_of_a_folder_are_items(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / os.fsdecode(b"bad\xff.jpg")).write_bytes(b"data")
    (tmp_path / "large.jpg").write_bytes(b"x" * 200)
    found = outcomes(source_of(tmp_path, ImageLimits(max_bytes=100)))
    assert list(found.values()) == [b"data", "missing_file", "too_many_bytes", "missing_file"]
    assert f"{tmp_path}/bad\\udcff.jpg" in found


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_cannot_be_listed_is_an_item(tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    assert list(outcomes(source_of(tmp_path)).values()) == ["missing_file"]


def test_suffixes_narrow_a_folder(tmp_path):
    for name in ("a.jpg", "b.JPG", "c.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert names(source_of({"kind": "folder", "path": str(tmp_path), "suffixes": [".jpg"]})) == ["a.jpg", "b.JPG"]


def test_a_list_is_read_in_its_order(tmp_path):
    pictures(tmp_path / "p", 3)
    listed = tmp_path / "list.txt"
    listed.write_text("p/00002.jpg\r\n\nnowhere.jpg\np/00001.jpg\np/00002.jpg")
    source = source_of({"kind": "list", "path": str(listed), "root": str(tmp_path)})
    assert names(source) == ["00002.jpg", "nowhere.jpg", "00001.jpg", "00002.jpg"]
    assert names(source, 1, 3) == ["nowhere.jpg", "00001.jpg"]
    assert [outcome(item) for item in source.items()][:2] == [jpeg(2), "missing_file"]
    assert source.fingerprint().count == 4


def _zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_zip_gives_what_zipfile_gives(tmp_path, method):
    members = {f"{number % 5}/{number}-é.jpg": random.Random(number).randbytes(number * 7) for number in range(60)}
    path = _zip(tmp_path / "a.zip", {"folder/": b"", "__MACOSX/._a.jpg": b"x", **members}, method)
    source = source_of(path)
    assert outcomes(source) == members
    assert source.fingerprint().count == 60
    assert names(source, 10, 12) == ["10-é.jpg", "11-é.jpg"]
    assert [item.path for item in source.items(0, 1)] == [f"{path}!0/0-é.jpg"]


def test_a_zip_behind_other_bytes_with_a_comment_and_of_zip64(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"PK\5\6 is no end here" * 3
        with archive.open(zipfile.ZipInfo("wide.jpg"), "w", force_zip64=True) as member:
            member.write(b"wide")
        archive.writestr("b.jpg", b"b")
    path.write_bytes(b"#!/bin/sh\n" * 100 + path.read_bytes())
    assert outcomes(source_of(path)) == {"wide.jpg": b"wide", "b.jpg": b"b"}


def test_a_zip_with_more_members_than_its_old_end_can_say(tmp_path):
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number in range(65_600):
            archive.writestr(zipfile.ZipInfo(f"{number}.jpg"), b"")
    source = source_of(path)
    assert source.fingerprint().count == 65_600
    assert names(source, 65_599) == ["65599.jpg"]


def test_traps_of_a_zip(tmp_path):
    path = tmp_path / "traps.zip"
    bomb = zipfile.ZipInfo("bomb.bmp")
    link = zipfile.ZipInfo("link.jpg")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../escape.jpg", b"escape")
        archive.writestr("/etc/passwd.jpg", b"absolute")
        archive.writestr("large.bmp", bytes(2_000_000))
        archive.writestr(link, "/etc/passwd")
        archive.writestr(bomb, bytes(1_500_000), zipfile.ZIP_DEFLATED)
        archive.writestr("lzma.jpg", b"x" * 100, zipfile.ZIP_LZMA)
        archive.writestr("secret.jpg", b"x")
        archive.writestr("broken.jpg", b"y" * 50, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes().replace(b"y" * 50, b"z" * 50))
    for name, place, value in ((b"secret.jpg", 8, b"\1\0"), (b"bomb.bmp", 24, (1000).to_bytes(4, "little"))):
        entry = data.rfind(name) - 46  # in the directory: a member said to be encrypted, one said to be small
        data[entry + place : entry + place + len(value)] = value
    path.write_bytes(data)
    found = outcomes(source_of(path, ImageLimits(max_bytes=1_000_000)))
    assert found == {
        "../../escape.jpg": b"escape",
        "/etc/passwd.jpg": b"absolute",
        "large.bmp": "too_many_bytes",
        "link.jpg": "not_an_image",
        "bomb.bmp": "too_many_bytes",
        "lzma.jpg": "not_an_image",
        "secret.jpg": "not_an_image",
        "broken.jpg": "truncated",
    }
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["traps.zip"]


@pytest.mark.parametrize(
    ("method", "packed"), [(8, zlib.compress(bytes(9_000_000))[2:-4]), (12, bz2.compress(bytes(9_000_000)))]
)
def test_no_more_of_a_bomb_is_unpacked_than_shows_that_it_is_one(method, packed):
    assert len(zipped._unpacked(packed, method, 1000, "bomb")) == 1001


def test_a_zip_that_is_cut_or_none_is_refused(tmp_path):
    path = _zip(tmp_path / "a.zip", {"a.jpg": b"a" * 5000})
    whole = path.read_bytes()
    for damaged in (whole[:-30], whole[100:], b"", b"PK\5\6" + b"\xff" * 18):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"batch\.source"):
            list(source_of(path).items())


def test_zips_changed_at_random_end_in_items_or_one_error(tmp_path):
    path = _zip(tmp_path / "a.zip", {f"{number}.jpg": jpeg(number) for number in range(6)})
    whole, chance = path.read_bytes(), random.Random(3)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            outcomes(source_of(path))
        except DataError:
            continue


def _tar(path: Path, members: dict[str, bytes], mode: str = "w", **options: object) -> Path:
    with tarfile.open(path, mode, **options) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("name", "mode"), [("a.tar", "w"), ("a.tgz", "w:gz"), ("a.tar.bz2", "w:bz2"), ("a.tar.xz", "w:xz")]
)
def test_a_tar_gives_its_files_in_order(tmp_path, name, mode):
    members = {f"{'long/' * 40}{number}-é.jpg": random.Random(number).randbytes(number * 97) for number in range(40)}
    members |= {"block.jpg": bytes(512), "last.jpg": bytes(1024)}
    source = source_of(_tar(tmp_path / name, members, mode))
    assert outcomes(source) == members
    assert names(source, 40) == ["block.jpg", "last.jpg"]
    assert names(source, 1, 3) == ["1-é.jpg", "2-é.jpg"]
    assert source.fingerprint().count is None


def test_traps_of_a_tar(tmp_path):
    path = tmp_path / "traps.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (("link.jpg", tarfile.SYMTYPE), ("hard.jpg", tarfile.LNKTYPE), ("null.jpg", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        for name, data in {"../../escape.jpg": b"escape", "large.jpg": bytes(5000), "after.jpg": b"after"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert outcomes(source_of(path, ImageLimits(max_bytes=1000))) == {
        "link.jpg": "not_an_image",
        "hard.jpg": "not_an_image",
        "null.jpg": "not_an_image",
        "../../escape.jpg": b"escape",
        "large.jpg": "too_many_bytes",
        "after.jpg": b"after",
    }
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["traps.tar"]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_that_is_cut_short_ends_with_an_item_that_says_so(tmp_path, mode):
    path = tmp_path / "a.tar"
    members = {f"{number}.jpg": random.Random(number).randbytes(2000) for number in range(10)}
    whole = _tar(path, members, mode).read_bytes()
    for length in (len(whole) // 2, len(whole) // 2 // 512 * 512):
        path.write_bytes(whole[:length])
        found = outcomes(source_of(path))
        assert list(found.values())[-1] == "truncated"
        assert str(path) in found
        assert 2 <= len(found) <= 8
        assert all(found[name] == members[name] for name in found if name in members)


def test_a_tar_damaged_in_the_middle_says_so(tmp_path):
    path = _tar(tmp_path / "a.tar", {f"{number}.jpg": bytes(2000) for number in range(10)})
    data = bytearray(path.read_bytes())
    place = data.find(b"5.jpg")
    data[place : place + 200] = b"\xff" * 200
    path.write_bytes(data)
    assert list(outcomes(source_of(path)).values()) == [*[bytes(2000)] * 5, "truncated"]


def test_a_tar_that_unpacks_to_too_much_is_stopped(tmp_path, monkeypatch):
    import clip_har.batch.sources.tarred as tarred

    monkeypatch.setattr(tarred, "_ALWAYS_ALLOWED", 1_000_000)
    members = {"first.jpg": b"first", "bomb.jpg": bytes(20_000_000), "after.jpg": b"after"}
    path = _tar(tmp_path / "a.tgz", members, "w:gz")
    found = outcomes(source_of(path, ImageLimits(max_bytes=1_000_000)))
    assert list(found.items()) == [("first.jpg", b"first"), ("bomb.jpg", "too_many_bytes"), (str(path), "truncated")]


def test_a_header_of_a_tar_that_would_fill_memory_is_not_read(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.jpg")
        info.pax_headers = {"comment": "x" * 3_000_000}
        archive.addfile(info)
    assert list(outcomes(source_of(path)).values()) == ["truncated"]


def test_a_table_of_images(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    images = [{"bytes": jpeg(number), "path": f"{number}.jpg"} for number in range(50)]
    images[7] = None
    images[8] = {"bytes": None, "path": "elsewhere.jpg"}
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"label": [1] * 50, "image": images, "key": range(50)}), path, row_group_size=20)
    source = source_of(path)
    found = [(item.path, outcome(item)) for item in source.items()]
    assert found[:2] == [("0.jpg", jpeg(0)), ("1.jpg", jpeg(1))]
    assert found[7:9] == [(f"{path}#7", "missing_file"), ("elsewhere.jpg", "missing_file")]
    assert names(source, 38, 42) == ["38.jpg", "39.jpg", "40.jpg", "41.jpg"]
    assert source.fingerprint().count == 50
    keyed = source_of({"kind": "parquet", "path": str(path), "id": "key"})
    assert names(keyed, 48) == ["48", "49"]
    with pytest.raises(ConfigError, match="Did you mean 'image'"):
        source_of({"kind": "parquet", "path": str(path), "image": "imge"})
    pq.write_table(pa.table({"raw": [jpeg(1)]}), path)
    assert [(item.path, outcome(item)) for item in source_of(path).items()] == [(f"{path}#0", jpeg(1))]
    pq.write_table(pa.table({"text": ["a"]}), path)
    with pytest.raises(DataError, match="no column of bytes"):
        source_of(path)


def _video(path: Path, frames: int, rate: int = 10) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            pixels = np.full((48, 64, 3), number * 4 % 256, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_video_gives_a_frame_every_so_often(tmp_path):
    path = _video(tmp_path / "v.mp4", 50)
    source = source_of({"kind": "video", "path": str(path), "seconds": 0.5})
    found = {item.path: outcome(item) for item in source.items()}
    assert list(found) == [f"{path}@{0.5 * number:.3f}" for number in range(10)]
    brightness = [int(pixels.mean()) for pixels in found.values()]
    assert brightness == sorted(brightness)
    assert abs(brightness[4] - 80) < 6
    assert source.expected in (10, 11)
    assert names(source, 8) == ["v.mp4@4.000", "v.mp4@4.500"]
    large = source_of(path, ImageLimits(max_pixels=100))
    assert set(outcomes(large).values()) == {"too_many_pixels"}


def test_a_video_needs_its_extra(tmp_path, monkeypatch):
    (tmp_path / "v.mp4").write_bytes(b"not a video")
    with pytest.raises(DataError, match="no video"):
        source_of(tmp_path / "v.mp4")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ConfigError, match=r"clip-har\[webcam\]"):
        source_of(tmp_path / "v.mp4")


def test_bytes_in_flight_are_bounded():
    import threading

    flying = BytesInFlight(100)
    first, other = flying.hold(b"x" * 80), flying.hold(b"w" * 500)
    second: list[object] = []
    waiting = threading.Thread(target=lambda: second.append(flying.hold(b"y" * 30)()))
    waiting.start()
    waiting.join(0.2)
    assert not second
    assert other() == b"w" * 500
    waiting.join(5)
    assert second == [b"y" * 30]
    assert first() == b"x" * 80
    assert flying.hold(b"z" * 1000)() == b"z" * 1000


def test_an_image_of_an_array_has_the_hash_of_its_pixels():
    pixels = np.asarray(Image.new("RGB", (4, 3), "red"))
    item = Item("frame", lambda: pixels)
    assert item.read() is pixels
    assert len(item.sha256) == 64
