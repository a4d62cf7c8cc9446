"""A published run, recorded with the trackers of the active stack, and the run closed there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clip_har.runs import read_record
from clip_har.tracking.tracker import flatten
from stacks.tracking import finish_run, pipeline_outbox
from steps.curves import Row, points_of

Rows = Sequence[Mapping[str, Any]]
_TAGS = ("model_id", "method", "data_hash", "code_hash")
_FILES = ("report.html", "metrics.json", "run.json")


def record_published(
    folder: Path,
    *,
    histories: Mapping[str, tuple[str, Sequence[Row]]] | None = None,
    tables: Mapping[str, Rows] | None = None,
    figures: Callable[[], Mapping[str, bytes]] = dict,
    files: Sequence[str] = (),
    model: str | None = None,
) -> None:
    """Record what a run has published, and close it.

    Args:
        folder: the published run's.
        histories: part of the run → (the step that trains it, its history). They are recorded if that step was taken
            from the cache: one that ran has recorded its curves itself.
        tables: name → rows; what lies deeper in a row becomes columns of its own.
        figures: gives name → PNG; called if there is a tracker.
        files: of the folder, beside the report, the figures and the record.
        model: name of the folder's part that is the model (`bundle`, `backbone`).
    """
    outbox = pipeline_outbox()
    if outbox is None:
        return
    record = read_record(folder)
    cached = {step["name"] for step in record["steps"] if step["status"] == "cached"}
    for part, (step, history) in (histories or {}).items():
        if step in cached:
            for point in points_of(part, history):
                outbox.metrics(point.metrics, point.step)
    outbox.metrics(figures_of(json.loads((folder / "metrics.json").read_text(encoding="utf-8"))))
    for name, rows in (tables or {}).items():
        outbox.table(name, *_table_of(rows))
    for name, png in figures().items():
        outbox.figure(name, png)
    for file in (*_FILES, *files):
        outbox.artifact(folder / file)
    if model is not None:
        outbox.model(folder / model, model)
    outbox.tags({key: str(record[key]) for key in _TAGS if record.get(key) is not None})
    finish_run()


def _table_of(rows: Rows) -> tuple[list[str], list[list[Any]]]:
    """Columns in the order in which rows have them first, and the cells."""
    flat = [{name.removesuffix(".value"): value for name, value in flatten(dict(row)).items()} for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    return columns, [[row.get(name) for name in columns] for row in flat]


def figures_of(metrics: Mapping[str, Any], place: str = "") -> dict[str, float]:
    """The numbers of a run's `metrics.json` under keys with slashes; an estimate is recorded under its own name."""
    numbers: dict[str, float] = {}
    for key, value in metrics.items():
        path = place if key == "value" and place else f"{place}/{key}".lstrip("/")
        if isinstance(value, Mapping):
            numbers |= figures_of(value, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers[path] = float(value)
    return numbers
