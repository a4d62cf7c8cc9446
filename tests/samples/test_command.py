"""`python -m clip_har.samples`, the contact sheet, and what importing the room costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import clip_har.samples
from clip_har.samples import contact_sheet, describe_scene, draw_scene
from clip_har.samples.__main__ import main


def test_the_contact_sheet_shows_every_picture_in_its_place():
    sheet = contact_sheet(2, ("running", "eating", "waving"), 60, 40, seed=4, columns=2)
    wanted = {(0, 0): "running", (0, 1): "eating", (1, 0): "waving"}
    for (column, row), action in wanted.items():
        left, top = 6 + column * 126, 6 + row * 64
        assert len(sheet.crop((left, top, left + 60, top + 17)).getcolors()) > 2, "no name above the row"
        for number in range(2):
            x = left + number * 60
            shown = sheet.crop((x, top + 18, x + 60, top + 58))
            assert shown.tobytes() == draw_scene(describe_scene(action, 4 + number), 60, 40).tobytes()


def test_commands_write_what_they_say(tmp_path, capsys):
    assert main(["--contact-sheet", str(tmp_path / "new" / "sheet.png"), "--count", "1", "--size", "32x24"]) == 0
    with Image.open(tmp_path / "new" / "sheet.png") as sheet:
        assert sheet.format == "PNG"
    small = ["--count", "2", "--size", "32x32", "--actions", "running, eating", "--dial", "light=0.5"]
    assert main(["--write", str(tmp_path / "sample"), *small]) == 0
    assert sorted(p.parent.name for p in (tmp_path / "sample").rglob("*.jpg")) == ["eating"] * 2 + ["running"] * 2
    assert main(["--pairs", str(tmp_path / "pairs"), *small]) == 0
    assert len(list((tmp_path / "pairs" / "images").iterdir())) == 2
    assert str(tmp_path / "pairs") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--write", "FOLDER", "--actions", "runing,eating"], "'runing'. Did you mean 'running'"),
        (["--contact-sheet", "FOLDER/a.png", "--actions", "runing"], "'runing'. Did you mean 'running'"),
        (["--write", "FOLDER", "--size", "240"], "--size: .*240x160, not '240'"),
        (["--write", "FOLDER", "--count", "0"], "per_class"),
        (["--pairs", "FOLDER", "--count", "0"], "count"),
        (["--contact-sheet", "FOLDER/a.png", "--count", "0"], "at least one action"),
        (["--contact-sheet", "FOLDER/a.gif"], "a.gif' should end in .png or .jpg"),
        (["--write", "FOLDER", "--dial", "ligth=1"], "--dial.ligth: unknown key. Did you mean 'light'"),
        (["--write", "FOLDER", "--dial", "light"], "--dial: NAME=VALUE"),
        (["--write", "."], "was not made here"),
    ],
)
def test_mistakes_end_with_2_and_a_sentence(arguments, message, tmp_path, capsys, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "something").touch()
    monkeypatch.chdir(tmp_path / "here")
    assert main([part.replace("FOLDER", str(tmp_path / "new")) for part in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert re.search(message, error), error
    assert not (tmp_path / "new").exists()


def test_nothing_to_do_is_a_mistake(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2


def test_importing_the_room_is_cheap():
    heavy = "{'numpy', 'PIL', 'pandas', 'pyarrow', 'torch'}"
    code = f"import sys, clip_har.samples; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_all_public_names_are_there():
    for name in clip_har.samples.__all__:
        assert getattr(clip_har.samples, name) is not None
    with pytest.raises(AttributeError, match="draw_scenes"):
        _ = clip_har.samples.draw_scenes


def test_the_room_imports_only_what_lies_below_it():
    allowed = {f"clip_har.{name}" for name in ("errors", "component", "storage", "hashing", "progress", "samples")}
    root = Path(clip_har.samples.__file__).parent
    seen = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            seen |= {".".join(name.split(".")[:2]) for name in names if name.startswith("clip_har")}
    assert seen <= allowed
    assert "clip_har.samples" in seen
