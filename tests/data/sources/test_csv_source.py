"""A table of labels beside a folder of pictures, as found in the wild."""

from __future__ import annotations

import pytest

from clip_har.data.sources import build_source, parse_source_config
from clip_har.errors import DataError


def source(path, **settings):
    return build_source(parse_source_config({"source": "csv", "path": str(path), **settings}), "unused")


@pytest.fixture
def kaggle(tmp_path):
    (tmp_path / "train" / "sub").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "sub/c.jpg"):
        (tmp_path / "train" / name).write_bytes(name.encode())
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    return tmp_path


def table(folder, text: str | bytes, name: str = "Training_set.csv"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "filename,label\na.jpg,running\nb.jpg,sitting\n",
        "filename,label\r\na.jpg,running\r\nb.jpg,sitting",
        "\ufefffilename,label\na.jpg,running\nb.jpg,sitting\n",
        "label,split,filename\nrunning,x,a.jpg\nsitting,x,b.jpg\n",
        "filename;label\na.jpg;running\nb.jpg;sitting\n",
        "filename\tlabel\na.jpg\trunning\nb.jpg\tsitting\n",
        ' filename , label\n a.jpg , running \n"b.jpg","sitting"\n',
        "filename,label\n\na.jpg,running\n , \nb.jpg,sitting\n\n",
    ],
    ids=["plain", "CRLF", "BOM", "other order", "semicolons", "tabs", "spaces and quotes", "blank lines"],
)
def test_tables_of_many_hands(kaggle, text):
    records = source(table(kaggle, text)).records()
    assert [(record.uri, record.label, record.problem) for record in records] == [
        ("a.jpg", "running", None),
        ("b.jpg", "sitting", None),
    ]


@pytest.mark.parametrize(
    ("listed", "uri"),
    [
        ("a.jpg", "a.jpg"),
        ("sub/c.jpg", "sub/c.jpg"),
        ("sub\\c.jpg", "sub/c.jpg"),
        ("train/a.jpg", "a.jpg"),
        ("train\\sub\\c.jpg", "sub/c.jpg"),
        (".\\a.jpg", "a.jpg"),
        ("C:\\Users\\me\\har\\train\\a.jpg", "a.jpg"),
        ("/kaggle/input/har/train/a.jpg", "a.jpg"),
        ("D:/har/a.jpg", "a.jpg"),
    ],
)
def test_paths_of_other_machines_are_found(kaggle, listed, uri):
    (record,) = source(table(kaggle, f"filename,label\n{listed},running\n")).records()
    assert (record.uri, record.label, record.problem) == (uri, "running", None)
    assert (kaggle / "train" / record.uri).is_file()


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ("../secret.jpg,running", "outside_data_folder", "line 3"),
        ("sub/../../secret.jpg,running", "outside_data_folder", "'..'"),
        ("..\\secret.jpg,running", "outside_data_folder", "'..'"),
        ("absent.jpg,running", "missing_file", "line 3 of Training_set.csv"),
        ("sub,running", "missing_file", "not there"),
        (",running", "missing_file", "names no file"),
        ("a.jpg,", "missing_label", "no label"),
        ("a.jpg", "missing_label", "no label"),
        ("{outside},running", "outside_data_folder", "line 3 of Training_set.csv names an absolute path"),
        ("C:\\\\elsewhere\\\\absent.jpg,running", "outside_data_folder", "absolute path"),
        (f"{'x' * 300},running", "missing_file", "not there"),
        ("a\0.jpg,running", "missing_file", "not there"),
        ('"a.jpg,running\n' + "c.jpg,running\n" * 30, "missing_file", "not there"),  # a quote that is never closed
    ],
)
def test_a_row_that_cannot_be_used_keeps_its_reason(kaggle, row, reason, detail):
    row = row.format(outside=kaggle / "secret.jpg")
    records = source(table(kaggle, f"filename,label\nb.jpg,sitting\n{row}\n")).records()
    assert [record.problem is None for record in records] == [True, False]
    assert records[1].problem[0] == reason
    assert detail in records[1].problem[1]


def test_an_absolute_path_into_the_folder_is_found(kaggle):
    listed = kaggle / "train" / "sub" / "c.jpg"
    (record,) = source(table(kaggle, f"filename,label\n{listed},running\n")).records()
    assert (record.uri, record.problem) == ("sub/c.jpg", None)


def test_pictures_without_labels_are_told_apart(kaggle):
    table(kaggle, "filename,label\na.jpg,running\n")
    assert source(kaggle).unlabelled_files() == []
    before = source(kaggle).fingerprint()
    (kaggle / "test" / "deep").mkdir(parents=True)
    for name in ("x.jpg", "deep/y.PNG", "notes.txt"):
        (kaggle / "test" / name).write_bytes(b"bytes")
    found = source(kaggle).unlabelled_files()
    assert [path.relative_to(kaggle).as_posix() for path in found] == ["test/deep/y.PNG", "test/x.jpg"]
    after = source(kaggle).fingerprint()
    (kaggle / "test" / "x.jpg").write_bytes(b"others")
    assert len({before, after, source(kaggle).fingerprint()}) == 3, "what validation compares with is part of the data"
    assert source(kaggle, test_folder=None).unlabelled_files() == []


def test_a_linked_picture_is_taken(kaggle):
    """Data tools such as DVC place links."""
    (kaggle / "train" / "link.jpg").symlink_to(kaggle / "secret.jpg")
    (record,) = source(table(kaggle, "filename,label\nlink.jpg,running\n")).records()
    assert record.problem is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"Training_set\.csv is empty; a header"),
        ("filename,label\n", r"Training_set\.csv has a header but no rows"),
        ("filename,label\n\n , \n", r"has a header but no rows"),
        ('filename,label\n"' + "a.jpg,running\n" * 12_000, r"Training_set\.csv, line \d+: .*quote"),
        ("file_name,label\na,b\n", r"data\.filename_column: .* has no column 'filename'\. Did you mean 'file_name'"),
        ("filename,action\na,b\n", r"data\.label_column: .* has no column 'label'\. Known: action, filename"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(kaggle, text, message):
    with pytest.raises(DataError, match=message):
        source(table(kaggle, text)).records()


def test_missing_places_name_what_is_there(kaggle):
    table(kaggle, "filename,label\na.jpg,running\n", "labels.csv")
    with pytest.raises(DataError, match=r"data\.labels_file: .*'Training_set\.csv'.*there: labels\.csv"):
        source(kaggle).check()
    with pytest.raises(DataError, match=r"data\.images_folder: .*'trian'.* Did you mean 'train'"):
        source(kaggle, labels_file="labels.csv", images_folder="trian").check()
    with pytest.raises(DataError, match=r"data\.path: there is no folder"):
        source(kaggle / "absent").check()
    assert len(source(kaggle, labels_file="labels.csv").records()) == 1


def test_columns_and_places_can_be_named(kaggle):
    table(kaggle, "img,cls\nc.jpg,running\n", "t.csv")
    named = source(kaggle, labels_file="t.csv", images_folder="train/sub", filename_column="img", label_column="cls")
    (record,) = named.records()
    assert (named.root / record.uri).read_bytes() == b"sub/c.jpg"


def test_bytes_that_are_not_utf8_do_not_stop_the_table(kaggle):
    records = source(table(kaggle, b"filename,label\na.jpg,running\n\xe4.jpg,sitting\n")).records()
    assert [record.problem is None for record in records] == [True, False]
