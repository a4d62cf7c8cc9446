"""Arrow columns to and from Python and NumPy, over their buffers alone.

`pa.array`, `to_numpy` and `cast` import pandas where it is installed, which costs half a second and 50 MB in the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def strings(values: Sequence[str | None]) -> pa.Array:
    """A string column; None is null."""
    import pyarrow as pa

    encoded = [b"" if value is None else value.encode(errors="replace") for value in values]
    return pa.Array.from_buffers(
        pa.string(),
        len(encoded),
        [_validity([value is not None for value in values]), _offsets(encoded), pa.py_buffer(b"".join(encoded))],
    )


def string_lists(values: Sequence[Sequence[str]]) -> pa.Array:
    """A column of lists of strings."""
    import pyarrow as pa

    flat = strings([text for row in values for text in row])
    return pa.Array.from_buffers(pa.list_(pa.string()), len(values), [None, _offsets(values)], children=[flat])


def float_lists(values: Sequence[np.ndarray | Sequence[float] | None]) -> pa.Array:
    """A column of lists of float32 of any length; None is null."""
    import pyarrow as pa

    rows = [np.zeros(0, np.float32) if row is None else np.asarray(row, np.float32).reshape(-1) for row in values]
    flat = numbers(np.concatenate([*rows, np.zeros(0, np.float32)]), pa.float32())
    buffers = [_validity([row is not None for row in values]), _offsets(rows)]
    return pa.Array.from_buffers(pa.list_(pa.float32()), len(rows), buffers, children=[flat])


def vectors(values: Sequence[np.ndarray]) -> pa.Array:
    """A column of fixed-size lists of float32, from arrays [d]. (Arrow reads no nulls among them from Parquet.)"""
    import pyarrow as pa

    matrix = np.stack(values).astype(np.float32, copy=False)
    flat = numbers(matrix.reshape(-1), pa.float32())
    return pa.Array.from_buffers(pa.list_(pa.float32(), matrix.shape[1]), len(values), [None], children=[flat])


def numbers(values: np.ndarray, kind: pa.DataType, valid: Sequence[bool] | None = None) -> pa.Array:
    """A column of numbers (or of timestamps as int64) from an array of that width; null where not `valid`."""
    import pyarrow as pa

    validity = None if valid is None else _validity(valid)
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(np.ascontiguousarray(values))])


def booleans(values: Sequence[bool] | np.ndarray) -> pa.Array:
    """A column of booleans."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


def array_of(column: pa.ChunkedArray, dtype: type) -> np.ndarray:
    """The values of a column of numbers without nulls, as an array of their own width."""
    parts = [
        np.frombuffer(chunk.buffers()[1], dtype)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate([np.zeros(0, dtype), *parts])


def matrix_of(column: pa.ChunkedArray) -> np.ndarray:
    """A column of fixed-size lists as float32 [n, d]; a null row is NaN. Nothing but nulls (pictures that were all refused) is
    [n, 0]. Lists of differing sizes are refused (ValueError).
    """
    import pyarrow as pa

    if not pa.types.is_fixed_size_list(column.type):
        if column.null_count == len(column):
            return np.zeros((len(column), 0), np.float32)
        raise ValueError("The rows are vectors of several models, of differing sizes: ask for one model_id.")
    size = column.type.list_size
    parts = [np.zeros((0, size), np.float32)]
    for chunk in column.chunks:
        values = array_of(pa.chunked_array([chunk.values]), np.float32).reshape(-1, size)
        part = values[chunk.offset : chunk.offset + len(chunk)]
        if chunk.null_count:
            validity = np.unpackbits(np.frombuffer(chunk.buffers()[0], np.uint8), bitorder="little").astype(bool)
            part = np.where(validity[chunk.offset : chunk.offset + len(chunk), None], part, np.float32("nan"))
        parts.append(part)
    return np.concatenate(parts)


def _offsets(values: Sequence[Sequence]) -> pa.Buffer:
    import pyarrow as pa

    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    return pa.py_buffer(offsets)


def _validity(valid: Sequence[bool]) -> pa.Buffer | None:
    return None if all(valid) else _bits(valid)


def _bits(values: Sequence[bool] | np.ndarray) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(np.asarray(values, bool), bitorder="little"))
