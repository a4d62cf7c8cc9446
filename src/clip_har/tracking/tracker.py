"""What a tracker does: it records one run. Keys, texts and run ids are made here once, so that all trackers have the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.hashing import sha256_bytes

PROJECT = "clip-har"
LONGEST_KEY = 250
"""MLflow's limit."""
LONGEST_TEXT = 6000
"""Of a param or a tag; MLflow's limit for params."""
_LONGEST_ID = 96


class RunIdentity(ComponentConfig):
    """Which run is recorded. Whoever has the same id, in whatever process, records into the same run."""

    id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=128, description="Stable; the trackers find the run by it."
    )
    name: str = Field(description="As people see it.")
    project: str = Field(PROJECT, description="MLflow's experiment and W&B's project, where a stack names no other.")
    parent: str | None = Field(None, description="Id of the run that this one lies in.")
    tags: dict[str, str] = Field({}, description="Recorded when the run starts.")

    @classmethod
    def of(
        cls, name: str, *, project: str = PROJECT, parent: str | None = None, tags: Mapping[str, str] | None = None
    ) -> RunIdentity:
        """The identity of a run whose name is its own (a pipeline run's): the id is made from the name."""
        return cls(id=run_id_of(name), name=name, project=project, parent=parent, tags=dict(tags or {}))

    def inner(self, name: str, tags: Mapping[str, str] | None = None) -> RunIdentity:
        """The identity of a run that lies in this one (a search's trial)."""
        full = f"{self.name} {name}"
        return RunIdentity.of(full, project=self.project, parent=self.id, tags=tags)


def run_id_of(name: str) -> str:
    """A run id of a name: its letters and digits, and a hash where that loses something that mattered."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if len(slug) <= _LONGEST_ID and re.fullmatch(r"[A-Za-z0-9 _.:-]*[A-Za-z0-9]", name):
        return slug
    return f"{slug[: _LONGEST_ID - 9]}-{sha256_bytes(name.encode())[:8]}".lstrip("-")


class Tracker(Protocol):
    """Records one run. Its methods are called one after another, by one thread, and may raise and take their time.

    Each may be called again with what it was called with before (after a failure, and when a journal is replayed): that
    changes nothing.

    A tracker may have more: `many_metrics(points)` takes a list of `(values, step, time)` at once; `leave()` lets go of
    a run that another process goes on with; and where the class has `durable = True`, what a method returned from is
    never delivered again.
    """

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Tracker:
        """The tracker that the settings of a stack's component describe."""

    def start(self, run: RunIdentity) -> None:
        """Open the run, or go on with it where there is one of that id already."""

    def params(self, values: dict[str, Any]) -> None:
        """Record settings, under flat keys; one that was recorded before stays as it is."""

    def metrics(self, values: dict[str, float], step: int, time: float) -> None:
        """Record figures at a step; `time` in seconds of the Unix clock."""

    def figure(self, name: str, png: bytes) -> None:
        """Record a picture: "lora/curves" becomes `figures/lora/curves.png`."""

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        """Record a table: "leaderboard" becomes `tables/leaderboard.json`."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Keep a file, or a folder with all that is in it, under its name below `folder`."""

    def tags(self, values: dict[str, str]) -> None:
        """Set tags; the newest value stays."""

    def model(self, path: Path, name: str) -> None:
        """Keep a model bundle's folder as `models/<name>`."""

    def finish(self, succeeded: bool = True) -> None:
        """Close the run."""

    def link(self) -> str | None:
        """Where a person sees the run."""


@lru_cache(maxsize=4096)
def normalised_key(key: str) -> str:
    """A key that every tracker takes: letters, digits and `_ - . /` and space; another becomes `_`.

    Labels are parts of keys, and hold anything. Parts between slashes are neither empty nor `.` or `..`, since MLflow
    reads keys as paths.
    """
    text = re.sub(r"[^\w\-./ ]", "_", str(key)).strip()
    parts = [part.strip() for part in text.split("/")]
    text = "/".join("_" * len(part) if set(part) <= {"."} else part for part in parts if part) or "_"
    return text if len(text) <= LONGEST_KEY else f"{text[: LONGEST_KEY - 9]}_{sha256_bytes(text.encode())[:8]}"


def normalised(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values under normalised keys; of keys that become alike, the later get a number."""
    named: dict[str, Any] = {}
    for key, value in values.items():
        name = wanted = normalised_key(key)
        number = 2
        while name in named:
            name, number = f"{wanted}_{number}", number + 1
        named[name] = value
    return named


def plain_params(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON values under flat, normalised keys; one whose text is too long becomes the beginning of it."""
    plain = json.loads(json.dumps(flatten(dict(values)), default=str))
    long = {key: str(value)[:LONGEST_TEXT] for key, value in plain.items() if len(str(value)) > LONGEST_TEXT}
    return normalised(plain | long)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys: `{"a": {"b": 1}}` → `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return flat


def table_json(columns: list[str], rows: list[list[Any]]) -> bytes:
    """The file that a table becomes, the same in every tracker: `{"columns": […], "data": [[…]]}`."""
    return json.dumps({"columns": columns, "data": rows}, ensure_ascii=False).encode()
