"""Tables of pictures and captions: what is read, and what is refused in words."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from clip_har.data.pairs import ImageTextPairs, build_pair_source, parse_pair_source_config
from clip_har.errors import ConfigError, DataError

ROWS = [
    ("a.jpg", "a man reading"),
    ("sub/b.jpg", "a woman running, in a park"),
    ("a.jpg", "someone reads a book"),
    ("a.jpg", "a man reading"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("a.jpg", "sub/b.jpg"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / name)
    (tmp_path.parent / "outside.jpg").write_bytes((tmp_path / "a.jpg").read_bytes())
    return tmp_path


def csv_of(folder: Path, rows: list[tuple[str, str]], header: str = "image,caption") -> Path:
    path = folder / "pairs.csv"
    path.write_text("\n".join([header, *(f'{image},"{caption}"' for image, caption in rows)]) + "\n")
    return path


def parquet_of(folder: Path, rows: list[tuple[str, str]]) -> Path:
    path = folder / "pairs.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"image": [r[0] for r in rows], "caption": [r[1] for r in rows]}), path)
    return path


def tsv_of(folder: Path, rows: list[tuple[str, str]]) -> Path:
    path = folder / "pairs.tsv"
    path.write_text("\ufeffimage\tcaption\n" + "".join(f"{image}\t{caption}\n\n" for image, caption in rows))
    return path


def read(path: Path, **settings: object) -> ImageTextPairs:
    config = parse_pair_source_config({"source": "table", "path": str(path), **settings})
    return build_pair_source(config, "unused").read()


@pytest.mark.parametrize("write", [csv_of, parquet_of, tsv_of])
def test_rows_of_a_picture_are_put_together(folder, write):
    pairs = read(write(folder, ROWS))
    assert dict(zip(pairs.uris, pairs.captions, strict=True)) == {
        "a.jpg": ("a man reading", "someone reads a book"),
        "sub/b.jpg": ("a woman running, in a park",),
    }
    assert all(path.is_file() for path in pairs.paths)


def test_columns_can_be_named_and_windows_paths_are_understood(folder):
    path = csv_of(folder, [("sub\\b.jpg", "a woman")], header="file,text")
    assert read(path, image_column="file", caption_column="text").uris == ("sub/b.jpg",)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("c.jpg", "x")], ["1 of 1 rows", "row 1", "no file 'c.jpg'"]),
        ([("a.jpg", "x"), ("../outside.jpg", "x")], ["row 2", "leaves the table's folder"]),
        ([("/etc/hostname", "x")], ["row 1", "leaves"]),
        ([("C:\\a.jpg", "x")], ["row 1", "leaves"]),
        ([("", "x")], ["row 1", "no picture is named"]),
        ([("a.jpg", " ")], ["row 1", "the caption is empty"]),
        ([("sub", "x")], ["no file 'sub'"]),
        ([("x" * 300, "x")], ["no file 'xxx"]),
        ([(f"{n}.jpg", "x") for n in range(9)], ["9 of 9 rows", "row 3", "and 6 more"]),
        ([], ["header but no rows"]),
    ],
)
@pytest.mark.parametrize("write", [csv_of, parquet_of])
def test_rows_that_cannot_be_used_are_named(folder, write, rows, words):
    with pytest.raises(DataError) as refused:
        read(write(folder, rows))
    assert all(word in str(refused.value) for word in words), refused.value


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("pairs.csv", "image,text\na.jpg,x\n", ["no column 'caption'", "image, text"]),
        ("pairs.csv", "image,captions\na.jpg,x\n", ["no column 'caption'", "Did you mean 'captions'?"]),
        ("pairs.csv", "", ["is empty"]),
        ("pairs.parquet", "image,caption\n", ["not a readable Parquet file"]),
        ("pairs.txt", "image,caption\n", [".csv", ".parquet"]),
    ],
)
def test_tables_that_cannot_be_read_are_refused_before_anything_starts(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    source = build_pair_source(parse_pair_source_config({"source": "table", "path": str(tmp_path / name)}), "unused")
    with pytest.raises(DataError) as refused:
        source.check()
    assert all(word in str(refused.value) for word in words), refused.value


@pytest.mark.parametrize(("path", "word"), [("nowhere.csv", "not there"), (".", "a folder")])
def test_a_missing_table_is_named(tmp_path, path, word):
    source = build_pair_source(parse_pair_source_config({"source": "table", "path": str(tmp_path / path)}), "unused")
    with pytest.raises(DataError, match=word):
        source.check()


@pytest.mark.parametrize("label", ["listening_to_music", "Listening-to-Music"])
def test_a_table_that_tells_of_a_held_out_label_is_refused(folder, label):
    path = csv_of(folder, [("a.jpg", "a man reading"), ("sub/b.jpg", "A girl listening  to music.")])
    with pytest.raises(DataError, match=r"held out.*A girl listening"):
        read(path, held_out=[label])
    assert len(read(path, held_out=["texting", "listen"])) == 2  # no label, and only a part of a word


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"source": "tabel"}, ["pretraining.pairs.source", "'table'"]),
        ({"source": "table"}, ["pretraining.pairs.path", "none is given"]),
        ({"source": "table", "path": "x", "caption": "y"}, ["pretraining.pairs.caption", "'caption_column'"]),
        ({"source": "samples", "held_out": ["cyclng"]}, ["held_out", "'cycling'"]),
        ({"source": "samples", "count": 0}, ["pretraining.pairs.count"]),
    ],
)
def test_mistakes_in_the_config_are_named(value, words):
    with pytest.raises((ConfigError, DataError)) as refused:
        parse_pair_source_config(value)
    assert all(word in str(refused.value) for word in words), refused.value


def test_the_hash_follows_captions_and_bytes_but_not_the_order(folder):
    first = read(csv_of(folder, ROWS)).content_hash()
    assert read(csv_of(folder, ROWS[::-1][1:] + ROWS[:1])).content_hash() != first  # captions in another order
    assert read(csv_of(folder, [ROWS[1], ROWS[0], ROWS[2]])).content_hash() == first  # pictures in another order
    Image.new("RGB", (8, 8), "blue").save(folder / "a.jpg")
    assert read(csv_of(folder, ROWS)).content_hash() != first
