"""What became of many pictures: a row each, as a table for the page and as files to take along."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clip_har.ui.asking import Answer

COLUMNS = (
    *("path", "sha256", "label", "confidence", "abstained", "calibrated", "label_set", "labels", "scores"),
    *("prediction_id", "model_id", "error", "error_code"),
)
"""Of the files; `label_set`, `labels` and `scores` are lists, in CSV as JSON."""


@dataclass(frozen=True)
class Row:
    """One picture's row.

    Attributes:
        values: by `COLUMNS`.
        thumbnail: small JPEG, where the picture could be decoded and room was left.
    """

    values: dict[str, Any]
    thumbnail: bytes | None = None

    @property
    def label(self) -> str | None:
        """The best label; None if there is an error."""
        return self.values["label"]

    @property
    def confidence(self) -> float:
        """Its probability; 0 if there is an error."""
        return self.values["confidence"] or 0.0

    @property
    def failed(self) -> bool:
        """Whether there is an error instead of an answer."""
        return bool(self.values["error"])


def row_of(answer: Answer, thumbnail: bytes | None = None) -> Row:
    """An answer as a row."""
    result, values = answer.result, dict.fromkeys(COLUMNS)
    values |= {"path": answer.picture.name, "sha256": answer.picture.digest if answer.picture.data else None}
    if result is None:
        code = getattr(answer.error, "code", None) or getattr(answer.error, "reason", None) or "unreadable"
        return Row(values | {"error": " ".join(str(answer.error).split()), "error_code": code}, thumbnail)
    return Row(
        values
        | {
            "label": result.label,
            "confidence": result.confidence,
            "abstained": result.abstained,
            "calibrated": result.calibrated,
            "label_set": result.label_set,
            "labels": [one.label for one in result.labels],
            "scores": [one.score for one in result.labels],
            "prediction_id": result.prediction_id,
            "model_id": result.model_id,
        },
        thumbnail,
    )


def as_csv(rows: Iterable[Row]) -> bytes:
    """CSV in UTF-8, a row a picture."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(row.values[name]) for name in COLUMNS])
    return buffer.getvalue().encode("utf-8", "replace")


def as_parquet(rows: Iterable[Row]) -> bytes:
    """Parquet, a row a picture."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        "confidence": pa.float32(),
        "abstained": pa.bool_(),
        "calibrated": pa.bool_(),
        "label_set": pa.list_(pa.string()),
        "labels": pa.list_(pa.string()),
        "scores": pa.list_(pa.float32()),
    }
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    values = [
        {name: _text(value) if isinstance(value, str) else value for name, value in row.values.items()} for row in rows
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(values, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else str(value)


def _text(value: str) -> str:
    """File names of strangers may hold halves of characters."""
    return value.encode("utf-8", "replace").decode("utf-8")
