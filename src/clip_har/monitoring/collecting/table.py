"""A table that `batch` made: one file, or the folder of its parts."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.capture.columns import array_of
from clip_har.capture.statistics import STATISTICS
from clip_har.errors import did_you_mean
from clip_har.monitoring.collecting.lists import rows_of
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.observing import abstained_at, answers_of, figures_of_files

if TYPE_CHECKING:
    import pyarrow as pa

    from clip_har.models.bundle import ModelBundle
    from clip_har.monitoring.config import MonitorConfig

_PARTS = "_clip_har_batch.json"  # beside the parts of a table: what they belong to
_WANTED = ("path", "label", "score", "error")
_READ = ("sha256", "width", "height", "bytes", *STATISTICS, "embedding", "probabilities")


def is_table(place: Path) -> bool:
    """Whether a path is a table of `batch`, or what it should be."""
    return (place.is_dir() and (place / _PARTS).is_file()) or (place.is_file() and place.suffix == ".parquet")


def collect_table(place: Path, config: MonitorConfig, bundle: ModelBundle) -> Observations:
    """The answers in a table; of a table without `batch.details`, no embeddings, probabilities and figures but its pictures' size.

    Raises:
        MonitoringError: if it cannot be read, is no table of `batch`, or another model (or other labels) answered.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_record(place, bundle)
    files = sorted(place.glob("part-*.parquet")) if place.is_dir() else [place]
    if not files:
        raise MonitoringError(
            f"monitor.source: {place} has no parts in Parquet. Run the batch job to its end, with batch.format=parquet."
        )
    gathered = _Gathered(bundle, place)
    for file in files:
        try:
            with pq.ParquetFile(file) as opened:
                names = opened.schema_arrow.names
                missing = [name for name in _WANTED if name not in names]
                if missing:
                    raise MonitoringError(
                        f"monitor.source: {file} is no table of `batch`: it has no column {', '.join(missing)}. Make one: "
                        "python run.py --pipeline batch --set batch.source=FOLDER --set batch.details=true"
                    )
                columns = [name for name in (*_WANTED, *_READ) if name in names]
                for batch in opened.iter_batches(4096, columns=columns):
                    gathered.add(pa.Table.from_batches([batch]))
        except (pa.ArrowException, OSError) as error:
            raise MonitoringError(f"monitor.source: {file} cannot be read as Parquet: {error}") from error
    return _sampled(gathered.observations(), config)


def _check_record(place: Path, bundle: ModelBundle) -> None:
    """Hold the model and labels that a table's record names against the bundle, where there is a record."""
    record = place / _PARTS if place.is_dir() else place.parent / "run.json"
    try:
        said = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    made_by, asked = said.get("model_id"), said.get("asked") or (said.get("batch") or {}).get("asked") or {}
    if made_by is not None and made_by != bundle.model_id:
        raise MonitoringError(
            f"monitor.source: {place} was answered by the model {made_by[:12]}, and the one that is looked after is "
            f"{bundle.model_id[:12]}. Name that model's bundle (--set bundle=FOLDER), or make the table anew: python run.py "
            "--pipeline batch"
        )
    if asked.get("labels") or asked.get("templates"):
        raise MonitoringError(
            f"monitor.source: {place} was answered with labels or templates of its own (batch.labels, batch.templates). Only "
            "answers with the model's own are calibrated, and can be compared with its reference."
        )


@dataclass
class _Gathered:
    """Rows of a table, a piece at a time."""

    bundle: ModelBundle
    place: Path
    ids: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    parts: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, table: pa.Table) -> None:
        """Take a piece."""
        import pyarrow.compute as pc

        self.errors.update(filter(None, table.column("error").to_pylist()))
        good = table.filter(pc.is_null(table.column("error")))
        if not len(good):
            return
        paths = good.column("path").to_pylist()
        self.paths += paths
        self.ids += good.column("sha256").to_pylist() if "sha256" in good.column_names else paths
        self.labels += good.column("label").to_pylist()
        arrays: dict[str, np.ndarray] = {"score": array_of(good.column("score"), np.float32)}
        for name in ("width", "height", "bytes", *STATISTICS):
            if name in good.column_names:
                arrays[name] = np.array([np.nan if one is None else one for one in good.column(name).to_pylist()])
        for name, size in (
            ("embedding", self.bundle.class_matrix.shape[1]),
            ("probabilities", len(self.bundle.labels)),
        ):
            if name in good.column_names and not good.column(name).null_count:
                arrays[name] = rows_of(good.column(name), size, name)
        for name, array in arrays.items():
            self.parts.setdefault(name, []).append(array)

    def observations(self) -> Observations:
        """All of them, in the order of their ids."""
        places = {label: place for place, label in enumerate(self.bundle.labels)}
        strangers = [label for label in dict.fromkeys(self.labels) if label not in places]
        if strangers:
            raise MonitoringError(
                f"monitor.source: {self.place} holds {strangers[0]!r}, which is none of the model's labels. "
                f"{did_you_mean(strangers[0], places)} Another model made it, or it was asked for labels of its own "
                "(batch.labels)."
            )
        columns = {name: np.concatenate(parts) for name, parts in self.parts.items()}
        whole = {name: column for name, column in columns.items() if len(column) == len(self.ids)}
        order = np.array(sorted(range(len(self.ids)), key=self.ids.__getitem__), np.int64)
        confidence = whole.get("score", np.zeros(0, np.float32))
        answers: dict[str, Any] = {
            "predicted": np.array([places[label] for label in self.labels], np.int64),
            "confidence": confidence,
            "abstained": abstained_at(self.bundle, confidence),
        }
        if "probabilities" in whole:
            answers = answers_of(self.bundle, whole["probabilities"])
        observed = Observations(
            model_id=self.bundle.model_id,
            encoder_hash=self.bundle.info.encoder_hash,
            labels=self.bundle.labels,
            ids=tuple(self.ids),
            **answers,
            embeddings=whole.get("embedding"),
            probabilities=whole.get("probabilities"),
            figures=_figures(whole, len(self.ids)),
            pictures=tuple(path if os.path.isfile(path) else "" for path in self.paths),
            errors=dict(sorted(self.errors.items())),
            source=str(self.place),
        )
        return observed.take(order)


def _figures(columns: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Those figures that the columns give."""
    unknown = np.full(count, np.nan)
    width, height, size = (columns.get(name, unknown) for name in ("width", "height", "bytes"))
    statistics = {name: columns[name] for name in STATISTICS if name in columns}
    if "aspect" not in statistics and "width" in columns:
        with np.errstate(divide="ignore", invalid="ignore"):
            statistics["aspect"] = width / height
    figures = figures_of_files(statistics, width, height, size)
    return {name: values for name, values in figures.items() if not np.isnan(values).all()}


def _sampled(observed: Observations, config: MonitorConfig) -> Observations:
    """A random sample of `monitor.most`: rows of a table have no times."""
    if len(observed) <= config.most:
        return observed
    chosen = np.random.default_rng(config.seed).choice(len(observed), config.most, replace=False)
    skipped = {f"beyond the {config.most:,} of a random sample (monitor.most)": len(observed) - config.most}
    return replace(observed.take(np.sort(chosen)), skipped=skipped)
