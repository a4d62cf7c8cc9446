"""A store of Bentos in the layout of BentoML's: `<home>/bentos/<name>/<version>/` and `<name>/latest` beside them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from clip_har.storage import write_atomic

FOLDER = "bentoml"
_LATEST = "latest"


@dataclass(frozen=True)
class StoredBento:
    """A Bento of a store: its tag's parts, the model in it, and its folder."""

    name: str
    version: str
    model_id: str
    path: Path


class BentoStore:
    """The Bentos below a BENTOML_HOME.

    Args:
        home: that folder.
    """

    def __init__(self, home: str | Path) -> None:
        self.home = Path(home).absolute()

    @classmethod
    def of(cls, workspace: str | Path) -> BentoStore:
        """The store of a workspace."""
        return cls(Path(workspace) / FOLDER)

    def place(self, name: str, version: str) -> Path:
        """Where a Bento is, or would be."""
        return self.home / "bentos" / name / version

    def bentos(self) -> Iterator[StoredBento]:
        """Ours among the Bentos, the newest first: those that name their model."""
        files = (self.home / "bentos").glob("*/*/bento.yaml")
        for file in sorted(files, key=lambda file: (file.stat().st_mtime, file), reverse=True):
            labels = yaml.safe_load(file.read_text(encoding="utf-8")).get("labels") or {}
            if model_id := labels.get("model_id"):
                yield StoredBento(file.parents[1].name, file.parent.name, model_id, file.parent)

    def latest(self, name: str) -> str | None:
        """The version that `name:latest` means."""
        try:
            return (self.home / "bentos" / name / _LATEST).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def point_latest(self, name: str, version: str) -> bool:
        """Let `name:latest` mean this version; whether it did not already."""
        if self.latest(name) == version:
            return False
        write_atomic(self.home / "bentos" / name / _LATEST, version)
        return True

    def take(self, home: Path, name: str, version: str) -> None:
        """Move a finished Bento here from another store on the same disk, at once."""
        place = self.place(name, version)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.rename(home / "bentos" / name / version, place)

    def clear_leftovers(self) -> None:
        """Remove what a killed build left."""
        for path in self.home.glob("building-*"):
            shutil.rmtree(path, ignore_errors=True)
