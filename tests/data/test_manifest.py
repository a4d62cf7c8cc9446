"""The Manifest: what it refuses, how it is written, what its hash stands for."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clip_har.data.manifest import COLUMNS, SPLITS, Manifest
from clip_har.errors import DataError


def frame(**changes) -> pd.DataFrame:
    rows = {
        "id": ["c3", "a1", "b2"],
        "uri": ["running/ü c.jpg", "sitting/a.jpg", "sitting/b.jpg"],
        "label": ["running", "sitting", "sitting"],
        "split": ["train", "test", "train"],
        "group": ["c3", "a1", "a1"],
        "width": [40, 41, 42],
        "height": [30, 31, 32],
        "format": ["JPEG", "PNG", "WEBP"],
        "source": ["folder"] * 3,
        "data_revision": ["r1"] * 3,
    }
    return pd.DataFrame(rows | changes)


def manifest(labels=("sitting", "running"), root="photos", **changes) -> Manifest:
    return Manifest(frame(**changes), labels, root)


def test_it_is_read_as_it_was_written(tmp_path):
    written = manifest()
    read = Manifest.read(written.write(tmp_path / "deep" / "manifest.parquet"))
    pd.testing.assert_frame_equal(read.frame[list(COLUMNS)], written.frame[list(COLUMNS)], check_dtype=False)
    assert (read.labels, read.root) == (written.labels, written.root)  # the order of the classes included
    assert read.content_hash == written.content_hash
    assert read.label_indices.tolist() == [1, 0, 0]


def test_an_unsplit_manifest_is_read_as_it_was_written(tmp_path):
    written = manifest(split=["", "", ""])
    read = Manifest.read(written.write(tmp_path / "manifest.parquet"))
    assert read.frame["split"].tolist() == ["", "", ""]
    assert read.content_hash == written.content_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ["c3", "a1", "b3"]},
        {"uri": ["running/c.jpg", "sitting/a.jpg", "sitting/b.jpg"]},
        {"label": ["running", "running", "sitting"]},
        {"split": ["train", "test", "test"]},
        {"group": ["c3", "a1", "b2"]},
        {"width": [40, 41, 43]},
        {"labels": ("running", "sitting")},
        {"labels": ("sitting", "running", "sleeping")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_hash_changes_with_the_data(changes):
    assert manifest(**changes).content_hash != manifest().content_hash


def test_the_hash_leaves_out_place_revision_and_order():
    same = manifest().content_hash
    assert manifest(root="elsewhere", data_revision=["r2"] * 3).content_hash == same
    assert Manifest(frame().iloc[[2, 0, 1]], ("sitting", "running"), "photos").content_hash == same


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ["a1", "a1", "b2"]}, r"same id \(same bytes\): a1"),
        ({"labels": ("sitting",)}, r"not among its classes: running"),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        manifest(**changes)


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="missing: group, width"):
        Manifest(frame().drop(columns=["width", "group"]), ("sitting", "running"), "photos")


def test_splits():
    data = manifest()
    train = data.split("train")
    assert train.ids == ["c3", "b2"]
    assert [path.as_posix() for path in train.paths] == ["photos/running/ü c.jpg", "photos/sitting/b.jpg"]
    assert train.labels == data.labels
    with pytest.raises(DataError, match=r"no split 'tran'.*'train'"):
        data.split("tran")
    with pytest.raises(DataError, match="validation split is empty: 3 accepted photographs"):
        data.split("validation")


def test_counts_have_every_class_and_split():
    counts = manifest(labels=("sitting", "running", "sleeping")).counts()
    assert counts.index.tolist() == ["sitting", "running", "sleeping"]
    assert counts.columns.tolist() == list(SPLITS)
    assert counts.to_numpy().tolist() == [[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_a_file_that_is_no_manifest_is_refused(tmp_path):
    (tmp_path / "text.parquet").write_text("no parquet")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "other.parquet")
    about = {b"clip_har": json.dumps({"labels": ["a"], "root": "x"}).encode()}
    pq.write_table(pa.table({"id": ["a"]}).replace_schema_metadata(about), tmp_path / "columns.parquet")
    for name, message in (
        ("text", "not a readable Manifest"),
        ("absent", "not a readable Manifest"),
        ("other", "not a Manifest of clip_har"),
        ("columns", "missing: uri"),
    ):
        with pytest.raises(DataError, match=message):
            Manifest.read(tmp_path / f"{name}.parquet")
