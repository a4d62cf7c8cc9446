"""What a capture folder holds, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.capture.columns import array_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Summary:
    """Counts, for people and gauges.

    Attributes:
        predictions, feedback, images: their numbers.
        dropped: predictions that services could not keep.
        damaged: files that cannot be read.
        bytes, files: on disk.
        first, last: times of the oldest and the newest prediction, in seconds since 1970.
        abstained: predictions without an answer.
        models, days, labels, errors: predictions by model id, by day (UTC), by their first label, by what was wrong.
    """

    predictions: int = 0
    feedback: int = 0
    images: int = 0
    dropped: int = 0
    damaged: int = 0
    bytes: int = 0
    files: int = 0
    first: float | None = None
    last: float | None = None
    abstained: int = 0
    models: dict[str, int] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


class Counting:
    """Counts predictions as they pass."""

    COLUMNS = ("time", "model_id", "labels", "abstained", "error")

    def __init__(self) -> None:
        self._rows = self._abstained = 0
        self._extents: list[int] = []
        self._counters = {name: Counter() for name in ("models", "days", "labels", "errors")}

    def add(self, table: pa.Table) -> None:
        """Count a table of `COLUMNS`, not an empty one."""
        self._rows += len(table)
        moments = array_of(table.column("time"), np.int64)
        self._extents = [min([*self._extents, int(moments.min())]), max([*self._extents, int(moments.max())])]
        days, numbers = np.unique(moments.view("datetime64[us]").astype("datetime64[D]"), return_counts=True)
        self._abstained += sum(table.column("abstained").to_pylist())
        self._counters["days"].update(dict(zip(map(str, days), numbers.tolist(), strict=True)))
        self._counters["models"].update(table.column("model_id").to_pylist())
        self._counters["labels"].update(labels[0] for labels in table.column("labels").to_pylist() if labels)
        self._counters["errors"].update(filter(None, table.column("error").to_pylist()))

    def counted(self) -> dict[str, Any]:
        """The fields of `Summary` that predictions give."""
        first, last = (moment / 1e6 for moment in self._extents) if self._extents else (None, None)
        counts = {name: dict(counter.most_common()) for name, counter in self._counters.items()}
        counts["days"] = dict(sorted(counts["days"].items()))
        return {"predictions": self._rows, "abstained": self._abstained, "first": first, "last": last, **counts}
