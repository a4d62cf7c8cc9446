"""The rows on disk: their columns, their version, and how they are made from predictions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.capture import columns
from clip_har.capture.errors import CaptureError
from clip_har.capture.prediction import CapturedPrediction
from clip_har.capture.statistics import STATISTICS

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
COLUMNS = (
    *("id", "time", "model_id", "encoder_hash", "embedding", "labels", "scores", "calibrated", "abstained"),
    *("probabilities", "width", "height", "format", "bytes", *STATISTICS, "seconds", "surface", "role"),
    *("image", "error"),
)
FEEDBACK_COLUMNS = ("prediction_id", "label", "time", "caller")
_REPEATING = ("model_id", "encoder_hash", "labels.list.element", "format", "surface", "role", "error")
_VERSION_KEY, _DIMENSIONS_KEY = b"clip_har.capture.version", b"clip_har.capture.dimensions"


@dataclass(frozen=True)
class Row:
    """A prediction that is ready to be written.

    Attributes:
        values: by column, but for `embedding`.
        embedding: float32 [d], or None.
    """

    values: dict[str, Any]
    embedding: np.ndarray | None

    @classmethod
    def of(cls, prediction: CapturedPrediction, top_scores: int, image: str | None) -> Row:
        """Take a prediction apart, with the name of its kept image.

        Raises:
            ValueError, TypeError, AttributeError, OverflowError: if a value is none of its kind.
        """
        embedding = np.array(prediction.embedding, np.float32).reshape(-1)
        probabilities = prediction.probabilities
        values: dict[str, Any] = {
            "id": str(prediction.id),
            "time": microseconds(prediction.time),
            "labels": [str(label) for label in prediction.labels[:top_scores]],
            "scores": np.array(prediction.scores[:top_scores], np.float32).reshape(-1),
            "probabilities": None if probabilities is None else np.array(probabilities, np.float32).reshape(-1),
            "image": image,
        }
        for name in ("model_id", "encoder_hash", "format", "surface", "role", "error"):
            values[name] = str(getattr(prediction, name))
        for name in ("calibrated", "abstained"):
            values[name] = bool(getattr(prediction, name))
        for name in ("width", "height", "bytes"):
            values[name] = np.int64(getattr(prediction, name))
        values |= {name: float(prediction.statistics.get(name, "nan")) for name in STATISTICS}
        values["seconds"] = float(prediction.seconds)
        return cls(values, embedding if len(embedding) else None)

    @property
    def dimensions(self) -> int:
        """Length of the embedding; 0 if there is none."""
        return 0 if self.embedding is None else len(self.embedding)


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Rows whose embeddings are all of one length, or that all have none, as a table."""
    import pyarrow as pa

    dimensions = rows[0].dimensions
    embeddings = [row.embedding for row in rows]
    made = {name: _column(name, [row.values[name] for row in rows]) for name in COLUMNS if name != "embedding"}
    made["embedding"] = columns.vectors(embeddings) if dimensions else columns.float_lists(embeddings)
    return pa.Table.from_arrays([made[name] for name in COLUMNS], schema=row_schema(dimensions))


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    import pyarrow.parquet as pq

    encodings = {"use_dictionary": False}
    if "embedding" in table.column_names:  # written in 40 % less time, and 15 % smaller, than with the defaults
        encodings = {"use_dictionary": list(_REPEATING), "use_byte_stream_split": ["embedding.list.element"]}
    made = io.BytesIO()
    pq.write_table(table, made, compression="zstd", **encodings)
    return made.getvalue()


def _column(name: str, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    kind = _kinds()[name]
    if pa.types.is_string(kind):
        return columns.strings(values)
    if pa.types.is_boolean(kind):
        return columns.booleans(values)
    if pa.types.is_list(kind):
        return columns.string_lists(values) if pa.types.is_string(kind.value_type) else columns.float_lists(values)
    return columns.numbers(np.array(values, np.float32 if pa.types.is_float32(kind) else np.int64), kind)


def _kinds() -> dict[str, pa.DataType]:
    import pyarrow as pa

    text, number, size = pa.string(), pa.float32(), pa.int64()
    return {
        **dict.fromkeys(("id", "model_id", "encoder_hash", "format", "surface", "role", "image", "error"), text),
        **dict.fromkeys(("calibrated", "abstained"), pa.bool_()),
        **dict.fromkeys(("width", "height", "bytes"), size),
        **dict.fromkeys((*STATISTICS, "seconds"), number),
        "time": pa.timestamp("us", tz="UTC"),
        "labels": pa.list_(text),
        "scores": pa.list_(number),
        "probabilities": pa.list_(number),
    }


def row_schema(dimensions: int) -> pa.Schema:
    """Schema of a file whose embeddings have this length; 0: all are null, in a list of any length."""
    import pyarrow as pa

    kinds = _kinds() | {"embedding": pa.list_(pa.float32(), dimensions or -1)}
    facts = {_VERSION_KEY: str(VERSION).encode(), _DIMENSIONS_KEY: str(dimensions).encode()}
    return pa.schema([(name, kinds[name]) for name in COLUMNS], facts)


def feedback_kinds() -> list[pa.DataType]:
    """Types of `FEEDBACK_COLUMNS`."""
    import pyarrow as pa

    return [pa.string(), pa.string(), pa.timestamp("us", tz="UTC"), pa.string()]


def feedback_schema() -> pa.Schema:
    """Schema of a file of feedback."""
    import pyarrow as pa

    return pa.schema(list(zip(FEEDBACK_COLUMNS, feedback_kinds(), strict=True)), {_VERSION_KEY: str(VERSION).encode()})


def microseconds(seconds: float) -> int:
    """Seconds since 1970 as a timestamp.

    Raises:
        ValueError, OverflowError: if that is no moment.
    """
    whole = round(float(seconds) * 1e6)
    if abs(whole) >= 2**62:
        raise OverflowError(f"{seconds} s since 1970 is no moment that can be stored.")
    return whole


def dimensions_of(written: pa.Schema, path: Path) -> int:
    """Length of the embeddings in a file; 0: all are null.

    Raises:
        CaptureError: if a newer version wrote the file.
        ValueError: if it is none of ours.
    """
    facts = written.metadata or {}
    check_format(int(facts[_VERSION_KEY]) if _VERSION_KEY in facts else 0, path)
    if _VERSION_KEY not in facts:
        raise ValueError("it is no file of a capture")
    return int(facts.get(_DIMENSIONS_KEY, 0))


def check_format(version: int, path: Path) -> None:
    """Refuse what a newer version wrote.

    Raises:
        CaptureError: if `version` is above ours.
    """
    if version > VERSION:
        raise CaptureError(
            f"{path} has version {version} of the capture's format; this clip-har reads up to {VERSION}. Update it."
        )
