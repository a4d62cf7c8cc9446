"""Tombstones: what is deleted is so in every read at once, and leaves the disk when its file is next merged."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clip_har.capture import layout
from clip_har.capture.schema import VERSION, microseconds


@dataclass(frozen=True)
class Tombstone:
    """What one deletion took.

    Attributes:
        ids: of predictions.
        before: rows of an earlier time, in microseconds since 1970; None: of no time.
    """

    ids: frozenset[str] = frozenset()
    before: int | None = None


@dataclass(frozen=True)
class Deletions:
    """What is not to be read: all tombstones together."""

    tombstones: Mapping[str, Tombstone] = field(default_factory=dict)
    ids: frozenset[str] = frozenset()
    before: int | None = None

    @classmethod
    def of(cls, tombstones: Mapping[str, Tombstone]) -> Deletions:
        """These tombstones, by the names of their files."""
        ids = frozenset().union(*(one.ids for one in tombstones.values()))
        return cls(
            tombstones, ids, max((one.before for one in tombstones.values() if one.before is not None), default=None)
        )

    @classmethod
    def read(cls, folder: Path, names: Iterable[str]) -> Deletions:
        """What the files of these names say."""
        tombstones: dict[str, Tombstone] = {}
        for name in names:
            value = layout.read_json(folder / name)
            if value is not None:  # else merging has applied it and taken it away
                before = microseconds(value["before"]) if "before" in value else None
                tombstones[name] = Tombstone(frozenset(value.get("ids", ())), before)
        return cls.of(tombstones)

    def without(self, names: Collection[str]) -> Deletions:
        """All but the tombstones of these names."""
        return Deletions.of({name: one for name, one in self.tombstones.items() if name not in names})

    def keep(self, ids: list[str], times: np.ndarray) -> np.ndarray:
        """Which rows are not deleted: bool [n].

        Args:
            ids: of the rows.
            times: int64 [n], microseconds since 1970.
        """
        kept = np.ones(len(times), bool) if self.before is None else times >= self.before
        if self.ids:
            kept &= np.fromiter((one not in self.ids for one in ids), bool, len(ids))
        return kept

    def takes(self, prediction_id: str, time: int) -> bool:
        """Whether a row is deleted."""
        return prediction_id in self.ids or (self.before is not None and time < self.before)


def delete_ids(folder: Path, ids: Iterable[str]) -> None:
    """Delete rows by id, whether they are there already or still wait to be written."""
    _write(folder, {"ids": sorted(set(ids))})


def delete_before(folder: Path, seconds: float) -> None:
    """Delete rows of an earlier time, in seconds since 1970."""
    _write(folder, {"before": seconds})


def _write(folder: Path, value: dict[str, Any]) -> None:
    layout.write_durably(folder / layout.tombstone_name(), json.dumps({"format": VERSION, **value}))
