"""A tracker that keeps what it is told in memory, and fails when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clip_har.tracking.tracker import RunIdentity


class Server:
    """What trackers have recorded, by run id; all that are made with `tracker` write into it.

    Args:
        fails: called before each call with the call's name and number (of that name, from 1); may raise, or block.
    """

    def __init__(self, fails: Callable[[str, int], None] | None = None) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple] = []
        self.made = 0
        self.fails = fails or (lambda name, number: None)
        self.lock = threading.Lock()

    def tracker(self) -> MemoryTracker:
        self.made += 1
        return MemoryTracker(self)

    def names(self) -> list[str]:
        """Names of the calls that went well, without repetitions in a row."""
        names = [name for name, *_ in self.calls]
        return [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]


class MemoryTracker:
    """See `Server`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.counts: dict[str, int] = {}
        self.run: dict[str, Any] = {}

    def _call(self, name: str, *arguments: Any) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        self.server.fails(name, self.counts[name])
        with self.server.lock:
            self.server.calls.append((name, *arguments))

    def start(self, run: RunIdentity) -> None:
        self._call("start", run)
        empty = {"params": {}, "metrics": {}, "files": {}, "tables": {}, "tags": {}, "status": "running"}
        self.run = self.server.runs.setdefault(run.id, empty)
        self.run["identity"] = run

    def params(self, values: dict[str, Any]) -> None:
        self._call("params", values)
        self.run["params"] = values | self.run["params"]

    def metrics(self, values: dict[str, float], step: int, time: float) -> None:
        self._call("metrics", values, step, time)
        self.run["metrics"] |= {(key, step, time): value for key, value in values.items()}

    def figure(self, name: str, png: bytes) -> None:
        self._call("figure", name)
        self.run["files"][f"figures/{name}.png"] = png

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        self._call("table", name)
        self.run["tables"][name] = (columns, rows)

    def artifact(self, path: Path, folder: str = "") -> None:
        self._call("artifact", path.name, folder)
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        for file in files:
            self.run["files"][f"{folder}/{file.relative_to(path.parent).as_posix()}".lstrip("/")] = file.read_bytes()

    def tags(self, values: dict[str, str]) -> None:
        self._call("tags", values)
        self.run["tags"] |= values

    def model(self, path: Path, name: str) -> None:
        self._call("model", path, name)
        for file in path.rglob("*"):
            if file.is_file():
                self.run["files"][f"models/{name}/{file.relative_to(path).as_posix()}"] = file.read_bytes()

    def finish(self, succeeded: bool = True) -> None:
        self._call("finish", succeeded)
        self.run["status"] = "finished" if succeeded else "failed"

    def link(self) -> str:
        return "http://tracker"
