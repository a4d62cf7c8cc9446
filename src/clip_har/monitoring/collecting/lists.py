"""Arrow columns of lists as matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clip_har.capture.columns import array_of
from clip_har.monitoring.errors import MonitoringError

if TYPE_CHECKING:
    import pyarrow as pa


def rows_of(column: pa.ChunkedArray, size: int, name: str) -> np.ndarray:
    """A column of lists of float32 without nulls as float32 [n, size].

    Raises:
        MonitoringError: if a list is of another size.
    """
    import pyarrow as pa

    parts = [array_of(pa.chunked_array([chunk.flatten()]), np.float32) for chunk in column.chunks if len(chunk)]
    flat = np.concatenate([*parts, np.zeros(0, np.float32)])
    if len(flat) != len(column) * size:
        raise MonitoringError(
            f"{name}: {len(column)} answers have {len(flat)} numbers, and {size} each are what the model gives. Another model "
            "made them."
        )
    return flat.reshape(len(column), size)
