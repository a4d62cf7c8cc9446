"""Feedback: true labels that callers gave. One file a call until it is merged; little enough to be held in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.capture import columns, layout
from clip_har.capture.errors import CaptureError
from clip_har.capture.reading import CaptureFile, DamagedFile
from clip_har.capture.schema import feedback_schema, microseconds

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)
_LONGEST_ID, _LONGEST_LABEL = 200, 1000


@dataclass(frozen=True)
class Feedback:
    """What a caller said.

    Attributes:
        prediction_id: which prediction it is about.
        label: the true one.
        time: when it was said, in microseconds since 1970.
        caller: who said it, if that is known.
    """

    prediction_id: str
    label: str
    time: int
    caller: str | None

    @classmethod
    def of(cls, prediction_id: str, label: str, time: float, caller: str | None) -> Feedback:
        """Feedback, its time in seconds.

        Raises:
            CaptureError: if the id or label is empty or too long, or the time is none.
        """
        for name, value, longest in (("prediction id", prediction_id, _LONGEST_ID), ("label", label, _LONGEST_LABEL)):
            if not 0 < len(value) <= longest:
                raise CaptureError(f"Feedback: the {name} has {len(value)} characters; 1 to {longest} are wanted.")
        try:
            return cls(prediction_id, label, microseconds(time), caller)
        except (ValueError, OverflowError):
            raise CaptureError(f"Feedback: {time!r} is no time in seconds since 1970.") from None


def feedback_of(folder: Path, name: str) -> list[Feedback]:
    """What one file says.

    Raises:
        FileNotFoundError: if it has been merged and removed.
        DamagedFile: if it cannot be read.
    """
    if name.endswith(".json"):
        try:
            value = layout.read_json(folder / name)
        except layout.DamagedJson as error:
            raise DamagedFile(folder / name, error) from error
        if value is None:
            raise FileNotFoundError(folder / name)
        return [Feedback(value["prediction_id"], value["label"], value["time"], value["caller"])]
    rows: list[Feedback] = []
    with CaptureFile(folder / name) as file:
        for table in file.tables():
            texts = [table.column(one).to_pylist() for one in ("prediction_id", "label", "caller")]
            times = columns.array_of(table.column("time"), np.int64).tolist()
            rows += map(Feedback, texts[0], texts[1], times, texts[2])
    return rows


def readable(folder: Path, names: Iterable[str]) -> dict[str, list[Feedback]]:
    """What the files say that can be read.

    Raises:
        FileNotFoundError: if one has been merged and removed.
    """
    found: dict[str, list[Feedback]] = {}
    for name in names:
        try:
            found[name] = feedback_of(folder, name)
        except DamagedFile as error:
            _log.warning("A file of feedback is damaged and left as it is: %s", error)
    return found


def feedback_table(rows: Sequence[Feedback]) -> pa.Table:
    """As a table."""
    import pyarrow as pa

    kinds = feedback_schema()
    made = [
        columns.numbers(np.array([row.time for row in rows], np.int64), field.type)
        if field.name == "time"
        else columns.strings([getattr(row, field.name) for row in rows])
        for field in kinds
    ]
    return pa.Table.from_arrays(made, schema=kinds)
