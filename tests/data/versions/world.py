"""Tiny photographs with a Manifest, for the tests of versions (and for their child processes)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from clip_har.data.manifest import SPLITS, Manifest
from clip_har.data.validation import Inspection, ValidationReport


def write_pictures(folder: Path, numbers: range, size: int = 900) -> None:
    """Files that differ from each other; nothing here looks inside them."""
    for number in numbers:
        file = folder / ("sitting" if number % 2 else "running") / f"{number:04d} ü.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(f"picture {number}".encode() * size)


def described(folder: Path) -> tuple[Manifest, ValidationReport, Inspection]:
    """What validation would say of the files in a folder."""
    rows, measures = [], []
    for number, file in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        data = file.read_bytes()
        identity = hashlib.sha256(data).hexdigest()
        uri, split = file.relative_to(folder).as_posix(), SPLITS[number % len(SPLITS)]
        rows.append((identity, uri, file.parent.name, split, identity, 40, 30, "JPEG", "folder", "source 1"))
        measures.append((identity, number, 0.5, 0.5, 0.5, len(data), ""))
    columns = ["id", "uri", "label", "split", "group", "width", "height", "format", "source", "data_revision"]
    manifest = Manifest(pd.DataFrame(rows, columns=columns), ("running", "sitting"), str(folder))
    rejected = pd.DataFrame(
        [("broken.jpg", "sitting", "unreadable", "cut off", "")], columns=["uri", "label", "reason", "detail", "id"]
    )
    return manifest, ValidationReport(len(rows) + 1, len(rows), rejected), Inspection.of_rows(measures)
