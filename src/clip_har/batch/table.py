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


def schema() -> pa.Schema:
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
    }
    return pa.schema([pa.field(name, types.get(name, pa.string())) for name in COLUMNS])


def recognise(predictor: Predictor, score: Scorer, items: Iterable[Item]) -> Iterator[list[Row]]:
    """Rows for items, a micro-batch at a time, in order; few of either are held at once."""
    waiting: deque[Item] = deque()

    def handed() -> Iterator[Item]:
        for item in items:
            waiting.append(item)
            yield item

    with closing(predictor.predict_stream(handed(), score)) as stream:
        for answers in stream:
            yield [_row(waiting.popleft(), answer) for answer in answers]


def _row(item: Item, answer: Prediction) -> Row:
    given = {"path": item.path, "sha256": item.sha256, "width": item.width, "height": item.height}
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


def as_table(rows: Sequence[Row]) -> pa.Table:
    """Rows as an Arrow table."""
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), schema=schema())


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
    def __init__(self, file: BinaryIO) -> None:
        import pyarrow.parquet as pq

        self._writer = pq.ParquetWriter(file, schema(), compression="zstd")

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


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
