"""`clip-har data`."""

from __future__ import annotations

from pathlib import Path

import pytest

from clip_har.cli import main
from clip_har.data.versions import VersionStore
from tests.data.versions.world import described, write_pictures


@pytest.fixture
def published(tmp_path: Path, photographs: Path) -> VersionStore:
    """A workspace with one version, tagged v1."""
    store = VersionStore(tmp_path / "workspace")
    store.publish(*described(photographs), source_key="", tag="v1")
    return store


def call(*words: str | Path) -> int:
    return main(["data", *map(str, words)])


def test_list_show_and_tag(published: VersionStore, capsys) -> None:
    workspace = ("--workspace", published.workspace)
    assert call("tag", "first", "v1", *workspace) == 0
    assert call("list", *workspace) == 0
    version = published.current()
    listed = capsys.readouterr().out.splitlines()[-1]
    assert listed.startswith(version.git_revision[:12])
    assert listed.endswith("6 pictures  first, v1")
    assert call("show", "first", *workspace) == 0
    shown = capsys.readouterr().out
    for expected in (
        version.git_revision,
        version.manifest_hash,
        version.dvc_hash,
        f"versions/{version.git_revision[:12]}",
    ):
        assert expected in shown
    assert "sitting" in shown


def test_clone_pull_and_push(published: VersionStore, photographs: Path, tmp_path: Path, capsys) -> None:
    there = ("--workspace", tmp_path / "there")
    assert call("clone", published.workspace, *there) == 0
    assert "1 version is in" in capsys.readouterr().out
    write_pictures(photographs, range(6, 8))
    published.publish(*described(photographs), source_key="", tag="v2", push=False)
    assert call("push", "--workspace", published.workspace) == 0
    assert call("pull", *there) == 0
    assert "8 pictures" in capsys.readouterr().out
    assert VersionStore(tmp_path / "there").resolve("v2") == published.current()


def test_gc_does_nothing_without_yes(published: VersionStore, photographs: Path, capsys) -> None:
    write_pictures(photographs, range(6, 7))
    published.publish(*described(photographs), source_key="")
    (photographs / "running" / "0006 ü.jpg").unlink()
    published.publish(*described(photographs), source_key="")
    workspace = ("--workspace", published.workspace)
    cache = published.repository / ".dvc" / "cache"
    before = len([path for path in cache.rglob("*") if path.is_file()])
    assert call("gc", *workspace) == 0
    assert "Do it with --yes" in capsys.readouterr().out
    assert len([path for path in cache.rglob("*") if path.is_file()]) == before
    assert call("gc", "--yes", *workspace) == 0
    assert len([path for path in cache.rglob("*") if path.is_file()]) < before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["show", "v2"], "nothing has been published"),
        (["push"], "No version of the data has been published"),
        (["pull"], "No version of the data has been published"),
        (["gc"], "No version of the data has been published"),
        (["clone", "nowhere"], "nowhere cannot be cloned"),
        (["lst"], "Did you mean 'list'?"),
    ],
)
def test_mistakes_end_with_2_and_a_sentence(words: list[str], expected: str, tmp_path: Path, capsys) -> None:
    options = [] if words == ["lst"] else ["--workspace", tmp_path / "empty"]
    assert call(*words, *options) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert "Traceback" not in error
