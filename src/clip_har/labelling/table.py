"""The two tables of the labelled pictures, as they lie on disk."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from clip_har.labelling.errors import LabellingError
from clip_har.storage import write_atomic

Source = Literal["feedback", "sheet", "app"]
LOOKED_AT = ("sheet", "app")
"""Sources where a person answered with the picture in view: the answer is about the picture, whichever prediction it came from."""
COLUMNS = ("filename", "label", "source", "time", "predictions", "published")


@dataclass(frozen=True)
class LabelledPicture:
    """A picture with a label.

    Attributes:
        filename: `<sha256>.<format>`, below `images/`.
        label: what it shows.
        told: by prediction ("" where it came from none): when it was said, in seconds since 1970, and where.
        published: Git revision of the newest version of the data that is known to have it; "" if none is.
    """

    filename: str
    label: str
    told: Mapping[str, tuple[float, Source]] = field(default_factory=dict)
    published: str = ""

    @property
    def id(self) -> str:
        """sha256 of its bytes, as a Manifest has it."""
        return self.filename.partition(".")[0]

    @property
    def time(self) -> float:
        """When the label was last said."""
        return max((time for time, _ in self.told.values()), default=0.0)

    @property
    def source(self) -> str:
        """Where it was last said."""
        return max(self.told.values(), default=(0.0, "app"))[1]

    @property
    def predictions(self) -> tuple[str, ...]:
        """Ids of the predictions that it came from."""
        return tuple(one for one in self.told if one)

    def without(self, prediction_id: str) -> LabelledPicture:
        """The same, not said for this prediction."""
        return replace(self, told={one: said for one, said in self.told.items() if one != prediction_id})

    def with_said(self, prediction_id: str, time: float, source: Source) -> LabelledPicture:
        """The same, said for this prediction too."""
        return replace(self, told={**self.told, prediction_id: (time, source)})


def read_table(path: Path) -> list[LabelledPicture]:
    """The rows; none if there is no table yet.

    Raises:
        LabellingError: if it is none of ours.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise LabellingError(f"{path} cannot be read: {error}.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise LabellingError(
            f"{path} is no table of labelled pictures: its columns are {', '.join(reader.fieldnames or ()) or 'none'}; "
            f"wanted: {', '.join(COLUMNS)}."
        )
    rows = []
    for cells in reader:
        try:
            told = {one: (float(time), source) for one, (time, source) in json.loads(cells["predictions"]).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise LabellingError(f"{path}, line {reader.line_num}: the predictions are damaged: {error}.") from error
        rows.append(LabelledPicture(cells["filename"], cells["label"], told, cells["published"] or ""))
    return rows


def write_table(path: Path, rows: Iterable[LabelledPicture]) -> None:
    """Replace the table by these rows, whole or not at all."""
    made = io.StringIO(newline="")
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in sorted(rows, key=lambda row: (row.filename, row.label)):
        told = json.dumps({one: [time, source] for one, (time, source) in sorted(row.told.items())}, ensure_ascii=False)
        writer.writerow([row.filename, row.label, row.source, f"{row.time:.3f}", told, row.published])
    write_atomic(path, made.getvalue())
