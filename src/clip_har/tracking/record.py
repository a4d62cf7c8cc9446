"""A published run, recorded with a tracker: parameters, figures, curves and files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from clip_har.runs import read_record
from clip_har.tracking.tracker import Guarded, Tracker, flatten


def record_run(
    make_tracker: Callable[[], Tracker | None],
    folder: Path,
    settings: str,
    histories: dict[str, list[dict[str, float]]],
) -> None:
    """Record what `folder` holds.

    Args:
        make_tracker: gives the tracker, or None to record nothing.
        settings: the composed configuration as YAML.
        histories: name of a candidate → its history; rows become points at their `step` (or their number).
    """
    guarded = Guarded(make_tracker)
    record = read_record(folder)
    tags = {
        key: str(record[key]) for key in ("model_id", "method", "data_hash", "code_hash", "run_id") if key in record
    }
    tags["git_revision"] = str(record["environment"]["git_revision"])
    guarded.start(record["run"], flatten(yaml.safe_load(settings)), tags)
    for name, history in histories.items():
        for number, row in enumerate(history):
            values = {f"{name}.{key}": value for key, value in row.items() if key not in ("step", "epoch")}
            guarded.metrics(values, int(row.get("step", number)))
    guarded.metrics(_numbers(json.loads((folder / "metrics.json").read_text())))
    for file in ("report.html", "metrics.json", "run.json"):
        guarded.artifact(folder / file)
    guarded.finish()


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """All figures with dotted names; an estimate is recorded under its own name."""
    numbers = {}
    for key, value in flatten(metrics).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers[key.removesuffix(".value")] = float(value)
    return numbers
