"""DVC-backed stores in folders of their own, and what they share: a remote, as two machines do."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from zenml.enums import StackComponentType
from zenml.io.filesystem_registry import default_filesystem_registry

from stacks.flavors import dvc_artifact_store
from stacks.flavors.dvc_artifact_store import DvcArtifactStore, DvcArtifactStoreConfig

Machine = Callable[..., DvcArtifactStore]


def make_store(cache: Path, remote: str, **settings: Any) -> DvcArtifactStore:
    config = DvcArtifactStoreConfig(remote=remote, cache=str(cache), **settings)
    now = datetime(2026, 1, 1)
    return DvcArtifactStore(
        name="store",
        id=uuid.uuid4(),
        config=config,
        flavor="dvc",
        type=StackComponentType.ARTIFACT_STORE,
        user=None,
        created=now,
        updated=now,
    )


@pytest.fixture(params=["folder", "memory"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A remote's URL: a folder, and a file system that is not of this machine."""
    return str(tmp_path / "remote") if request.param == "folder" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def machine(remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Makes the store of a machine, by the machine's name; all have the same remote."""
    monkeypatch.setattr(dvc_artifact_store, "database", lambda: "this database")
    yield lambda name="first", **settings: make_store(tmp_path / name, remote, **settings)
    default_filesystem_registry._filesystems.pop("dvc://", None)


@pytest.fixture
def store(machine: Machine) -> DvcArtifactStore:
    return machine()


def artifact_address(output: str = "output") -> str:
    """A new address as ZenML makes them for a step's outputs."""
    return f"dvc://artifacts/step/{output}/{uuid.uuid4()}/{uuid.uuid4().hex[:8]}"


def write(store: DvcArtifactStore, address: str, content: bytes = b"content") -> str:
    with store.open(address, "wb") as file:
        file.write(content)
    return address


def read(store: DvcArtifactStore, address: str) -> bytes:
    with store.open(address, "rb") as file:
        return file.read()


def folder_of(place: Path, files: dict[str, bytes]) -> Path:
    """A local folder with files."""
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def contents(store: DvcArtifactStore, address: str) -> dict[str, bytes]:
    """Path in the folder → bytes, of all files."""
    found = {}
    for folder, _, files in store.walk(address):
        for name in files:
            found[f"{folder}/{name}"[len(address) + 1 :]] = read(store, f"{folder}/{name}")
    return found
