"""The whole interface that ZenML uses, on the DVC-backed store."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from zenml.io import fileio
from zenml.utils.io_utils import copy_dir

from clip_har.errors import ConfigError
from stacks.flavors.artifact_index import ArtifactStoreError, artifact_of
from stacks.flavors.dvc_artifact_store import DvcArtifactStore, DvcArtifactStoreConfig
from tests.stacks.conftest import Machine, artifact_address, contents, folder_of, make_store, read, write

FILES = {"a.txt": b"a", "b/c.bin": b"\x00\xff", "b/d/e.txt": b"e", "b/same.txt": b"a", "empty": b""}


# -- files -------------------------------------------------------------------------------------------------------------


def test_what_is_written_is_there_when_closed_and_not_before(store: DvcArtifactStore) -> None:
    address = artifact_address() + "/data.json"
    file = store.open(address, "w")
    file.write('{"ä": 1}')
    assert not store.exists(address)
    file.close()
    file.close()
    assert store.exists(address)
    with store.open(address) as text:
        assert json.load(text) == {"ä": 1}
    assert read(store, address) == '{"ä": 1}'.encode()


def test_a_file_left_by_an_exception_or_never_closed_is_not_stored(store: DvcArtifactStore) -> None:
    address = artifact_address() + "/data"
    with pytest.raises(TypeError), store.open(address, "w") as file:
        file.writelines(["half", 0])
    file = store.open(address, "w")
    file.write("half")
    with pytest.warns(ResourceWarning, match="never closed"):
        file.__del__()
    assert not store.exists(address)
    assert not list(store.storage.objects.temporary.iterdir())


def test_modes(store: DvcArtifactStore) -> None:
    address = write(store, artifact_address() + "/data", b"one")
    with store.open(address, "ab") as file:
        file.write(b" two")
    assert read(store, address) == b"one two"
    with store.open(address, "r+b") as file:
        file.write(b"ONE")
    assert read(store, address) == b"ONE two"
    write(store, address, b"new")
    assert read(store, address) == b"new"
    with pytest.raises(FileExistsError):
        store.open(address, "x")
    with store.open(address + "2", "x") as file:
        file.write("made")
    with store.open(address + "3", "a") as file:
        file.write("made")
    assert read(store, address + "2") == read(store, address + "3") == b"made"
    for mode in ("r", "rb", "r+"):
        with pytest.raises(FileNotFoundError):
            store.open(address + "4", mode)
    with pytest.raises(IsADirectoryError):
        store.open(os.path.dirname(address))


def test_writers_that_seek_and_tell(store: DvcArtifactStore) -> None:
    """Zip, NumPy and Arrow go back to write headers; Arrow closes the file itself."""
    import numpy as np
    import pandas as pd

    folder = artifact_address()
    frame = pd.DataFrame({"a": [1, 2, 3]})
    with store.open(f"{folder}/frame.parquet", "wb") as file:
        frame.to_parquet(file)
    with store.open(f"{folder}/arrays.npz", "wb") as file:
        np.savez(file, a=np.arange(5))
    with store.open(f"{folder}/frame.parquet", "rb") as file:
        pd.testing.assert_frame_equal(pd.read_parquet(file), frame)
    with store.open(f"{folder}/arrays.npz", "rb") as file:
        assert np.load(file)["a"].tolist() == [0, 1, 2, 3, 4]


def test_stat_and_size(store: DvcArtifactStore) -> None:
    folder = artifact_address()
    address = write(store, f"{folder}/b/data", b"12345")
    status = store.stat(address)
    assert stat.S_ISREG(status.st_mode)
    assert (status.st_size, store.size(address)) == (5, 5)
    assert status.st_mtime > 1.7e9
    assert stat.S_ISDIR(store.stat(folder).st_mode)
    write(store, f"{folder}/other", b"123")
    assert store.size(folder) == fileio.size(folder) == 8
    for operation in (store.stat, store.size):
        with pytest.raises(FileNotFoundError):
            operation(f"{folder}/none")


def test_copy_rename_remove(store: DvcArtifactStore) -> None:
    folder, other = artifact_address(), artifact_address()
    source = write(store, f"{folder}/source", b"source")
    target = write(store, f"{other}/target", b"target")
    for operation in (store.copyfile, store.rename):
        with pytest.raises(FileExistsError):
            operation(source, target)
        with pytest.raises(FileNotFoundError):
            operation(f"{folder}/none", f"{folder}/new")
    store.copyfile(source, target, overwrite=True)
    assert read(store, source) == read(store, target) == b"source"
    write(store, source, b"changed")
    assert read(store, target) == b"source"
    store.rename(source, target, overwrite=True)
    assert not store.exists(source)
    assert read(store, target) == b"changed"
    store.remove(target)
    assert not store.exists(target)
    assert not store.exists(other)
    with pytest.raises(FileNotFoundError):
        store.remove(target)
    write(store, target, b"again")
    assert read(store, target) == b"again"


def test_a_file_of_a_batch_can_be_replaced_removed_and_written_anew(store: DvcArtifactStore, tmp_path: Path) -> None:
    folder = artifact_address()
    store.put_folder(folder_of(tmp_path / "made", FILES), folder)
    write(store, f"{folder}/a.txt", b"other")
    store.remove(f"{folder}/b/c.bin")
    found = contents(store, folder)
    assert found == {name: content for name, content in FILES.items() if name != "b/c.bin"} | {"a.txt": b"other"}
    store.remove(f"{folder}/a.txt")
    assert not store.exists(f"{folder}/a.txt"), "the older one does not come to light"
    write(store, f"{folder}/b/c.bin", b"back")
    assert read(store, f"{folder}/b/c.bin") == b"back"


# -- folders -----------------------------------------------------------------------------------------------------------


def test_folders(store: DvcArtifactStore, tmp_path: Path) -> None:
    folder = artifact_address()
    assert not store.exists(folder)
    store.makedirs(folder)
    assert store.isdir(folder)
    assert store.exists(folder)
    assert store.listdir(folder) == []
    store.mkdir(f"{folder}/sub")
    assert store.listdir(folder) == ["sub"]
    store.put_folder(folder_of(tmp_path / "made", FILES), folder)
    assert store.listdir(folder) == ["a.txt", "b", "empty", "sub"]
    assert store.listdir(f"{folder}/b") == ["c.bin", "d", "same.txt"]
    assert store.isdir(f"{folder}/b/d")
    assert not store.isdir(f"{folder}/a.txt")
    assert not store.isdir(f"{folder}/b/d/e")
    walked = list(store.walk(folder))
    assert walked[0] == (folder, ["b", "sub"], ["a.txt", "empty"])
    assert (f"{folder}/b", ["d"], ["c.bin", "same.txt"]) in walked
    assert list(store.walk(folder, topdown=False)) == walked[::-1]
    with pytest.raises(NotADirectoryError):
        store.listdir(f"{folder}/a.txt")
    with pytest.raises(FileNotFoundError):
        store.listdir(f"{folder}/none")
    with pytest.raises(FileExistsError):
        store.makedirs(f"{folder}/a.txt")
    errors: list[OSError] = []
    assert list(store.walk(f"{folder}/none", onerror=errors.append)) == []
    assert len(errors) == 1


def test_folders_above_artifacts(store: DvcArtifactStore) -> None:
    first, second = artifact_address("one"), artifact_address("two")
    write(store, f"{first}/a")
    write(store, f"{second}/a")
    write(store, "dvc://artifacts/top.txt")
    assert store.listdir("dvc://artifacts") == ["step", "top.txt"]
    assert store.listdir("dvc://artifacts/step") == ["one", "two"]
    assert store.isdir("dvc://artifacts/step/one")
    assert not store.exists("dvc://artifacts/ste")
    store.rmtree("dvc://artifacts/step/one")
    assert store.listdir("dvc://artifacts/step") == ["two"]
    assert read(store, f"{second}/a") == b"content"


def test_glob(store: DvcArtifactStore, tmp_path: Path) -> None:
    folder = artifact_address()
    store.put_folder(folder_of(tmp_path / "made", FILES), folder)

    def matches(pattern: str) -> list[str]:
        return [found[len(folder) + 1 :] for found in store.glob(f"{folder}/{pattern}")]

    assert matches("*.txt") == ["a.txt"]
    assert matches("**/*.txt") == ["a.txt", "b/d/e.txt", "b/same.txt"]
    assert matches("b/?.bin") == ["b/c.bin"]
    assert matches("b/*") == ["b/c.bin", "b/d", "b/same.txt"]
    assert matches("a.txt") == ["a.txt"]
    assert matches("none/*") == matches("none") == []
    assert store.glob("dvc://artifacts/*/output/*/*/a.txt") == [f"{folder}/a.txt"]


def test_rename_and_remove_folders(store: DvcArtifactStore, tmp_path: Path) -> None:
    folder, other = artifact_address(), artifact_address()
    store.put_folder(folder_of(tmp_path / "made", FILES), folder)
    store.rename(f"{folder}/b", f"{folder}/z")
    assert store.listdir(folder) == ["a.txt", "empty", "z"]
    write(store, f"{other}/left-over")
    store.rename(folder, other, overwrite=True)
    assert not store.exists(folder)
    moved = {name.replace("b/", "z/", 1) if name.startswith("b/") else name: data for name, data in FILES.items()}
    assert contents(store, other) == moved
    with pytest.raises(NotADirectoryError):
        store.rmtree(f"{other}/a.txt")
    store.rmtree(other)
    assert not store.exists(other)
    with pytest.raises(FileNotFoundError):
        store.rmtree(other)


def test_zenml_own_file_operations_reach_the_store(store: DvcArtifactStore, tmp_path: Path) -> None:
    folder, local = artifact_address(), folder_of(tmp_path / "made", FILES)
    copy_dir(str(local), folder)
    assert contents(store, folder) == FILES
    copy_dir(folder, str(tmp_path / "back"))
    assert (tmp_path / "back" / "b" / "c.bin").read_bytes() == FILES["b/c.bin"]
    fileio.copy(f"{folder}/a.txt", f"{folder}/copy.txt")
    assert fileio.listdir(folder) == ["a.txt", "b", "copy.txt", "empty"]
    fileio.rmtree(folder)
    assert not fileio.exists(folder)


@pytest.mark.parametrize(
    "address", ["dvc://other/a", "dvc://artifacts-two/a", "dvc://artifacts/../a", "/tmp/a", "s3://a"]
)
def test_addresses_outside_are_refused(store: DvcArtifactStore, address: str) -> None:
    for operation in (store.exists, store.open, store.listdir, store.rmtree, store.makedirs):
        with pytest.raises(FileNotFoundError, match="outside"):
            operation(address)


def test_an_address_that_went_through_pathlib(store: DvcArtifactStore) -> None:
    address = write(store, artifact_address() + "/a")
    assert read(store, str(Path(address))) == b"content"


def test_names_with_unusual_characters(store: DvcArtifactStore) -> None:
    folder = artifact_address()
    for name in ("with space", "ümlaut", "[bracket]*?", "a#b%20c", "new\nline"):
        write(store, f"{folder}/{name}", name.encode())
        assert read(store, f"{folder}/{name}") == name.encode()
    assert len(store.listdir(folder)) == 5


# -- batches, objects, machines ----------------------------------------------------------------------------------------


def test_a_folder_comes_back_and_is_one_entry(store: DvcArtifactStore, tmp_path: Path) -> None:
    folder = artifact_address()
    store.put_folder(folder_of(tmp_path / "made", FILES), folder)
    store.get_folder(folder, tmp_path / "back")
    back = {path.relative_to(tmp_path / "back").as_posix(): path for path in (tmp_path / "back").rglob("*")}
    assert {name: path.read_bytes() for name, path in back.items() if path.is_file()} == FILES
    assert len(store.storage.index.entries(folder.removeprefix("dvc://artifacts/"))) == 1
    back["a.txt"].write_bytes(b"mine to change")
    assert read(store, f"{folder}/a.txt") == b"a"
    with pytest.raises(FileNotFoundError):
        store.get_folder(artifact_address(), tmp_path / "none")


def test_equal_content_is_one_object(store: DvcArtifactStore) -> None:
    addresses = [write(store, artifact_address() + "/a", b"the same") for _ in range(3)]
    keys = list(store.storage.objects.remote.fs.find(store.storage.objects.remote.path))
    assert len(keys) == 1
    assert len(addresses) == 3


def test_another_machine_with_an_empty_disk_reads_everything(machine: Machine, tmp_path: Path) -> None:
    first, second = machine("first"), machine("second")
    folder, log = artifact_address(), "dvc://artifacts/logs/one.log"
    first.put_folder(folder_of(tmp_path / "made", FILES), folder)
    write(first, f"{folder}/page.html", b"<html>")
    write(first, log, b"line")
    assert contents(second, folder) == FILES | {"page.html": b"<html>"}
    assert read(second, log) == b"line"
    write(second, log, b"line two")
    assert read(first, log) == b"line two", "what another machine writes is seen"


def test_a_deleted_cache_is_filled_again(store: DvcArtifactStore, tmp_path: Path) -> None:
    import shutil

    address = write(store, artifact_address() + "/a", b"kept in the remote")
    shutil.rmtree(tmp_path / "first")
    assert read(store, address) == b"kept in the remote"


def test_a_damaged_cached_object_is_noticed_and_fetched_again(machine: Machine) -> None:
    """Also where its size and DVC's read-only bit say that it is whole."""
    first = machine("first")
    address = write(first, artifact_address() + "/a", b"undamaged")
    again = machine("first", grace_hours=25)  # another process' view: nothing is known to be whole
    for reader in (first, again):
        (cached,) = (path for path in Path(first.storage.objects.cache.path).rglob("*") if path.is_file())
        cached.chmod(0o644)
        cached.write_bytes(b"dam-aged!")
        cached.chmod(0o444)
        assert read(reader, address) == b"undamaged"


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_an_object_lost_in_the_remote_is_an_error_that_says_what_to_do(machine: Machine, harm: str) -> None:
    first, second = machine("first"), machine("second")
    folder = artifact_address()
    address = write(first, f"{folder}/weights.bin", b"weights")
    remote = first.storage.objects.remote
    (key,) = remote.fs.find(remote.path)
    md5 = remote.path_to_oid(key)
    remote.fs.remove(key)
    if harm == "damaged":
        remote.fs.pipe_file(key, b"we|ghts")
    for operation in (lambda: read(second, address), lambda: second.get_folder(folder, "unused")):
        with pytest.raises(ArtifactStoreError) as error:
            operation()
        for word in (folder, "weights.bin", md5, harm, "--no-cache", remote.path):
            assert word in str(error.value)
    assert read(first, address) == b"weights", "this machine has it still"
    write(first, artifact_address() + "/weights.bin", b"weights")
    if harm == "missing":
        assert read(second, address) == b"weights", "written again, it is put again"


def test_an_object_cut_off_in_the_remote_is_put_again(machine: Machine) -> None:
    first, second = machine("first"), machine("second")
    address = write(first, artifact_address() + "/a", b"a long content")
    remote = first.storage.objects.remote
    (key,) = remote.fs.find(remote.path)
    remote.fs.remove(key)
    remote.fs.pipe_file(key, b"a long")
    write(first, artifact_address() + "/a", b"a long content")
    assert read(second, address) == b"a long content"


def test_threads_write_and_read_at_once(store: DvcArtifactStore) -> None:
    folder, failures = artifact_address(), []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                address = write(store, f"{folder}/{number}/{turn}", f"{number}.{turn % 2}".encode())
                assert read(store, address) == f"{number}.{turn % 2}".encode()
                store.listdir(folder)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(contents(store, folder)) == 30


WRITER = """
import sys
from pathlib import Path
from stacks.flavors import dvc_artifact_store
from tests.stacks.conftest import make_store, write
dvc_artifact_store.database = lambda: "this database"
store = make_store(Path(sys.argv[1]), sys.argv[2])
for turn in range(20):
    write(store, f"{sys.argv[3]}/shared", f"{sys.argv[4]} {turn}".encode() * 1000)
    write(store, f"{sys.argv[3]}/{sys.argv[4]}-{turn}", b"same content")
"""


def test_processes_write_at_once_into_one_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, remote, cache = artifact_address(), str(tmp_path / "remote"), tmp_path / "cache"
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    command = [sys.executable, "-c", WRITER, str(cache), remote, folder]
    processes = [subprocess.Popen([*command, name], env=environment, cwd=root) for name in ("one", "two")]
    reader = make_store(tmp_path / "reader", remote)
    seen = set()
    while any(process.poll() is None for process in processes):
        time.sleep(0.02)
        if reader.exists(f"{folder}/shared"):
            content = read(reader, f"{folder}/shared")
            words = content.split()
            seen.add(content)
            assert content == content[: len(content) // 1000] * 1000, "never a mixture"
            assert len(words) > 1
    assert [process.returncode for process in processes] == [0, 0]
    found = contents(reader, folder)
    assert found.keys() == {"shared", *(f"{name}-{turn}" for name in ("one", "two") for turn in range(20))}
    assert found["shared"] in {f"{name} 19".encode() * 1000 for name in ("one", "two")}
    assert seen


# -- configuration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "files", "files/md5", "runs", "ab", "../up", "/top", "a//b", "."])
def test_a_prefix_where_data_versions_are_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        DvcArtifactStoreConfig(prefix=prefix)


def test_what_cannot_be_used_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"'foo'.*DVC knows.*s3"):
        make_store(tmp_path, "foo://bucket").exists("dvc://artifacts/a")
    with pytest.raises(ConfigError, match="dvc-s3"):
        make_store(tmp_path, "s3://bucket/folder").exists("dvc://artifacts/a")
    with pytest.raises(ConfigError, match="colour"):
        make_store(tmp_path, str(tmp_path), options={"colour": "red"}).exists("dvc://artifacts/a")
    monkeypatch.delenv("CLIP_HAR_WORKSPACE", raising=False)
    with pytest.raises(ConfigError, match="CLIP_HAR_WORKSPACE"):
        make_store(tmp_path, "artifact-remote").exists("dvc://artifacts/a")


def test_relative_folders_are_in_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: Machine
) -> None:
    monkeypatch.setenv("CLIP_HAR_WORKSPACE", str(tmp_path / "workspace"))
    write(make_store(Path("artifact-cache"), "artifact-remote"), artifact_address() + "/a")
    workspace = tmp_path / "workspace"
    assert sorted(path.name for path in workspace.iterdir()) == ["artifact-cache", "artifact-remote"]
    assert (workspace / "artifact-remote" / "zenml-artifacts" / "files" / "md5").is_dir()


@pytest.mark.parametrize(
    ("folder", "artifact"),
    [
        (
            "step/out/9f0e9b6a-3c1d-4e7f-8a52-0123456789ab/01234567",
            "step/out/9f0e9b6a-3c1d-4e7f-8a52-0123456789ab/01234567",
        ),
        (
            "step/out/9f0e9b6a-3c1d-4e7f-8a52-0123456789ab/01234567/a/b",
            "step/out/9f0e9b6a-3c1d-4e7f-8a52-0123456789ab/01234567",
        ),
        ("logs/9f0e9b6a-3c1d-4e7f-8a52-0123456789ab", "logs/9f0e9b6a-3c1d-4e7f-8a52-0123456789ab"),
        ("x/9f0e9b6a-3c1d-4e7f-8a52-0123456789ab/sub/deep", "x/9f0e9b6a-3c1d-4e7f-8a52-0123456789ab"),
        ("plain/folder/deep", "plain"),
        ("", ""),
    ],
)
def test_what_counts_as_one_artifact(folder: str, artifact: str) -> None:
    assert artifact_of(folder) == artifact
