"""One file of the capture, read: what its footer says, and its rows in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.capture import columns
from clip_har.capture.errors import CaptureError
from clip_har.capture.schema import dimensions_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import FileMetaData, ParquetFile

KEY = ("id", "model_id", "encoder_hash")


class DamagedFile(Exception):
    """A file that is no whole file of ours: a disk's fault, as files are written by rename."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


@dataclass(frozen=True)
class Footer:
    """What a file says of itself.

    Attributes:
        rows: their number.
        first, last: times of its rows, in microseconds since 1970.
        dimensions: length of the embeddings; 0: there are none.
    """

    rows: int
    first: int
    last: int
    dimensions: int


class CaptureFile:
    """An open file; it can be read to its end even if it is removed meanwhile.

    Raises:
        FileNotFoundError: if it has been removed already.
        DamagedFile: if it cannot be read.
        CaptureError: if a newer version wrote it, or it may not be read.
    """

    def __init__(self, path: Path) -> None:
        from pyarrow.lib import ArrowException
        from pyarrow.parquet import ParquetFile

        self.path = path
        try:
            self._file: ParquetFile = ParquetFile(path)
            self.footer = _footer(self._file.metadata, dimensions_of(self._file.schema_arrow, path))
        except FileNotFoundError:
            raise
        except PermissionError as error:
            raise CaptureError(f"{path} may not be read: {error.strerror}.") from error
        except (ArrowException, OSError, ValueError, KeyError) as error:
            raise DamagedFile(path, error) from error

    def __enter__(self) -> CaptureFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def tables(self, names: Sequence[str] | None = None, rows: int = 4096) -> Iterator[pa.Table]:
        """The rows, at most so many at a time, with these columns (None: all)."""
        import pyarrow as pa

        try:
            for batch in self._file.iter_batches(rows, columns=None if names is None else list(names)):
                yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError) as error:
            raise DamagedFile(self.path, error) from error


def _footer(metadata: FileMetaData, dimensions: int) -> Footer:
    column = metadata.schema.names.index("time")  # leaves before it are no lists in either schema
    extents = [
        (statistics.min_raw, statistics.max_raw)
        for group in range(metadata.num_row_groups)
        if (statistics := metadata.row_group(group).column(column).statistics) is not None and statistics.has_min_max
    ]
    first, last = (min(low for low, _ in extents), max(high for _, high in extents)) if extents else (0, 0)
    return Footer(metadata.num_rows, first, last, dimensions)


def filtered(table: pa.Table, kept: np.ndarray) -> pa.Table:
    """The rows of a mask: bool [n]."""
    return table if kept.all() else table.filter(columns.booleans(kept))


class Seen:
    """Which rows were met before: a row has one key, however often it was recorded or its file was listed.

    Holds a number for each row, about 60 bytes.
    """

    def __init__(self) -> None:
        self._keys: set[int] = set()

    def new(self, keys: Sequence[Sequence[str]]) -> np.ndarray:
        """Which of the rows are new: bool [n].

        Args:
            keys: columns of the key.
        """
        fresh = np.zeros(len(keys[0]), bool)
        for number, key in enumerate(map(hash, zip(*keys, strict=True))):
            if key not in self._keys:
                self._keys.add(key)
                fresh[number] = True
        return fresh
