"""The fingerprint changes whenever the data or the code do, and never otherwise."""

from __future__ import annotations

import os
import shutil

import pytest

from clip_har.data.fingerprint import fingerprint, hash_of_code
from clip_har.data.sources import build_source, parse_source_config


@pytest.fixture
def table(tmp_path):
    folder = tmp_path / "har"
    (folder / "train").mkdir(parents=True)
    for name in "abc":
        (folder / "train" / f"{name}.jpg").write_bytes(name.encode() * 100)
    write(folder, ["a.jpg,running", "b.jpg,sitting", "c.jpg,running"])
    return folder


def write(folder, rows):
    (folder / "Training_set.csv").write_text("\n".join(["filename,label", *rows]) + "\n")


def data_hash(folder) -> str:
    source = build_source(parse_source_config({"source": "csv", "path": str(folder)}), "unused")
    return fingerprint(source, []).data_hash


def replace_bytes(folder):
    path = folder / "train" / "b.jpg"
    before = path.stat()
    path.write_bytes(b"b" * 99 + b"B")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time: only the bytes say so


CHANGES = {
    "a byte": replace_bytes,
    "a label": lambda folder: write(folder, ["a.jpg,running", "b.jpg,running", "c.jpg,running"]),
    "two files changed places": lambda folder: write(folder, ["b.jpg,running", "a.jpg,sitting", "c.jpg,running"]),
    "one more row": lambda folder: write(folder, ["a.jpg,running", "b.jpg,sitting", "c.jpg,running", "a.jpg,running"]),
    "one row less": lambda folder: write(folder, ["a.jpg,running", "b.jpg,sitting"]),
    "a file is gone": lambda folder: (folder / "train" / "c.jpg").unlink(),
    "no label": lambda folder: write(folder, ["a.jpg,running", "b.jpg,", "c.jpg,running"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_the_data_shows(table, change):
    before = data_hash(table)
    CHANGES[change](table)
    assert data_hash(table) != before


def test_what_is_no_change_does_not_show(table, tmp_path):
    before = data_hash(table)
    write(table, ["c.jpg,running", "train/a.jpg,running", "b.jpg,sitting"])  # another order, another way to name it
    (table / "train" / "unlisted.jpg").write_bytes(b"x")
    os.utime(table / "train" / "a.jpg", (0, 0))
    assert data_hash(table) == before
    shutil.copytree(table, tmp_path / "elsewhere")
    assert data_hash(tmp_path / "elsewhere") == before


def test_the_number_of_samples_is_told_and_progress_too(table):
    seen = []
    source = build_source(parse_source_config({"source": "csv", "path": str(table)}), "unused")
    found = fingerprint(source, [], lambda done, total: seen.append((done, total)))
    assert found.records == 3
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_code_is_its_python_files(tmp_path):
    (tmp_path / "package" / "deep").mkdir(parents=True)
    (tmp_path / "package" / "a.py").write_text("a = 1\n")
    (tmp_path / "package" / "deep" / "b.py").write_text("b = 1\n")
    (tmp_path / "run.py").write_text("run()\n")
    places = [tmp_path / "package", tmp_path / "run.py"]
    before = hash_of_code(places)
    (tmp_path / "package" / "notes.txt").write_text("no code")
    (tmp_path / "package" / "deep" / "b.pyc").write_bytes(b"compiled")
    assert hash_of_code(places) == before
    shutil.copytree(tmp_path / "package", tmp_path / "there" / "package")
    shutil.copy(tmp_path / "run.py", tmp_path / "there")
    assert hash_of_code([tmp_path / "there" / "package", tmp_path / "there" / "run.py"]) == before
    hashes = {before}
    for path, text in (("package/deep/b.py", "b = 2\n"), ("run.py", "run(1)\n"), ("package/c.py", "")):
        (tmp_path / path).write_text(text)
        hashes.add(hash_of_code(places))
    (tmp_path / "package" / "a.py").rename(tmp_path / "package" / "d.py")
    hashes.add(hash_of_code(places))
    assert len(hashes) == 5
