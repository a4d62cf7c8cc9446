"""Writing without halves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from clip_har.storage import new_folder, point_link, write_atomic, write_json


@pytest.mark.parametrize("data", [b"\x00\xff", "Straße\n"])
def test_a_file_is_written_with_its_folders(tmp_path, data):
    written = write_atomic(tmp_path / "a" / "b.txt", data)
    assert written.read_bytes() == (data if isinstance(data, bytes) else data.encode())
    assert [path.name for path in written.parent.iterdir()] == ["b.txt"]


@pytest.mark.parametrize("stopped_by", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch, call, stopped_by):
    target = write_atomic(tmp_path / "a.txt", "old")

    def interrupted(*_):
        raise stopped_by

    monkeypatch.setattr(call, interrupted)
    with pytest.raises(stopped_by):
        write_atomic(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_json_is_the_same_for_the_same_value(tmp_path):
    first = write_json(tmp_path / "a.json", {"b": [1.5, None], "a": "é"}).read_text()
    assert first == write_json(tmp_path / "b.json", {"a": "é", "b": [1.5, None]}).read_text()
    assert first == '{\n  "a": "é",\n  "b": [\n    1.5,\n    null\n  ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "c.json", float("nan"))
    assert not (tmp_path / "c.json").exists()


def test_a_folder_appears_whole(tmp_path):
    target = tmp_path / "deep" / "folder"
    with new_folder(target) as folder:
        (folder / "a.txt").write_text("a")
        assert not target.exists()
        assert folder.parent == target.parent  # the same file system, or the rename would copy
    assert (target / "a.txt").read_text() == "a"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("stopped_by", [ValueError, KeyboardInterrupt])
def test_an_interrupted_folder_leaves_nothing(tmp_path, stopped_by):
    def interrupted():
        with new_folder(tmp_path / "folder") as folder:
            (folder / "a.txt").write_text("a")
            raise stopped_by

    with pytest.raises(stopped_by):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_overwritten(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a.txt").write_text("a")
    (tmp_path / "file").write_text("b")
    (tmp_path / "empty").mkdir()
    for name in ("kept", "file"):
        with pytest.raises(FileExistsError, match=name), new_folder(tmp_path / name):
            raise AssertionError("the block must not be entered")
    assert (tmp_path / "kept" / "a.txt").read_text() == "a"
    with new_folder(tmp_path / "empty") as folder:
        (folder / "c.txt").write_text("c")
    assert (tmp_path / "empty" / "c.txt").read_text() == "c"


def test_a_killed_process_leaves_no_target(tmp_path):
    code = textwrap.dedent(
        """
        import os, sys
        from clip_har.storage import new_folder
        with new_folder(sys.argv[1]) as folder:
            (folder / "a.txt").write_text("a")
            os._exit(9)
        """
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "folder")], check=False)
    assert done.returncode == 9
    assert not (tmp_path / "folder").exists()
    with new_folder(tmp_path / "folder") as folder:  # and the leftovers are in nobody's way
        (folder / "b.txt").write_text("b")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["b.txt"]


def test_a_link_is_relative_and_replaced(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name.json").write_text(json.dumps(name))
        point_link(tmp_path / "latest", tmp_path / name)
        assert json.loads((tmp_path / "latest" / "name.json").read_text()) == name
    assert os.readlink(tmp_path / "latest") == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "one", "two"]
