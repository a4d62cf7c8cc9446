"""What the service saw in a window of time and one model answered, out of the capture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.capture import CaptureError, CaptureStore
from clip_har.capture.columns import array_of, matrix_of
from clip_har.capture.moments import moment_of
from clip_har.capture.reading import filtered
from clip_har.capture.statistics import STATISTICS
from clip_har.monitoring.collecting.lists import rows_of
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.observing import answers_of, figures_of_files

if TYPE_CHECKING:
    import pyarrow as pa

    from clip_har.models.bundle import ModelBundle
    from clip_har.monitoring.config import MonitorConfig

CAPTURED = "captured"
_HEARD = ("champion", "packaged", "newest")  # roles of a model whose answers went to callers
_FACTS = ("time", "model_id", "role", "calibrated", "error")
_ROWS = ("id", "time", "embedding", "probabilities", "width", "height", "bytes", "image", *STATISTICS)
_UNKNOWN_LABEL = "labelled by feedback with what is none of the model's labels (their truth counts as unknown)"


def window_of(config: MonitorConfig, now: datetime | None = None) -> tuple[datetime | None, datetime]:
    """The window's begin (None: all) and end.

    Raises:
        MonitoringError: if one is neither a time nor an age, or they enclose nothing.
    """
    now = now or datetime.now(UTC)
    try:
        since = None if config.since is None else moment_of("monitor.since", config.since, now)
        until = now if config.until is None else moment_of("monitor.until", config.until, now)
    except CaptureError as error:
        raise MonitoringError(str(error)) from None
    if since is not None and since >= until:
        raise MonitoringError(
            f"monitor.since: the window would begin {since:%Y-%m-%d %H:%M} UTC and end {until:%Y-%m-%d %H:%M} UTC; it must "
            "begin before it ends."
        )
    return since, until


def collect_captured(config: MonitorConfig, bundle: ModelBundle, workspace: str | Path) -> Observations:
    """Rows of the bundle's model that callers heard, with the model's own labels; what else there is, is counted.

    Raises:
        MonitoringError: if nothing was captured there.
        CaptureError: if the capture cannot be read.
    """
    folder = Path(config.capture).expanduser() if config.capture else Path(workspace) / "capture"
    if not folder.is_dir():
        raise MonitoringError(
            f"monitor.source: nothing has been captured in {folder}. A running service captures there (make serve); "
            "otherwise name another folder (monitor.capture), a table of `batch`, or a folder of pictures (monitor.source)."
        )
    store = CaptureStore(folder)
    since, until = window_of(config)
    there = _Look.at(store, since, until, bundle.model_id, config.most)
    gathered = _Gathered(bundle)
    if there.usable:
        columns = (*_ROWS, "model_id", "role", "calibrated", "error")
        for table in store.batches_with_feedback(there.begin(since), until, bundle.model_id, columns):
            wanted = np.fromiter((why is None for why in _aside(table, bundle.model_id)), bool, len(table))
            if wanted.any():
                gathered.add(filtered(table, wanted))
    return gathered.observations(config.most, source=CAPTURED, errors=there.errors, skipped=there.skipped)


def _aside(table: pa.Table, model_id: str) -> Iterator[str | None]:
    """Why each row is no answer to look at, in words; "" if the picture was refused, None if it is one."""
    columns = (table.column(name).to_pylist() for name in ("model_id", "role", "calibrated", "error"))
    for model, role, calibrated, error in zip(*columns, strict=True):
        if model != model_id:
            yield "of another model"
        elif role not in _HEARD:
            yield f"of the role {role}, which nobody heard" if role == "shadow" else f"of the role {role or 'unknown'}"
        elif error:
            yield ""
        else:
            yield None if calibrated else "with labels of the caller's own"


@dataclass
class _Look:
    """What a window holds, before anything heavy is read.

    Attributes:
        usable: rows to look at.
        errors, skipped: as `Observations` has them.
        oldest: time of the oldest row that is among the newest wanted, in microseconds since 1970; None: all are.
    """

    usable: int
    errors: dict[str, int]
    skipped: dict[str, int]
    oldest: int | None

    @classmethod
    def at(cls, store: CaptureStore, since: datetime | None, until: datetime, model_id: str, most: int) -> _Look:
        times: list[np.ndarray] = []
        refused: list[tuple[int, str]] = []
        skipped: Counter[str] = Counter()
        for table in store.batches(since, until, columns=_FACTS):
            moments = array_of(table.column("time"), np.int64)
            asides = list(_aside(table, model_id))
            times.append(moments[[why is None for why in asides]])
            skipped.update(filter(None, asides))
            reasons = table.column("error").to_pylist()
            refused += [(int(moments[row]), reasons[row]) for row, why in enumerate(asides) if why == ""]
        usable = np.concatenate([*times, np.zeros(0, np.int64)])
        oldest = None
        if len(usable) > most:
            oldest = int(np.partition(usable, len(usable) - most)[len(usable) - most])
            skipped[f"older than the newest {most:,} (monitor.most)"] = len(usable) - most
        errors = Counter(reason for moment, reason in refused if oldest is None or moment >= oldest)
        return cls(len(usable), dict(sorted(errors.items())), dict(sorted(skipped.items())), oldest)

    def begin(self, since: datetime | None) -> float | datetime | None:
        """Where the rows that are wanted begin."""
        return since if self.oldest is None else self.oldest / 1e6


@dataclass
class _Gathered:
    """Rows of one model, a table at a time, in arrays of their own width: 100,000 take a few hundred megabytes at most."""

    bundle: ModelBundle
    ids: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    parts: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, table: pa.Table) -> None:
        """Take a table of `_ROWS` with feedback."""
        self.ids += table.column("id").to_pylist()
        self.pictures += [name or "" for name in table.column("image").to_pylist()]
        self.labels += table.column("feedback_label").to_pylist()
        arrays: dict[str, np.ndarray] = {
            "time": array_of(table.column("time"), np.int64),
            "embedding": matrix_of(table.column("embedding")),
            "probabilities": rows_of(table.column("probabilities"), len(self.bundle.labels), "probabilities"),
            **{name: array_of(table.column(name), np.int64) for name in ("width", "height", "bytes")},
            **{name: array_of(table.column(name), np.float32) for name in STATISTICS},
        }
        for name, array in arrays.items():
            self.parts.setdefault(name, []).append(array)

    def observations(self, most: int, **about: Any) -> Observations:
        """All of them in the order of their times, the newest `most`."""
        places = {label: place for place, label in enumerate(self.bundle.labels)}
        times = self._joined("time", np.zeros(0, np.int64))
        order = np.lexsort((np.array(self.ids, str), times))[-most:] if len(times) else np.zeros(0, np.int64)
        probabilities = self._joined("probabilities", np.zeros((0, len(places)), np.float32))[order]
        embeddings = self._joined("embedding", np.zeros((0, self.bundle.class_matrix.shape[1]), np.float32))
        width, height, size = (
            self._joined(name, np.zeros(0, np.int64))[order] for name in ("width", "height", "bytes")
        )
        said = [self.labels[row] for row in order]
        truth = np.array([-1 if label is None else places.get(label, -1) for label in said], np.int64)
        unknown = sum(label is not None and label not in places for label in said)
        skipped = about.pop("skipped") | ({_UNKNOWN_LABEL: unknown} if unknown else {})
        pictures = tuple(self.pictures[row] for row in order)
        return Observations(
            model_id=self.bundle.model_id,
            encoder_hash=self.bundle.info.encoder_hash,
            labels=self.bundle.labels,
            ids=tuple(self.ids[row] for row in order),
            **answers_of(self.bundle, probabilities),
            embeddings=embeddings if np.array_equal(order, np.arange(len(embeddings))) else embeddings[order],
            probabilities=probabilities,
            figures=figures_of_files(
                {name: self._joined(name, np.zeros(0, np.float32))[order] for name in STATISTICS}, width, height, size
            ),
            times=times[order] / 1e6,
            truth=truth if (truth >= 0).any() else None,
            pictures=pictures if any(pictures) else None,
            skipped=skipped,
            **about,
        )

    def _joined(self, name: str, nothing: np.ndarray) -> np.ndarray:
        """A column; its parts are let go."""
        return np.concatenate([*self.parts.pop(name, ()), nothing])
