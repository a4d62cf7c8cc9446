"""What is printed, and what was named on the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from clip_har.client import PictureResult, ServiceProblem
from clip_har.errors import ConfigError, ImageError
from clip_har.terminal.inputs import picture_paths
from clip_har.terminal.predict import HeatMaps
from clip_har.terminal.printing import Csv, JsonLines, Lines, Printer, Tables, bar
from tests.client.stand_in import MODEL_ID, prediction

HOSTILE = "evil\x1b[31m[red]name\n.jpg"


def answer(**changes) -> PictureResult:
    values = prediction() | {"label_set": ["running", "sitting"]}
    values["labels"] = [{"label": "running", "score": 0.75}, {"label": "sitting", "score": 0.125}]
    return PictureResult(**values | changes, model_id=MODEL_ID, request_id="r")


def printed(printer: Printer, capsys: pytest.CaptureFixture) -> str:
    printer.add("a.jpg", answer())
    printer.add(HOSTILE, ServiceProblem("It ends too early.", status=422, code="truncated"))
    printer.add("c.jpg", answer(abstained=True), Path("maps/c.jpg.png"))
    printer.add("d.jpg", ImageError("missing_file", "There is no file d.jpg."))
    printer.close()
    return capsys.readouterr().out


def test_lines_of_json_have_the_same_names_whatever_happened(capsys: pytest.CaptureFixture):
    lines = [json.loads(line) for line in printed(JsonLines(), capsys).splitlines()]
    assert len({tuple(line) for line in lines}) == 1
    assert [line["path"] for line in lines] == ["a.jpg", HOSTILE, "c.jpg", "d.jpg"]
    assert lines[0]["labels"][1] == {"label": "sitting", "score": 0.125}
    assert (lines[0]["error"], lines[2]["heat_map"]) == (None, "maps/c.jpg.png")
    assert lines[1]["error"] == {"code": "truncated", "detail": "It ends too early."}
    assert lines[3]["error"]["code"] == "missing_file"


def test_a_row_for_each(capsys: pytest.CaptureFixture):
    rows = list(csv.DictReader(io.StringIO(printed(Csv(), capsys))))
    assert [row["path"] for row in rows] == ["a.jpg", HOSTILE, "c.jpg", "d.jpg"]
    assert (rows[0]["label"], rows[0]["confidence"], rows[0]["abstained"]) == ("running", "0.75", "False")
    assert (rows[0]["labels"], rows[0]["scores"]) == ("running|sitting", "0.75|0.125")
    assert rows[1]["error"] == "truncated: It ends too early."
    assert rows[1]["label"] == ""


@pytest.mark.parametrize("kind", [Tables, Lines])
def test_for_people(kind, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "130")
    said = printed(kind(), capsys)
    assert "\x1b" not in said
    assert "[red]" in said  # said, not obeyed
    joined = " ".join(said.split())
    for wanted in ("running", "75.0 %", "one of: running, sitting", "not sure enough to say", "It ends too early."):
        assert wanted in joined, wanted


def test_many_take_no_more_memory_than_few(capsys: pytest.CaptureFixture):
    printer = Tables()
    for number in range(100):
        printer.add(f"{number}.jpg", answer())
        assert len(printer._waiting) < 20
    printer.close()
    out = capsys.readouterr().out
    assert out.count("picture") == 1  # one header
    assert all(f"{number}.jpg" in out for number in range(100))


@pytest.mark.parametrize(("score", "blocks"), [(0.0, ""), (0.5, "█" * 10), (1.0, "█" * 20), (0.03125, "▋")])
def test_a_bar(score: float, blocks: str):
    assert bar(score).plain == f"{blocks.ljust(20)}{score * 100:6.1f} %"


def test_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder" / "below").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "c.raw", "folder/d.png", "folder/below/e.webp", "folder/f.txt"):
        (tmp_path / name).touch()
    paths, total = picture_paths(["c.raw", "folder", "?.jpg", "**/*.png"])
    found = [str(path) for path in paths]
    assert found == ["c.raw", "folder/below/e.webp", "folder/d.png", "a.jpg", "b.jpg", "folder/d.png"]
    assert total == 6


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "photo.jpg").touch()
    for given, wanted in (
        ("foto.jpg", r"no file or folder 'foto.jpg'. Did you mean 'photo.jpg'"),
        ("empty", "no picture in the folder"),
        ("*.png", "No file fits"),
        ("a\0b", "no file"),
        ("x" * 5000, "no file's name"),
    ):
        with pytest.raises(ConfigError, match=wanted):
            picture_paths(["photo.jpg", given])


def test_heat_maps_have_names_of_their_own(tmp_path: Path):
    maps = HeatMaps(tmp_path / "maps", 3)
    written = [maps.write(name, b"png").name for name in ("a/photo.jpg", "b/photo.jpg", "photo.png")]
    assert written == ["photo.jpg.png", "photo.jpg.2.png", "photo.png.png"]
    assert HeatMaps(tmp_path / "one.png", 1).write("photo.jpg", b"png") == tmp_path / "one.png"
    with pytest.raises(ConfigError, match="one file"):
        HeatMaps(tmp_path / "one.png", 2)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        HeatMaps(tmp_path / "file", 2)
