"""The queue's table: a row a rejection, in one Parquet file."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clip_har.errors import DataError
from clip_har.storage import write_atomic

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["waiting", "requeued", "discarded", "resolved"]


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    Attributes:
        key: 12 hex digits that name the row; they are part of the kept file's name.
        id: sha256 of the bytes; empty where they could not be read.
        uri: path relative to `source`, as listed.
        label: as listed; empty if there is none.
        reason: one of `clip_har.data.validation.REASONS`.
        details: what validation said about it.
        source: the folder that it lies in.
        data_version: the data in which it was first rejected.
        time: when that was (ISO 8601, UTC).
        status: waiting for a person; requeued, to be looked at again; discarded for good; resolved, which is not
            rejected any more.
        file: the kept bytes, relative to the queue's folder; empty if there are none.
        bytes: their number.
        note: why no bytes are kept, or what became of the sample.
    """

    key: str
    id: str
    uri: str
    label: str
    reason: str
    details: str
    source: str
    data_version: str
    time: str
    status: Status = "waiting"
    file: str = ""
    bytes: int = 0
    note: str = ""


QUEUE_COLUMNS = tuple(field.name for field in fields(Entry))


def in_order(rows: Iterable[Entry]) -> list[Entry]:
    """What is rejected now first, then by reason and uri."""
    return sorted(rows, key=lambda row: (row.status == "resolved", row.reason, row.uri, row.key))


def frame_of(rows: list[Entry]) -> pd.DataFrame:
    """The rows with the columns `QUEUE_COLUMNS`."""
    import pandas as pd

    return pd.DataFrame([asdict(row) for row in rows], columns=list(QUEUE_COLUMNS))


def read_table(table: Path) -> tuple[list[Entry], int]:
    """The rows, and how many decisions they take account of; none of either if there is no table.

    Raises:
        DataError: if it is not readable.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not table.is_file():
        return [], 0
    try:
        with pq.ParquetFile(table) as file:  # not read_table, which imports pandas
            found = file.read()
        rows = [Entry(**row) for row in found.to_pylist()]
        return rows, int((found.schema.metadata or {})[b"decisions"])
    except (OSError, pa.ArrowInvalid, TypeError, KeyError) as error:
        raise DataError(
            f"{table} is not a readable table of the rejection queue: {error}. Remove it, and the next run of the data "
            "pipeline makes it again; decisions are kept apart."
        ) from error


def write_table(table: Path, rows: Iterable[Entry], decisions: int) -> None:
    """Write what `read_table` reads, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.int64() if name == "bytes" else pa.string()) for name in QUEUE_COLUMNS])
    schema = schema.with_metadata({"decisions": str(decisions)})
    buffer = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist([asdict(row) for row in in_order(rows)], schema=schema), buffer, compression="zstd"
    )
    write_atomic(table, buffer.getvalue())
