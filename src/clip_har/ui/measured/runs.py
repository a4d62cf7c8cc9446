"""Published runs beside the app: whose they are, and what they measured. Files that are none of ours are passed over."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LARGEST = 50_000_000
_OF_AN_EVALUATION = {"labels", "confusion", "per_class", "temperature", "uncalibrated", "calibrated", "wrong", "right"}


@dataclass(frozen=True)
class Run:
    """A published run.

    Attributes:
        folder: `outputs/<run>`.
        record: its `run.json`.
        metrics: its `metrics.json`.
    """

    folder: Path
    record: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def model_id(self) -> str:
        """Of the model that it is about; empty if it is about none."""
        return str(self.record.get("model_id") or "")

    @property
    def figures(self) -> dict[str, Any] | None:
        """Its evaluation's figures; None if it has none."""
        return figures_in(self.metrics)


def figures_in(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """The part of `metrics.json` that an evaluation wrote: the one that names its own split."""
    return next(
        (part for split, part in metrics.items() if isinstance(part, dict) and part.get("split") == split), None
    )


def published_runs(outputs: Path) -> list[Run]:
    """The runs in a folder, the newest first; those of `dvc.yaml`'s stages and of the data are one folder further down."""
    found = []
    for pattern in ("*/run.json", "*/*/run.json"):
        for file in outputs.glob(pattern):
            parts = file.relative_to(outputs).parts
            if "latest" in parts or any(part.startswith(".") for part in parts):
                continue
            record, metrics = read_json(file), read_json(file.parent / "metrics.json")
            if isinstance(record, dict) and isinstance(metrics, dict):
                found.append(Run(file.parent, record, metrics))
    return sorted(
        found, key=lambda run: (str(run.record.get("started") or run.folder.name), run.folder.name), reverse=True
    )


def evaluation_of(workspace: Path, model_id: str, split: str | None = None) -> dict[str, Any] | None:
    """The newest whole evaluation of a model in the workspace's artifact store: confusion, reliability, examples.

    Args:
        split: that it was measured on; any if None.
    """
    files = [*workspace.glob("artifacts/*/evaluation/*/*/evaluation.json")]
    for file in sorted(files, key=_changed, reverse=True):
        found = read_json(file)
        if is_evaluation(found, model_id) and split in (None, found.get("split")):
            return found
    return None


def is_evaluation(found: Any, model_id: str) -> bool:
    """Whether this is a model's whole evaluation, and not another's, or a part of one."""
    return isinstance(found, dict) and found.get("model_id") == model_id and found.keys() >= _OF_AN_EVALUATION


def confusion_of(folder: Path) -> tuple[list[str], list[list[int]]] | None:
    """Labels and counts [true][predicted] of a run's `plots/confusion.csv`; None if it has none."""
    rows = read_csv(folder / "plots" / "confusion.csv")
    try:
        pairs = [(row["actual"], row["predicted"]) for row in rows]
    except KeyError:
        return None
    labels = sorted({label for pair in pairs for label in pair})
    place = {label: number for number, label in enumerate(labels)}
    counts = [[0] * len(labels) for _ in labels]
    for actual, predicted in pairs:
        counts[place[actual]][place[predicted]] += 1
    return (labels, counts) if labels else None


def read_json(file: Path) -> Any:
    """What a file says; None if it is not there, or is no JSON."""
    try:
        if file.stat().st_size > _LARGEST:
            return None
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_csv(file: Path) -> list[dict[str, str]]:
    """Rows of a table; none if it is not there, or cannot be read."""
    try:
        with open(file, encoding="utf-8", newline="") as opened:
            return list(csv.DictReader(opened))
    except (OSError, ValueError, csv.Error):
        return []


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
