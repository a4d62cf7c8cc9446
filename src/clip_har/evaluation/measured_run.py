"""What a published run measured, read back from its folder."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from clip_har.component import ComponentConfig
from clip_har.errors import DataError
from clip_har.models.estimates import Estimate

_WANTED = "The folder of a run of train or evaluate is wanted, like outputs/latest."


class MeasuredRun(ComponentConfig):
    """A run of `train` or `evaluate`: its figures on a split, and where they come from."""

    folder: str = Field(description="Its folder.")
    split: str = Field(description="Split that was measured on.")
    samples: int = Field(description="Photographs in it.")
    method: str = Field(description="Adaptation method of the model.")
    runtime: str = Field("torch", description="What encoded the photographs.")
    model_id: str = Field(description="Model id of the bundle.")
    metrics: dict[str, Estimate] = Field(description="Figures with 95 % intervals.")
    calibration_error: float = Field(description="Expected calibration error, with the temperature.")
    recall: dict[str, float] = Field(description="Of each class.")
    support: dict[str, int] | None = Field(
        None, description="Photographs of each class; None if the run kept no plots."
    )
    leaderboard: dict[str, dict[str, Estimate]] = Field(
        description="Each method's figures on the validation split; empty if none were compared."
    )
    winner: str | None = Field(None, description="The best of them.")
    facts: dict[str, str] = Field(description="What a reader may want to look up: name → value.")


def read_measured_run(folder: str | Path) -> MeasuredRun:
    """Read a run's `metrics.json` and `run.json`, and what its plots and bundle say beside.

    Raises:
        DataError: if it is no folder of a run, or the run measured no model on a split.
    """
    folder = Path(folder)
    metrics, record = _read(folder, "metrics.json"), _read(folder, "run.json")
    measured = [value for key, value in metrics.items() if isinstance(value, dict) and value.get("split") == key]
    if len(measured) != 1:
        pipeline = record.get("pipeline", "another pipeline")
        raise DataError(f"{str(folder)!r} is a run of {pipeline}, which measured no model on a split. {_WANTED}")
    figures = measured[0]
    board = {} if figures["split"] == "validation" else metrics.get("validation", {})
    try:
        return MeasuredRun(
            folder=str(folder),
            split=figures["split"],
            samples=figures["samples"],
            method=figures["method"],
            runtime=figures.get("runtime", "torch"),
            model_id=record["model_id"],
            metrics=_estimates(figures),
            calibration_error=figures["calibration"]["ece_after"],
            recall={label: row["recall"] for label, row in figures["per_class"].items()},
            support=_support(folder / "plots" / "confusion.csv"),
            leaderboard={name: _estimates(row) for name, row in board.items() if isinstance(row, dict)},
            winner=board.get("winner"),
            facts=_facts(folder, record),
        )
    except (KeyError, ValidationError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise DataError(f"{str(folder)!r} was written by another version of clip-har: {what}. Run it again.") from None


def _read(folder: Path, name: str) -> dict[str, Any]:
    if not folder.is_dir():
        raise DataError(f"There is no folder {str(folder)!r}. {_WANTED}")
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{str(folder)!r} has no {name}. {_WANTED}") from None
    except ValueError as error:
        raise DataError(f"{str(folder / name)!r} is no JSON: {error}. Run it again.") from None
    if not isinstance(content, dict):
        raise DataError(f"{str(folder / name)!r} holds no object. {_WANTED}")
    return content


def _estimates(figures: dict[str, Any]) -> dict[str, Estimate]:
    wanted = set(Estimate.model_fields)
    return {
        name: Estimate(**value) for name, value in figures.items() if isinstance(value, dict) and set(value) == wanted
    }


def _support(file: Path) -> dict[str, int] | None:
    if not file.is_file():
        return None
    with open(file, newline="", encoding="utf-8") as lines:
        return dict(Counter(row["actual"] for row in csv.DictReader(lines)))


def _facts(folder: Path, record: dict[str, Any]) -> dict[str, str]:
    file = folder / "bundle" / "clip_har" / "bundle.json"
    info = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    facts = {
        "method": record.get("method"),
        "backbone": info.get("backbone"),
        "model id": record.get("model_id"),
        "data version": info.get("data_revision"),
        "data hash": record.get("data_hash"),
        "code": (record.get("environment") or {}).get("git_revision"),
        "run": record.get("run"),
    }
    return {name: str(value) for name, value in facts.items() if value}
