"""Tables of several files put together, and predictions beside their feedback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clip_har.capture import columns
from clip_har.capture.schema import feedback_kinds, row_schema

if TYPE_CHECKING:
    import pyarrow as pa

    from clip_har.capture.feedback import Feedback

FEEDBACK_OF_ROW = ("feedback_label", "feedback_time", "feedback_caller")


def join(tables: Iterable[pa.Table], names: Sequence[str]) -> pa.Table:
    """Tables as one, with these columns. Embeddings of differing lengths make that column one of lists."""
    import pyarrow as pa

    parts = list(tables)
    if not parts:
        kinds = row_schema(0)
        feedback = dict(zip(FEEDBACK_OF_ROW, feedback_kinds()[1:], strict=True))
        return pa.schema([(name, feedback.get(name) or kinds.field(name).type) for name in names]).empty_table()
    if "embedding" in names:
        place = parts[0].schema.get_field_index("embedding")
        filled = [part.column(place) for part in parts if part.column(place).null_count < len(part)]
        kinds = {column.type for column in filled}
        if len(kinds) > 1:
            kind = pa.list_(pa.float32())
        else:
            kind = kinds.pop() if kinds else parts[0].column(place).type
        parts = [part.set_column(place, "embedding", _as(part.column(place), kind)) for part in parts]
    return pa.concat_tables(parts).replace_schema_metadata(None)


def _as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    if column.type == kind:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    return column.cast(kind)


def joined_feedback(table: pa.Table, latest: Mapping[str, Feedback]) -> pa.Table:
    """Rows with what was said of them last, or null."""
    import pyarrow as pa

    said = [latest.get(one) for one in table.column("id").to_pylist()]
    times = np.array([0 if one is None else one.time for one in said], np.int64)
    made = (
        columns.strings([None if one is None else one.label for one in said]),
        columns.numbers(times, pa.timestamp("us", tz="UTC"), [one is not None for one in said]),
        columns.strings([None if one is None else one.caller for one in said]),
    )
    for name, column in zip(FEEDBACK_OF_ROW, made, strict=True):
        table = table.append_column(name, column)
    return table


def with_list_embeddings(table: pa.Table) -> pa.Table:
    """Embeddings as lists of any length: of several models, or null, which Parquet files give back only so."""
    import pyarrow as pa

    place = table.schema.get_field_index("embedding")
    if place < 0:
        return table
    return table.set_column(place, "embedding", _as(table.column(place), pa.list_(pa.float32())))
