"""A folder a class."""

from __future__ import annotations

import pytest

from clip_har.data.sources import build_source, parse_source_config
from clip_har.data.sources.base import SourceRecord
from clip_har.errors import DataError


def source(path, **settings):
    return build_source(parse_source_config({"source": "folder", "path": str(path), **settings}), "unused")


@pytest.fixture
def photos(tmp_path):
    files = ("running/b.jpg", "running/a.JPG", "sitting/deep/er/c.png", "sitting/notes.txt", "sitting/.hidden.jpg")
    others = (".git/d.jpg", "stray.jpeg", "labels.csv", ".DS_Store", "running/.thumbs/e.jpg")
    for name in (*files, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_labels_are_the_first_folder(photos):
    records = source(photos).records()
    assert {record.uri: record.label for record in records if record.problem is None} == {
        "running/a.JPG": "running",
        "running/b.jpg": "running",
        "sitting/deep/er/c.png": "sitting",
        "sitting/notes.txt": "sitting",  # a file of a class that cannot be decoded is counted, not passed over
    }
    (stray,) = [record for record in records if record.problem]
    assert stray == SourceRecord("stray.jpeg", None, ("missing_label", "lies beside the class folders, not in one"))


def test_the_order_does_not_depend_on_the_file_system(photos, monkeypatch):
    import os

    expected = source(photos).records()
    walk = os.walk

    def reversed_walk(top):
        for folder, folders, files in walk(top):
            folders.reverse()
            yield folder, folders, files[::-1]

    monkeypatch.setattr(os, "walk", reversed_walk)
    assert source(photos).records() == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", r"data\.path: there is no folder .*absent"),
        ("file.txt", r"data\.path: .*file\.txt' is a file; a folder is wanted"),
        ("empty", r"data\.path: the folder .*empty' is empty"),
        ("flat", r"none as sub-folder; a folder for each class is wanted.*data\.source=csv"),
        ("single", r"only 'running' as sub-folder"),
    ],
)
def test_a_folder_of_another_layout_is_refused(tmp_path, name, message):
    (tmp_path / "file.txt").write_text("a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.jpg").write_text("a")
    (tmp_path / "single" / "running").mkdir(parents=True)
    (tmp_path / "single" / ".hidden").mkdir()
    for call in (source(tmp_path / name).check, source(tmp_path / name).records):
        with pytest.raises(DataError, match=message):
            call()
