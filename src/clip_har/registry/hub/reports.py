"""What published runs know of a bundle: figures, data and speed, for its model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.data.sources.base import CURRENT
from clip_har.models.bundle import ModelBundle
from clip_har.runs import LATEST

_DATA_NAME = "Photographs of human actions"


class MeasuredOn(ComponentConfig):
    """Data that a bundle was measured on."""

    name: str = Field(_DATA_NAME, description="What the data set is called.")
    hub_id: str | None = Field(None, description="Its id on the Hub, if it was taken from there.")
    revision: str | None = Field(None, description="Version of the data; None if it is not known.")


class BundleReports(ComponentConfig):
    """What is known of a bundle beyond itself."""

    figures: dict[str, Any] | None = Field(
        None, description="Of one split, as `metrics.json` has them; None if no run measured the bundle."
    )
    measured_on: MeasuredOn = Field(MeasuredOn(), description="The data behind the figures.")
    found: dict[str, Any] | None = Field(None, description="Counts of the validation of those data.")
    exports: dict[str, Any] | None = Field(None, description="Figures of the export gate.")


def reports_of(bundle: ModelBundle, outputs: str | Path) -> BundleReports:
    """Look through the runs below `outputs` for those of this model.

    The figures are those of the run that trained it, on the data that it was trained on; else of the newest evaluation.
    """
    runs = sorted(_runs(Path(outputs), bundle.model_id), key=lambda run: (run[0].get("started") or "", run[2]))
    known: dict[str, Any] = {}
    for _, metrics, _ in runs:
        if "export" in metrics:
            known["exports"] = metrics["export"]
    measured = [run for run in runs if _measured(run[1]) is not None]
    trained = [run for run in measured if run[0].get("leaderboard")]
    if measured:
        record, metrics, _ = (trained or measured)[-1]
        known |= {"figures": _measured(metrics), "found": metrics.get("data")}
        known["measured_on"] = _data(record, bundle.info.data_revision if trained else None)
    return BundleReports(**known)


def _runs(outputs: Path, model_id: str) -> list[tuple[dict[str, Any], dict[str, Any], str]]:
    """(record, metrics, name) of each run of the model."""
    found = []
    for file in (*outputs.glob("*/run.json"), *outputs.glob("*/*/run.json")):  # the second: of the stages of dvc.yaml
        parts = file.relative_to(outputs).parts
        if parts[0] == LATEST or any(part.startswith(".") for part in parts):
            continue
        try:
            record = json.loads(file.read_text())
            if record.get("model_id") == model_id:
                found.append((record, json.loads((file.parent / "metrics.json").read_text()), file.parent.name))
        except (OSError, ValueError):  # another program's, or one that is being removed
            continue
    return found


def _measured(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """The figures of the split that was measured."""
    return next((row for name, row in metrics.items() if isinstance(row, dict) and row.get("split") == name), None)


def _data(record: dict[str, Any], revision: str | None) -> MeasuredOn:
    try:
        settings = yaml.safe_load(record.get("settings") or "") or {}
    except yaml.YAMLError:
        settings = {}
    data, card = settings.get("data") or {}, settings.get("card") or {}
    version = data.get("version")
    named = version if version not in (None, CURRENT) else None
    hub_id = data.get("dataset") if data.get("source") == "hub" else None
    return MeasuredOn(name=card.get("name") or _DATA_NAME, hub_id=hub_id, revision=revision or named)
