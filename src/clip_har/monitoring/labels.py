"""Which labels there are to train on again, and, where they are too few, which pictures are worth one."""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from clip_har.capture import CaptureStore
from clip_har.component import ComponentConfig
from clip_har.monitoring.collecting import CAPTURED
from clip_har.monitoring.collecting.captured import window_of
from clip_har.monitoring.config import MonitorConfig
from clip_har.monitoring.report import DriftReport

if TYPE_CHECKING:
    from clip_har.labelling.labelled import Added, LabelledStore
    from clip_har.monitoring.observations import Observations

_HOW = "fill in the column `label` of its labels.csv (sheet.html shows them), or use the app's page Label, and run monitor again."


class LabelsAtHand(ComponentConfig):
    """Labelled pictures that no model was made with, beside how many are asked for."""

    new: int = Field(0, ge=0, description="Labelled pictures that no model was made with.")
    wanted: int = Field(0, ge=0, description="How many are asked for.")
    sheet: str | None = Field(None, description="Folder of the labelling sheet.")
    said: tuple[str, ...] = Field((), description="In sentences: what is there, what is missing, how it is given.")


def asks_for_training(report: DriftReport, config: MonitorConfig) -> bool:
    """Whether the model is to be trained again, if there are labels enough."""
    decided = report.decided is not None and report.decided.state == "retrain"
    return config.retrain == "always" or (config.retrain == "auto" and decided)


def labelled_store(config: MonitorConfig, workspace: str | Path) -> LabelledStore:
    """The labelled pictures that are trained on."""
    from clip_har.labelling.labelled import LabelledStore

    return LabelledStore.of(workspace, config.labelling.folder)


def capture_of(config: MonitorConfig, workspace: str | Path) -> CaptureStore:
    """The capture that is looked at."""
    return CaptureStore(Path(config.capture).expanduser() if config.capture else Path(workspace) / "capture")


def gather_labels(
    labels: tuple[str, ...],
    window: Observations,
    config: MonitorConfig,
    workspace: str | Path,
    trained_on: Set[str],
) -> LabelsAtHand:
    """Take in what feedback says of pictures that were kept, count what is new, and choose what to label where that is too little.

    Args:
        labels: the model's.
        window: what is chosen from.
        trained_on: ids (sha256) of the pictures that models were made with.
    """
    from clip_har.labelling.answers import Labels

    store, accepted = labelled_store(config, workspace), Labels(labels, config.labelling.new_labels)
    said: list[str] = []
    if config.source == CAPTURED:
        said += _told(store.from_feedback(capture_of(config, workspace), labels=accepted))
    said += _told(store.from_sheets(accepted))
    new = {row.id for row in store.rows(not_trained_on=trained_on)} - {
        name.partition(".")[0] for name in store.conflicts()
    }
    wanted = config.labelling.minimum
    if len(new) >= wanted:
        return LabelsAtHand(new=len(new), wanted=wanted, said=(*said, f"{len(new)} new labels are there to train on."))
    missing = wanted - len(new)
    said.append(
        f"{len(new)} of {wanted} new labels are there; {missing} are missing to train again (monitor.labelling.minimum)."
    )
    sheet, about = _sheet(labels, window, config, workspace, store)
    return LabelsAtHand(new=len(new), wanted=wanted, sheet=sheet and str(sheet), said=(*said, about))


def _told(added: Added) -> list[str]:
    """What came of labels that were given, in sentences."""
    said = [f"{added.added + added.replaced} labels were taken in."] if added.added + added.replaced else []
    said += [
        f"{number} labels were not used: {why}."
        for why, number in added.unused.items()
        if why != "no label is written yet"
    ]
    return [*said, *added.problems]


def _sheet(
    labels: tuple[str, ...], window: Observations, config: MonitorConfig, workspace: str | Path, store: LabelledStore
) -> tuple[Path | None, str]:
    """(the labelling sheet, how labels are given); no sheet, and why, if there can be none."""
    from clip_har.labelling.errors import LabellingError
    from clip_har.labelling.selection import make_sheet, select, sheet_folder

    if config.source != CAPTURED:
        return None, "A labelling sheet is made of captured pictures, not of a table or a folder (monitor.source)."
    if not config.labelling.budget:
        return None, "No labelling sheet is made: monitor.labelling.budget is 0."
    there = _unfinished_sheet(store, window)
    if there is not None:
        place, missing = there
        return place, f"{missing} pictures of {place} wait for a label; {_HOW}"
    capture = capture_of(config, workspace)
    since, until = window_of(config)
    choice = {"uncertainty": config.labelling.uncertainty, "seed": config.seed, "since": since, "until": until}
    try:
        selection = select(capture, store, config.labelling.budget, model_id=window.model_id, **choice)
        place, number = make_sheet(capture, selection, labels, sheet_folder(store))
    except LabellingError as error:
        return None, f"There is no labelling sheet: {error}"
    return place, f"{number} pictures to label are in {place}; {_HOW}"


def _unfinished_sheet(store: LabelledStore, window: Observations) -> tuple[Path, int] | None:
    """A sheet of this window that people have not filled in yet, the newest; and how many of its rows are empty."""
    from clip_har.labelling.errors import LabellingError
    from clip_har.labelling.sheet import read_sheet

    ids = frozenset(window.ids)
    for place in sorted((store.folder / "sheets").glob("*/"), reverse=True):
        try:
            rows = read_sheet(place)
            made_of = json.loads((place / "sheet.json").read_text(encoding="utf-8"))["rows"]
        except (LabellingError, OSError, ValueError, KeyError):
            continue  # `from_sheets` names it
        if rows.empty and len(ids.intersection(made_of)) > len(made_of) / 2:
            return place, len(rows.empty)
    return None
