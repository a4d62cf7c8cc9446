"""`clip-har labelling`, as people type it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from clip_har.capture import CaptureWriter
from clip_har.cli import main
from clip_har.labelling.labelled import LabelledStore
from tests.capture.captured import START, still
from tests.labelling.seen import LABELS, captured, identity


@pytest.fixture
def workspace(tmp_path):
    capture = captured(tmp_path / "capture", 8)
    writer = CaptureWriter(capture.folder, still())
    writer.feedback(identity(7), "sitting", START + 50)
    writer.close()
    return tmp_path


def said(capsys, *arguments: str, code: int = 0) -> str:
    assert main(["labelling", *arguments]) == code
    shown = capsys.readouterr()
    return shown.out + shown.err


def fill(table, labels: list[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(table.read_text("utf-8-sig"))))
    made = io.StringIO(newline="")
    writer = csv.DictWriter(made, rows[0], delimiter=";")
    writer.writeheader()
    writer.writerows({**row, "label": label} for row, label in zip(rows, labels, strict=True))
    table.write_text(made.getvalue())


def test_a_sheet_from_capture_and_back(workspace, capsys):
    at = ("--workspace", str(workspace))
    shown = said(capsys, "sheet", *at, "--count", "4", "--output", str(workspace / "sheet"))
    assert "4 of 7 pictures" in shown
    assert "1 were left out: labelled or set aside already" in shown
    fill(workspace / "sheet" / "labels.csv", ["eating", "runnin", "skip", ""])
    shown = said(capsys, "read", *at, str(workspace / "sheet"), code=1)
    assert "1 pictures were added" in shown
    assert "1 are set aside" in shown
    assert "Row 3: 'runnin' is none of the model's labels. Did you mean 'running'?" in shown
    facts = json.loads(said(capsys, "show", *at, "--json"))
    assert (facts["labelled"], facts["set_aside"], facts["labels"]) == (2, 1, {"eating": 1, "sitting": 1})
    assert "2 labelled pictures" in said(capsys, "show", *at)


def test_forget_and_capture_delete_say_what_stays(workspace, capsys):
    at = ("--workspace", str(workspace))
    said(capsys, "read", *at)
    store = LabelledStore.of(workspace)
    store.note_published([row.id for row in store.rows()], "abcdef" * 7)
    assert main(["capture", "delete", *at, identity(7)]) == 0
    shown = capsys.readouterr().out
    assert "1 copies of their pictures left" in shown
    assert "abcdefabcdef" in shown
    assert not store.rows()
    assert "0 labelled pictures removed" in said(capsys, "forget", *at, identity(7))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sheet", "--count", "0"), "--count from 1"),
        (("sheet", "--since", "yesterday"), "--since"),
        (("read", "nowhere"), "no labelling sheet"),
    ],
)
def test_mistakes_are_explained(workspace, capsys, arguments, message):
    assert message in said(capsys, *arguments, "--workspace", str(workspace), code=2)


def test_images_that_are_off_are_said(tmp_path, capsys):
    captured(tmp_path / "capture", 3, images=False)
    shown = said(capsys, "sheet", "--workspace", str(tmp_path), "--labels", ",".join(LABELS), code=2)
    assert "serving.capture.images=true" in shown


def test_it_starts_without_the_heavy_ones():
    code = (
        "import sys; from clip_har.cli import main; main(['labelling', 'show', '--workspace', '/nowhere']);"
        "print({'torch', 'pandas', 'sklearn', 'transformers', 'dvc'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "set()"
