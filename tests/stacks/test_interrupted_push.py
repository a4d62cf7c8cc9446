"""A push that stops at any moment leaves an artifact whole or invisible, for this machine and for others."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from materializers.folder import FolderMaterializer
from stacks.flavors.artifact_index import ArtifactStoreError
from stacks.flavors.dvc_artifact_store import DvcArtifactStore
from tests.stacks.conftest import Machine, artifact_address, contents, folder_of, read, write

FILES = {"a.txt": b"a", "b/c.bin": b"\x00\xff", "b/d.txt": b"d" * 5000, "e.txt": b"e"}


class Stop(BaseException):
    """Like a kill: nothing catches it."""


def stop_at(store: DvcArtifactStore, number: int, how: str, error: BaseException) -> Callable[[], bool]:
    """Make one put to the remote stop; returns a question: was it reached?"""
    fs = store.storage.objects.remote.fs
    put, count, reached = type(fs).put_file, itertools.count(), []

    def put_file(source: Any, key: str, **options: Any) -> None:
        if next(count) == number:
            reached.append(key)
            if how == "after":
                put(fs, source, key, **options)
            elif how == "cut off":
                data = source.read() if hasattr(source, "read") else Path(source).read_bytes()
                fs.makedirs(fs.parent(key))
                fs.pipe_file(key, data[: len(data) // 2])
            raise error
        put(fs, source, key, **options)

    fs.put_file = put_file
    return lambda: bool(reached)


@pytest.fixture(autouse=True)
def _file_systems_as_before(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`localfs` is one object for the whole process."""
    from dvc_objects.fs import localfs

    yield
    localfs.__dict__.pop("put_file", None)


def restore(store: DvcArtifactStore) -> None:
    store.storage.objects.remote.fs.__dict__.pop("put_file", None)


@pytest.mark.parametrize("how", ["before", "cut off", "after"])
def test_a_folder_is_seen_whole_or_not_at_all(machine: Machine, tmp_path: Path, how: str) -> None:
    local = folder_of(tmp_path / "made", FILES)
    outcomes = set()
    for number in itertools.count():
        writer = machine("writer", prefix=f"try-{number}")
        folder = artifact_address()
        reached = stop_at(writer, number, how, Stop())
        with suppress(Stop):
            writer.put_folder(local, folder)
        restore(writer)
        reader = machine("reader", prefix=f"try-{number}")
        seen = contents(reader, folder)
        outcomes.add(len(seen))
        assert seen in ({}, FILES)
        assert reader.exists(folder) == bool(seen)
        assert reader.listdir("dvc://artifacts") == (["step"] if seen else [])
        if not reached():
            assert seen == FILES
            break
        again = machine("writer", prefix=f"try-{number}", grace_hours=25)  # the same command once more
        again.put_folder(local, folder)
        assert contents(machine("third", prefix=f"try-{number}"), folder) == FILES
    assert number == len(FILES) + 1, "an object for each file, and the index"
    assert outcomes == {0, len(FILES)}


@pytest.mark.parametrize("how", ["before", "cut off", "after"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_file_is_seen_whole_or_not_at_all(machine: Machine, how: str, number: int) -> None:
    writer, reader = machine("writer"), machine("reader")
    address = write(writer, artifact_address() + "/file", b"the old content")
    stop_at(writer, number, how, Stop())
    with pytest.raises(Stop):
        write(writer, address, b"the new content")
    restore(writer)
    assert read(reader, address) == (b"the new content" if (number, how) == (1, "after") else b"the old content")


@pytest.mark.parametrize("number", [0, 1])
def test_a_file_that_moves_to_another_artifact_is_never_nowhere(machine: Machine, number: int) -> None:
    writer, reader = machine("writer"), machine("reader")
    places = sorted(artifact_address() for _ in range(2))
    for source, target in (places, places[::-1]):
        write(writer, f"{source}/file")
        stop_at(writer, number, "before", Stop())
        with pytest.raises(Stop):
            writer.rename(f"{source}/file", f"{target}/file")
        restore(writer)
        assert [read(reader, f"{place}/file") for place in places if reader.exists(place)]
        writer.rmtree(source)


def test_a_remote_out_of_reach_is_an_error_that_names_it(machine: Machine, tmp_path: Path) -> None:
    for number, said in ((0, "could not be put"), (len(FILES), "could not be made visible")):
        writer = machine("writer", prefix=f"try-{number}")
        folder = artifact_address()
        stop_at(writer, number, "before", ConnectionError("the line is dead"))
        with pytest.raises(ArtifactStoreError, match=said) as error:
            writer.put_folder(folder_of(tmp_path / "made", FILES), folder)
        restore(writer)
        assert "the line is dead" in str(error.value)
        assert f"try-{number}" in str(error.value)


class Files(dict):
    """Path → bytes."""


class FilesMaterializer(FolderMaterializer):
    ASSOCIATED_TYPES = (Files,)

    def write(self, data: Files, folder: Path) -> None:
        folder_of(folder, data)

    def read(self, folder: Path) -> Files:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_our_materializers_push_all_files_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = machine("writer"), machine("reader")
    folder = artifact_address()
    monkeypatch.setattr(FolderMaterializer, "get_temporary_directory", _temporary)
    FilesMaterializer(folder, writer).save(Files(FILES))
    assert len(writer.storage.index.entries(folder.removeprefix("dvc://artifacts/"))) == 1
    assert FilesMaterializer(folder, reader).load(Files) == FILES
    FilesMaterializer(f"{folder}2", None).save(Files(FILES))  # by ZenML's own copying, file by file
    assert FilesMaterializer(f"{folder}2", None).load(Files) == FILES


def _temporary(self: FolderMaterializer, **_: bool) -> Any:
    """ZenML's needs its database."""
    import tempfile

    return tempfile.TemporaryDirectory()
