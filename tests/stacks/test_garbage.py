"""Garbage collection removes what ZenML does not know, and nothing else."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import pytest

from stacks.flavors import dvc_artifact_store, garbage
from stacks.flavors.artifact_index import ArtifactStoreError
from stacks.flavors.dvc_artifact_store import DvcArtifactStore
from stacks.flavors.garbage import Collected, collect_garbage
from tests.stacks.conftest import Machine, artifact_address, contents, folder_of, make_store, read, write

NOTHING = Collected(files=0, objects=0, bytes=0, entries=0, cached=0)
DAY = 24 * 3600.0


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Addresses that ZenML knows; to be filled."""
    addresses: set[str] = set()
    monkeypatch.setattr(
        garbage,
        "_known_to_zenml",
        lambda store: lambda path: any(f"dvc://artifacts/{path}/".startswith(f"{address}/") for address in addresses),
    )
    return addresses


def objects_in(store: DvcArtifactStore) -> int:
    remote = store.storage.objects.remote
    return len(list(remote.fs.find(remote.path)))


def test_what_zenml_does_not_know_goes_and_the_rest_stays(machine: Machine, known: set[str], tmp_path: Path) -> None:
    store = machine()
    kept, dropped = artifact_address(), artifact_address()
    known.add(kept)
    store.makedirs(dropped)
    store.put_folder(folder_of(tmp_path / "kept", {"a": b"shared", "b": b"kept"}), kept)
    store.put_folder(folder_of(tmp_path / "dropped", {"a": b"shared", "c": b"dropped", "d": b"gone"}), dropped)
    assert collect_garbage(store) == NOTHING, "all is younger than the grace period"
    would = collect_garbage(store, dry_run=True, grace=0)
    assert would == Collected(files=3, objects=2, bytes=11, entries=0, cached=2)
    assert contents(store, dropped) == {"a": b"shared", "c": b"dropped", "d": b"gone"}
    assert collect_garbage(store, grace=0) == would
    assert not store.exists(dropped)
    assert contents(machine("second"), kept) == {"a": b"shared", "b": b"kept"}
    assert objects_in(store) == 2
    assert collect_garbage(store, grace=0) == NOTHING


def test_what_was_removed_or_replaced_goes(machine: Machine, known: set[str], tmp_path: Path) -> None:
    store, folder = machine(), artifact_address()
    known.add(folder)
    store.put_folder(folder_of(tmp_path / "made", {"a": b"a", "b": b"b"}), folder)
    write(store, f"{folder}/a", b"other")
    store.remove(f"{folder}/b")
    write(store, f"{folder}/log", b"1")
    write(store, f"{folder}/log", b"12")
    done = collect_garbage(store, grace=0)
    assert (done.files, done.objects, done.entries) == (0, 3, 3)
    assert contents(machine("second"), folder) == {"a": b"other", "log": b"12"}
    assert collect_garbage(store, grace=0) == NOTHING


def test_data_versions_in_the_same_remote_are_not_touched(tmp_path: Path, known: set[str], machine: Machine) -> None:
    """Nor does DVC's own collection of them touch artifacts."""
    from dvc_data.hashfile.db import get_odb
    from dvc_data.hashfile.gc import gc
    from dvc_objects.fs import localfs

    remote = tmp_path / "shared remote"
    data = get_odb(localfs, str(remote / "files" / "md5"), hash_name="md5")
    old_layout = get_odb(localfs, str(remote), hash_name="md5")
    for odb in (data, old_layout):
        odb.add_bytes("5d41402abc4b2a76b9719d911017c592", b"hello")
    store, folder = make_store(tmp_path / "cache", str(remote)), artifact_address()
    write(store, f"{folder}/a", b"an artifact")
    dropped = write(store, artifact_address() + "/hello", b"hello")
    known.add(folder)
    assert collect_garbage(store, grace=0).objects == 1
    assert not store.exists(dropped)
    assert data.exists("5d41402abc4b2a76b9719d911017c592")
    assert old_layout.exists("5d41402abc4b2a76b9719d911017c592")
    assert gc(data, []) == 1
    assert gc(old_layout, []) == 1
    assert read(make_store(tmp_path / "second", str(remote)), f"{folder}/a") == b"an artifact"


def test_what_another_database_wrote_stays_unless_asked_for(
    machine: Machine, known: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine()
    monkeypatch.setattr(dvc_artifact_store, "database", lambda: "another database")
    address = write(machine("other"), artifact_address() + "/a")
    monkeypatch.setattr(dvc_artifact_store, "database", lambda: "this database")
    assert collect_garbage(store, grace=0) == NOTHING
    assert read(store, address) == b"content"
    assert collect_garbage(store, grace=0, foreign=True).files == 1
    assert not store.exists(address)


def test_a_damaged_index_stops_it(machine: Machine, known: set[str]) -> None:
    store = machine()
    address = write(store, artifact_address() + "/a")
    fs, folder = store.storage.index.fs, store.storage.index.folder
    (key,) = fs.find(folder)
    fs.put_file(io.BytesIO(b'{"format": 1, "fil'), fs.join(fs.parent(key), f"{1:020d}-{'0' * 16}.json"))
    with pytest.raises(ArtifactStoreError, match=r"cannot be read, like .*-0000000000000000\.json"):
        collect_garbage(store, grace=0)
    assert read(store, address) == b"content"
    assert objects_in(store) == 1
    assert collect_garbage(store, dry_run=True) == NOTHING, "a young one may be half-written"


def test_what_interrupted_puts_left_goes(tmp_path: Path, known: set[str], machine: Machine) -> None:
    store = make_store(tmp_path / "cache", str(tmp_path / "remote"))
    write(store, artifact_address() + "/a")
    known.add("dvc://artifacts")
    (place,) = Path(store.storage.objects.remote.path).glob("*")
    (place / ".token.tmp").write_bytes(b"half")
    (store.storage.objects.temporary / "half").write_bytes(b"half")
    assert collect_garbage(store, grace=0).objects == 1
    assert [path.name for path in place.iterdir()] != [".token.tmp"]
    assert not list(store.storage.objects.temporary.iterdir())


def test_an_artifact_written_during_collection_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: Machine, known: set[str]
) -> None:
    """Its object lay there unused for days: it is found old when collection begins, and used again in the middle."""
    store = make_store(tmp_path / "cache", str(tmp_path / "remote"))
    with monkeypatch.context() as earlier:
        earlier.setattr(time, "time_ns", lambda: int((time.time() - 3 * DAY) * 1e9))
        write(store, artifact_address() + "/a", b"used again")
    for path in Path(store.storage.objects.remote.path).rglob("*"):
        os.utime(path, (time.time() - 3 * DAY,) * 2)
    new = artifact_address() + "/a"
    ask = garbage._still_referred_to

    def ask_and_be_overtaken(*arguments: Any) -> set[str]:
        """The index has been read for the last time; now another machine writes."""
        live = ask(*arguments)
        write(make_store(tmp_path / "other", str(tmp_path / "remote")), new, b"used again")
        return live

    monkeypatch.setattr(garbage, "_still_referred_to", ask_and_be_overtaken)
    done = collect_garbage(store)
    assert (done.files, done.objects) == (1, 0)
    assert read(make_store(tmp_path / "third", str(tmp_path / "remote")), new) == b"used again"


def test_logs_and_addresses_are_asked_of_zenml(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> None:
    import uuid
    from types import SimpleNamespace

    kept_log, lost_log, project = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    asked: list[Any] = []

    def get_logs(name: uuid.UUID, hydrate: bool) -> None:
        asked.append(name)
        if name != kept_log:
            raise KeyError(name)

    def list_versions(**filters: Any) -> Any:
        assert filters["uri"] == "startswith:dvc://artifacts/"
        assert filters["project"] == project
        page = filters.get("page", 1)
        uri = ["dvc://artifacts/step/out/one", "dvc://artifacts/by/hand.txt"][page - 1]
        return SimpleNamespace(items=[SimpleNamespace(uri=uri)], index=page, total_pages=2)

    client = SimpleNamespace(
        list_projects=lambda: SimpleNamespace(items=[SimpleNamespace(id=project)], index=1, total_pages=1),
        list_artifact_versions=list_versions,
        zen_store=SimpleNamespace(get_logs=get_logs),
    )
    monkeypatch.setattr("zenml.client.Client", lambda: client)
    is_known = garbage._known_to_zenml(machine())
    answers = {
        "step/out/one/data.json": True,
        "step/out/one/sub/data.json": True,
        "step/out/one-more/data.json": False,
        "by/hand.txt": True,
        f"logs/{kept_log}/1.log": True,
        f"logs/{kept_log}/2.log": True,
        f"logs/{lost_log}/1.log": False,
        "logs/other": False,
        "code_uploads/abc.tar.gz": True,
    }
    assert {path: is_known(path) for path in answers} == answers
    assert asked == [kept_log, lost_log], "each once"
