"""W&B's own local file of a run (`*.wandb`), read back."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_OWN_FILES = {"config.yaml", "output.log", "requirements.txt", "wandb-metadata.json", "wandb-summary.json"}


@dataclass
class WandbRun:
    """What a file says.

    Attributes:
        folder: W&B's folder of this part of the run.
        history: a row for each `log`, as it was logged, with `_step` and `_timestamp`.
        files: paths below `files/` that belong to the run.
        exit_code: None if the process that recorded it did not end it.
    """

    folder: Path
    id: str = ""
    name: str = ""
    project: str = ""
    group: str = ""
    job_type: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    step_metrics: dict[str, str] = field(default_factory=dict)
    exit_code: int | None = None

    def read_file(self, path: str) -> bytes:
        """The content of one of `files`."""
        return (self.folder / "files" / path).read_bytes()


def runs_in(folder: Path, run: str | None = None) -> list[WandbRun]:
    """The local runs below W&B's folder, the oldest first.

    Args:
        run: only those of this id.
    """
    found = Path(folder).glob(f"*run-*-{run or '*'}/run-{run or '*'}.wandb")
    ordered = sorted(found, key=lambda path: (path.parent.name.partition("run-")[2][:15], path.stat().st_mtime_ns))
    return [read_run(path) for path in ordered]


def read_run(path: Path) -> WandbRun:
    """Read a file as far as it is whole: a killed process leaves half a record at its end."""
    run = WandbRun(path.parent)
    steps: list[str] = []
    for record in _records(path):
        match record.WhichOneof("record_type"):
            case "run":
                run.id, run.project, run.name = record.run.run_id, record.run.project, record.run.display_name
                run.group, run.job_type = record.run.run_group, record.run.job_type
                _update(run.config, record.run.config.update)
            case "config":
                _update(run.config, record.config.update)
                for item in record.config.remove:
                    run.config.pop(item.key or item.nested_key[0], None)
            case "summary":
                _update(run.summary, record.summary.update)
            case "history":
                row: dict[str, Any] = {}
                _update(row, record.history.item)
                run.history.append(row)
            case "files":
                run.files += [file.path for file in record.files.files if file.path not in _OWN_FILES]
            case "metric":
                metric = record.metric  # a step's own record comes first; later ones name it by its place
                step = metric.step_metric or (steps[metric.step_metric_index - 1] if metric.step_metric_index else "")
                steps.append(metric.name)
                if step:
                    run.step_metrics[metric.glob_name or metric.name] = step
            case "exit":
                run.exit_code = record.exit.exit_code
    run.files = list(dict.fromkeys(run.files))
    run.config.pop("_wandb", None)
    return run


def is_ended(path: Path) -> bool:
    """Whether a file has been written to its end: W&B's own process still does that when `finish` has returned."""
    last = deque(_scan(path), maxlen=3)
    return any(_parsed(data).WhichOneof("record_type") == "exit" for data in last)


def count_rows(path: Path) -> int:
    """How many rows of history a file has."""
    return sum(record.WhichOneof("record_type") == "history" for record in _records(path))


def _records(path: Path) -> Iterator[Any]:
    return map(_parsed, _scan(path))


def _parsed(data: bytes) -> Any:
    from wandb.proto.wandb_internal_pb2 import Record

    record = Record()
    record.ParseFromString(bytes(data))
    return record


def _scan(path: Path) -> Iterator[bytes]:
    from wandb.sdk.internal.datastore import DataStore

    store = DataStore()
    try:
        store.open_for_scan(str(path))
        while (data := store.scan_data()) is not None:
            yield data
    except AssertionError:  # how W&B's reader says that a record is cut off
        return
    finally:
        store.close()


def _update(values: dict[str, Any], items: Any) -> None:
    """Set what a record sets; a path of several keys leads into nested mappings (media)."""
    for item in items:
        *path, key = item.nested_key or [item.key]
        place = values
        for part in path:
            if not isinstance(place.get(part), dict):
                place[part] = {}
            place = place[part]
        place[key] = json.loads(item.value_json)
