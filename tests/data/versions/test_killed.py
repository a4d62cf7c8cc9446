"""SIGKILL at any moment of publishing and opening, then the same again: nothing lost, nothing twice, nothing in the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from clip_har.data.versions.store import VersionStore
from tests.conftest import PROJECT
from tests.data.versions.world import described, write_pictures


class Publisher:
    """Publishes and opens in a process that can be killed (publishing.py)."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.data.versions.publishing"]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT)

    def start(self, workspace: Path, photographs: Path, tag: str) -> int:
        self.server.stdin.write(json.dumps([str(workspace), str(photographs), tag]) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def finish(self, *arguments: Path | str) -> float:
        """Seconds that it took."""
        self.start(*arguments)
        started = time.monotonic()
        assert int(self.server.stdout.readline()) == 0
        return time.monotonic() - started

    def kill_after(self, seconds: float, *arguments: Path | str) -> bool:
        """Whether it was still at work."""
        child = self.start(*arguments)
        time.sleep(seconds)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        return int(self.server.stdout.readline()) == signal.SIGKILL


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher()
    yield publisher
    publisher.server.communicate()


def state_of(store: VersionStore, tag: str) -> tuple[str, str, dict[str, bytes]]:
    data = store.open(store.resolve(tag))
    pictures = {
        uri: path.read_bytes() for uri, path in zip(data.manifest.frame["uri"], data.manifest.paths, strict=True)
    }
    return data.manifest.content_hash, data.version.dvc_hash, pictures


def test_killed_anywhere_and_run_again(tmp_path: Path, publisher: Publisher) -> None:
    photographs, workspace = tmp_path / "photographs", tmp_path / "workspace"
    write_pictures(photographs, range(40))
    store = VersionStore(workspace)
    undisturbed = VersionStore(tmp_path / "undisturbed")
    seconds = publisher.finish(undisturbed.workspace, photographs, "v1")
    chance = random.Random(os.urandom(8))
    killed = [
        publisher.kill_after(seconds * (i + chance.random()) / 12, workspace, photographs, "v1") for i in range(10)
    ]
    assert sum(killed) >= 3, f"killed at work: {killed}, of {seconds:.2f} s"
    publisher.finish(workspace, photographs, "v1")
    assert state_of(store, "v1") == state_of(undisturbed, "v1")
    assert [version.tags for version in store.versions()] == [("v1",)]

    first = state_of(store, "v1")
    write_pictures(photographs, range(40, 60))
    (photographs / "running" / "0000 ü.jpg").unlink()
    for _ in range(6):
        publisher.kill_after(seconds * chance.random(), workspace, photographs, "v2")
    for place in (workspace, undisturbed.workspace):
        publisher.finish(place, photographs, "v2")
    assert state_of(store, "v2") == state_of(undisturbed, "v2")
    assert state_of(store, "v1") == first
    assert [version.tags for version in store.versions()] == [("v2",), ("v1",)]
    assert described(photographs)[0].content_hash == state_of(store, "v2")[0]
    left = [path for path in workspace.rglob("*") if ".partial" in path.name or path.name.startswith(".description.")]
    assert left == []
    assert list((store.repository / ".dvc/tmp").glob("incoming/*")) == []


def test_two_at_once_take_turns(tmp_path: Path) -> None:
    photographs, workspace = tmp_path / "photographs", tmp_path / "workspace"
    write_pictures(photographs, range(20))
    publishers = [Publisher() for _ in range(2)]
    for publisher in publishers:
        publisher.start(workspace, photographs, "v1")
    assert [publisher.server.communicate()[0] for publisher in publishers] == ["0\n"] * 2
    assert [version.tags for version in VersionStore(workspace).versions()] == [("v1",)]
