"""The labelling sheet: made, filled in as spreadsheets do it, and read."""

from __future__ import annotations

import csv
import io

import pytest

from clip_har.labelling.errors import LabellingError
from clip_har.labelling.labelled import LabelledStore
from clip_har.labelling.selection import make_sheet, select
from clip_har.labelling.sheet import SheetItem, read_sheet, write_sheet
from tests.labelling.seen import LABELS, captured, identity, jpeg, name

LONGER = (*LABELS, "using_laptop")


@pytest.fixture
def sheet(tmp_path):
    items = [SheetItem(identity(one), name(one), jpeg(one), "running", 0.5) for one in range(5)]
    return write_sheet(tmp_path / "sheet", items, LONGER)


def fill(sheet, said: dict[int, str], *, delimiter=",", encoding="utf-8-sig", newline="\r\n", more=()) -> None:
    rows = list(csv.DictReader(io.StringIO((sheet / "labels.csv").read_text("utf-8-sig"))))
    for number, label in said.items():
        rows[number]["label"] = label
    made = io.StringIO(newline="")
    writer = csv.DictWriter(made, rows[0], delimiter=delimiter, lineterminator=newline)
    writer.writeheader()
    writer.writerows([*rows, *({**rows[number], "label": label, **also} for number, label, also in more)])
    (sheet / "labels.csv").write_bytes(made.getvalue().encode(encoding))


def test_it_has_an_empty_column_for_labels_and_shows_the_pictures(sheet):
    rows = list(csv.DictReader(io.StringIO((sheet / "labels.csv").read_bytes().decode("utf-8-sig"))))
    assert list(rows[0]) == ["id", "file", "suggested", "confidence", "label"]
    assert {row["label"] for row in rows} == {""}
    assert all((sheet / row["file"]).read_bytes() == jpeg(number) for number, row in enumerate(rows))
    page = (sheet / "sheet.html").read_text()
    assert all(row["file"] in page for row in rows)
    assert "http://" not in page
    assert "https://" not in page
    assert "using_laptop" in (sheet / "labels.txt").read_text()


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"delimiter": ";"},
        {"delimiter": "\t", "encoding": "utf-16"},
        {"encoding": "utf-8", "newline": "\n"},
        {"delimiter": ";", "encoding": "cp1252"},
    ],
    ids=["as written", "semicolons", "tabs in UTF-16", "plain", "Windows"],
)
def test_it_is_read_as_spreadsheets_save_it(sheet, form):
    fill(sheet, {0: "running", 1: " Using laptop ", 3: "none of these"}, **form)
    read = read_sheet(sheet)
    assert {(one.prediction_id, one.label) for one in read.answers} == {
        (identity(0), "running"),
        (identity(1), "using_laptop"),
        (identity(3), "none of these"),
    }
    assert read.empty == (4, 6)
    assert not read.problems


def test_every_mistake_is_named_with_its_row_and_what_would_be_right(sheet):
    fill(
        sheet,
        {0: "runing", 1: "sitting", 2: "eating"},
        more=[(1, "eating", {}), (2, "eating", {}), (3, "running", {"id": "0", "file": "x"})],
    )
    read = read_sheet(sheet)
    first, second, third = read.problems
    assert first.startswith("Row 2: 'runing'")
    assert "Did you mean 'running'?" in first
    assert second.startswith("Row 7:")
    assert "'sitting' in row 3" in second
    assert third.startswith("Row 9: '0' is no id")
    assert [one.prediction_id for one in read.answers] == [
        identity(2)
    ]  # said twice alike; of two answers none is taken


def test_a_sheet_whose_ids_a_spreadsheet_has_spoiled_is_read_by_its_files(sheet):
    fill(sheet, {}, more=[(3, "running", {"id": "3E+00"})])
    assert [one.prediction_id for one in read_sheet(sheet).answers] == [identity(3)]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda sheet: (sheet / "sheet.json").unlink(), "clip-har labelling sheet"),
        (lambda sheet: (sheet / "labels.csv").unlink(), "filled-in table"),
        (lambda sheet: (sheet / "labels.csv").write_text("id,file,lable\n"), "Did you mean 'lable'"),
        (lambda sheet: (sheet / "labels.csv").write_bytes(b"PK\x03\x04\x00"), "xlsx"),
    ],
)
def test_what_is_no_sheet_is_refused(sheet, spoil, said):
    spoil(sheet)
    with pytest.raises(LabellingError, match=said):
        read_sheet(sheet)


def test_a_sheet_is_never_written_over(sheet):
    with pytest.raises(LabellingError, match="exists already"):
        write_sheet(sheet, [SheetItem("a", name(0), jpeg(0), "running", 1.0)], LABELS)


def test_from_capture_to_labels_and_nobody_is_asked_twice(tmp_path):
    capture, store = captured(tmp_path / "capture", 12), LabelledStore.of(tmp_path)
    store.add(jpeg(0), "running", "app", identity(0))
    chosen = select(capture, store, 5, uncertainty=0.5)
    assert len(chosen.chosen) == 5
    assert chosen.candidates == 11
    assert identity(0) not in {one.id for one in chosen.chosen}
    folder, number = make_sheet(capture, chosen, LABELS, store.folder / "sheets" / "one")
    assert number == 5
    fill(folder, {0: "eating", 1: "skip", 2: "runing"})
    added = store.from_sheets(LABELS)
    assert (added.added, added.set_aside, len(added.problems)) == (1, 1, 1)
    assert added.unused == {"no label is written yet": 2}
    again = select(capture, store, 20, uncertainty=0.5)
    assert not {one.id for one in chosen.chosen[:2]} & {one.id for one in again.chosen}


def test_pictures_deleted_from_the_capture_leave_the_sheet(tmp_path):
    capture, store = captured(tmp_path / "capture", 6), LabelledStore.of(tmp_path)
    chosen = select(capture, store, 6, uncertainty=0)
    folder, _ = make_sheet(capture, chosen, LABELS, tmp_path / "sheet")
    fill(folder, {0: "eating", 1: "eating"})
    gone = chosen.chosen[0]
    capture.delete([gone.id])
    assert not (folder / "images" / gone.picture).exists()
    added = store.from_sheet(folder, LABELS)
    assert added.added == 1
    assert "Row 2" in added.problems[0]
    assert "deleted" in added.problems[0]
    capture.delete_older_than(0)
    assert not list((folder / "images").iterdir())
    assert not store.rows()


def test_without_images_the_sheet_says_which_setting_is_wanted(tmp_path):
    capture = captured(tmp_path / "capture", 3, images=False)
    with pytest.raises(LabellingError, match=r"serving\.capture\.images=true"):
        select(capture, LabelledStore.of(tmp_path), 5, uncertainty=0.5)
