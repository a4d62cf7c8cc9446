"""From what a service has captured to the pictures that people are asked about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.capture import CaptureStore
from clip_har.labelling.choosing import choose
from clip_har.labelling.errors import LabellingError
from clip_har.labelling.labelled import LabelledStore
from clip_har.labelling.sheet import SheetItem, write_sheet

if TYPE_CHECKING:
    import pyarrow as pa

IMAGES_ARE_OFF = (
    "no picture is kept: the service captures without images. Start it with `make serve SET=serving.capture.images=true`, and pictures are "
    "kept from then on (until they are serving.capture.retention_days old)"
)
_COLUMNS = ("id", "model_id", "labels", "scores", "probabilities", "embedding", "image", "error")
_MOST = 200_000
_ROWS = 4096


@dataclass(frozen=True)
class Candidate:
    """A captured picture that could be labelled.

    Attributes:
        id: of the prediction.
        picture: name of its kept image.
        suggested, confidence: the model's best label.
    """

    id: str
    picture: str
    suggested: str
    confidence: float


@dataclass(frozen=True)
class Selection:
    """Pictures to label.

    Attributes:
        model_id: of the model whose doubt was asked.
        chosen: the most wanted first.
        candidates: how many they were chosen from.
        left_out: in words → captured predictions that could not be chosen.
    """

    model_id: str
    chosen: tuple[Candidate, ...]
    candidates: int
    left_out: dict[str, int] = field(default_factory=dict)


def select(
    capture: CaptureStore,
    store: LabelledStore,
    count: int,
    *,
    uncertainty: float,
    seed: int = 0,
    since: float | datetime | None = None,
    until: float | datetime | None = None,
    model_id: str | None = None,
) -> Selection:
    """Choose among what was captured; a picture that is labelled, or set aside, is not asked about again.

    Args:
        count: how many pictures are wanted.
        uncertainty: as of `choose`.
        since, until: times of the predictions.
        model_id: whose predictions; those of the model that answered last if None.

    Raises:
        LabellingError: if there is nothing to choose from: nothing captured, or no images kept.
    """
    model_id = model_id or newest_model(capture, since, until)
    if model_id is None:
        raise LabellingError(
            f"{capture.folder}: no prediction is captured in this time. `clip-har capture list` shows what is."
        )
    answered = store.answered()
    left_out = {
        "without a kept image": 0,
        "refused pictures": 0,
        "labelled or set aside already": 0,
        "the same picture again": 0,
    }
    found: list[Candidate] = []
    embeddings, probabilities, taken = [], [], []
    seen: set[str] = set()
    for table in capture.batches_with_feedback(since, until, model_id, _COLUMNS, _ROWS):
        rows = table.select(["id", "image", "labels", "scores", "error", "feedback_label"]).to_pylist()
        matrices = _matrix(table, "embedding"), _matrix(table, "probabilities")
        for number, row in enumerate(rows):
            picture = row["image"]
            one = "" if picture is None else picture.partition(".")[0]
            if row["error"] or matrices[0] is None:
                left_out["refused pictures"] += 1
            elif one in answered or (row["feedback_label"] is not None and picture is not None):
                left_out["labelled or set aside already"] += 1
                taken.append(matrices[0][number])
            elif picture is None:
                left_out["without a kept image"] += 1
            elif one in seen:
                left_out["the same picture again"] += 1
            else:
                seen.add(one)
                found.append(
                    Candidate(row["id"], picture, (row["labels"] or [""])[0], float((row["scores"] or [0])[0]))
                )
                embeddings.append(matrices[0][number])
                probabilities.append(None if matrices[1] is None else matrices[1][number])
        if len(found) >= _MOST:
            break
    left_out = {why: number for why, number in left_out.items() if number}
    if not found:
        if left_out.get("without a kept image"):
            raise LabellingError(f"{capture.folder}: {IMAGES_ARE_OFF}.")
        said = ", ".join(f"{number} {why}" for why, number in left_out.items())
        raise LabellingError(f"{capture.folder}: nothing is left to label ({said}).")
    order = choose(
        np.stack(embeddings),
        _with_gaps(probabilities),
        count,
        uncertainty=uncertainty,
        seed=seed,
        taken=np.stack(taken[-2000:]) if taken else None,
    )
    return Selection(model_id, tuple(found[place] for place in order), len(found), left_out)


def make_sheet(
    capture: CaptureStore, selection: Selection, labels: Sequence[str], folder: str | Path
) -> tuple[Path, int]:
    """The sheet of a selection, and how many pictures it has: those deleted meanwhile are left out.

    Raises:
        LabellingError: if the folder is there already, or no picture is left.
    """
    items = [
        SheetItem(one.id, one.picture, data, one.suggested, one.confidence)
        for one in selection.chosen
        if (data := capture.image_bytes(one.picture)) is not None
    ]
    return write_sheet(folder, items, labels, capture=capture.folder), len(items)


def sheet_folder(store: LabelledStore) -> Path:
    """A new folder for a sheet, where `LabelledStore.from_sheets` finds it."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")
    number, place = 1, store.folder / "sheets" / stamp
    while place.exists():
        number, place = number + 1, store.folder / "sheets" / f"{stamp}-{number + 1}"
    return place


def newest_model(
    capture: CaptureStore, since: float | datetime | None = None, until: float | datetime | None = None
) -> str | None:
    """The model that answered last in a window; None if none did."""
    newest: tuple[object, str] | None = None
    for table in capture.batches(since, until, None, ("time", "model_id", "role")):
        for row in table.to_pylist():
            if row["role"] != "shadow" and (newest is None or row["time"] >= newest[0]):
                newest = (row["time"], row["model_id"])
    return None if newest is None else newest[1]


def labels_of(capture: CaptureStore, model_id: str) -> tuple[tuple[str, ...], bool]:
    """Labels that a model was captured to answer, sorted, and whether they are all that it has."""
    found: set[str] = set()
    wanted = 0
    for table in capture.batches(None, None, model_id, ("labels", "probabilities")):
        for row in table.to_pylist():
            if row["probabilities"] is not None:  # else the caller's own labels
                wanted = len(row["probabilities"])
                found.update(row["labels"])
        if wanted and len(found) == wanted:
            break
    return tuple(sorted(found)), bool(wanted) and len(found) == wanted


def labels_of_model(workspace: str | Path, capture: CaptureStore, model_id: str) -> tuple[str, ...]:
    """A model's labels: as the registry has them, else those that it was captured to answer.

    Raises:
        LabellingError: if not all can be told.
    """
    note = Path(workspace) / "registry" / "bundles" / model_id / "clip_har" / "bundle.json"
    try:
        return tuple(json.loads(note.read_text(encoding="utf-8"))["labels"])
    except (OSError, ValueError, KeyError):
        labels, whole = labels_of(capture, model_id)
    if not whole:
        raise LabellingError(
            f"The labels of the model {model_id[:12]} are not known: it is not registered in {workspace}, and only "
            f"{', '.join(labels) or 'none'} were captured. Name them: --labels A,B,C"
        )
    return labels


def _matrix(table: pa.Table, name: str) -> np.ndarray | None:
    """A column of lists of one length as float32 [n, d], a missing one NaN; None if all are missing."""
    from clip_har.capture.columns import matrix_of

    column = table.column(name)
    if name == "embedding":
        rows = matrix_of(column)
        return rows if rows.shape[1] else None
    lists = column.to_pylist()
    size = max((len(row) for row in lists if row is not None), default=0)
    if not size:
        return None
    blank = np.full(size, np.nan, np.float32)
    return np.stack([blank if row is None or len(row) != size else np.asarray(row, np.float32) for row in lists])


def _with_gaps(rows: list[np.ndarray | None]) -> np.ndarray:
    size = max((len(row) for row in rows if row is not None), default=1)
    blank = np.full(size, np.nan, np.float32)
    return np.stack([blank if row is None or len(row) != size else row for row in rows])
