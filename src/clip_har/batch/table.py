"""Rows of the result, and the table in its formats."""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np

from clip_har.batch.sources.base import Item
from clip_har.capture.statistics import STATISTICS
from clip_har.inference.answers import Prediction

if TYPE_CHECKING:
    import pyarrow as pa

    from clip_har.inference.answers import Scorer
    from clip_har.inference.predictor import Predictor

Row = dict[str, Any]
COLUMNS = (
    *("path", "sha256", "width", "height", "label", "score", "labels", "scores", "label_set", "abstained"),
    *("error", "error_message"),
)
DETAILS = ("bytes", *STATISTICS, "embedding", "probabilities")
"""Further columns, if details are wanted. (Lists of any length: Parquet's readers do not take nulls among those of a fixed one.)"""


def schema(details: bool = False) -> pa.Schema:
    """Arrow schema of the table: one row an image, in the source's order."""
    import pyarrow as pa

    types = {
        "width": pa.int32(),
        "height": pa.int32(),
        "score": pa.float32(),
        "labels": pa.list_(pa.string()),
        "scores": pa.list_(pa.float32()),
        "label_set": pa.list_(pa.string()),
        "abstained": pa.bool_(),
        "bytes": pa.int64(),
        **dict.fromkeys(STATISTICS, pa.float32()),
        **dict.fromkeys(("embedding", "probabilities"), pa.list_(pa.float32())),
    }
    return pa.schema(
        [pa.field(name, types.get(name, pa.string())) for name in (*COLUMNS, *(DETAILS if details else ()))]
    )


def recognise(
    predictor: Predictor, score: Scorer, items: Iterable[Item], *, details: bool = False
) -> Iterator[list[Row]]:
    """Rows for items, a micro-batch at a time, in order; few of either are held at once.

    Args:
        details: whether rows have `DETAILS` too.
    """
    waiting: deque[Item] = deque()

    def handed() -> Iterator[Item]:
        for item in items:
            item.measured = details
            waiting.append(item)
            yield item

    with closing(predictor.embed_stream(handed())) as stream:
        for embeddings, errors in stream:
            probabilities = score.probabilities(embeddings) if len(embeddings) else embeddings
            good = iter(score.of_probabilities(probabilities) if len(embeddings) else ())
            rows = [
                _row(waiting.popleft(), next(good) if error is None else Prediction(error=error), details)
                for error in errors
            ]
            if details:
                _add_vectors(rows, embeddings, probabilities if score.calibrated else None)
            yield rows


def _add_vectors(rows: Sequence[Row], embeddings: np.ndarray, probabilities: np.ndarray | None) -> None:
    """Give the rows without an error their embedding, and their probabilities of the model's own labels."""
    answered = [row for row in rows if row["error"] is None]
    for place, row in enumerate(answered):
        row["embedding"] = embeddings[place]
        row["probabilities"] = None if probabilities is None else probabilities[place]


def _row(item: Item, answer: Prediction, details: bool) -> Row:
    given = {"path": item.path, "sha256": item.sha256, "width": item.width, "height": item.height}
    if details:
        statistics = item.statistics or {}
        given |= dict.fromkeys(DETAILS) | {"bytes": item.bytes}
        given |= {name: statistics.get(name) for name in STATISTICS}
    if answer.error is not None:
        said = {"error": answer.error.reason, "error_message": str(answer.error)}
        nothing = dict.fromkeys(("label", "score", "labels", "scores", "label_set", "abstained"))
        return given | nothing | said
    return {
        **given,
        "label": answer.label,
        "score": answer.scores[0],
        "labels": list(answer.labels),
        "scores": list(answer.scores),
        "label_set": None if answer.label_set is None else list(answer.label_set),
        "abstained": answer.abstained,
        "error": None,
        "error_message": None,
    }


def as_table(rows: Sequence[Row], *, details: bool = False) -> pa.Table:
    """Rows as an Arrow table."""
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), schema=schema(details))


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


class TableWriter(Protocol):
    """Writes a table a piece at a time."""

    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


class _ParquetWriter:
    """With the columns of the first piece."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._writer = file, None

    def write(self, table: pa.Table) -> None:
        self._open(table.schema).write_table(table)

    def close(self) -> None:
        self._open(schema()).close()

    def _open(self, columns: pa.Schema) -> Any:
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, columns, compression="zstd")
        return self._writer


class _CsvWriter:
    """Lists as JSON in their cells; RFC 4180 with line feeds, UTF-8."""

    def __init__(self, file: BinaryIO) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def write(self, table: pa.Table) -> None:
        for row in plain_rows(table):
            self._writer.writerow([_cell(row[name]) for name in COLUMNS])

    def close(self) -> None:
        self._text.detach()


class _JsonLinesWriter:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, table: pa.Table) -> None:
        for row in plain_rows(table):
            self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        return


_WRITERS = {"parquet": _ParquetWriter, "csv": _CsvWriter, "jsonl": _JsonLinesWriter}


def write_table(tables: Iterable[pa.Table], file: BinaryIO, kind: str) -> None:
    """Write a table that comes in pieces as parquet, csv or jsonl; one piece is held at a time."""
    writer = _WRITERS[kind](file)
    for table in tables:
        writer.write(table)
    writer.close()


def plain_rows(table: pa.Table) -> Iterator[Row]:
    """Rows with numbers as short as float32 can be written: all formats say the same."""
    for row in table.to_pylist():
        if row["score"] is not None:
            row["score"] = _short(row["score"])
            row["scores"] = [_short(value) for value in row["scores"]]
        yield row


def _short(value: float) -> float:
    return float(str(np.float32(value)))


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    return value
