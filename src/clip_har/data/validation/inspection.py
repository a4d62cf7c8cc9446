"""What was measured of each accepted picture, while it was decoded anyway."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from clip_har.component import Artifact
from clip_har.errors import DataError
from clip_har.hashing import sha256_json
from clip_har.storage import write_atomic

if TYPE_CHECKING:
    import pandas as pd

INSPECTION_COLUMNS = ("id", "perceptual_hash", "brightness", "contrast", "sharpness", "file_bytes", "waived")
_FILE = "inspection.parquet"


@dataclass(frozen=True)
class Inspection(Artifact):
    """Measurements of the accepted samples.

    Attributes:
        frame: a row an accepted sample, in the Manifest's order, with `INSPECTION_COLUMNS`: id, perceptual_hash (uint64),
            brightness (mean, 0 to 1), contrast (standard deviation of the colour channel that varies most, 0 to 1),
            sharpness (standard deviation of the Laplacian over that of the picture), file_bytes, and waived (reasons,
            separated by spaces, that a person has decided not to apply).
    """

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        missing = [column for column in INSPECTION_COLUMNS if column not in self.frame.columns]
        if missing:
            raise DataError(f"An Inspection needs the columns {', '.join(INSPECTION_COLUMNS)}; missing: {missing}.")

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def of_rows(cls, rows: list[tuple]) -> Inspection:
        """From tuples in the order of `INSPECTION_COLUMNS`."""
        import pandas as pd

        kinds = ("object", "uint64", "float64", "float64", "float64", "int64", "object")
        columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
        named = zip(INSPECTION_COLUMNS, columns, kinds, strict=True)
        return cls(pd.DataFrame({name: pd.Series(values, dtype=kind) for name, values, kind in named}))

    @cached_property
    def content_hash(self) -> str:
        """sha256 of all rows, in whatever order they are."""
        return sha256_json(self.frame.sort_values("id")[list(INSPECTION_COLUMNS)].to_numpy().tolist())

    def write(self, folder: str | Path) -> Path:
        """Write `inspection.parquet` into a folder."""
        buffer = io.BytesIO()
        self.frame[list(INSPECTION_COLUMNS)].to_parquet(buffer, index=False, compression="zstd")
        return write_atomic(Path(folder) / _FILE, buffer.getvalue())

    @classmethod
    def read(cls, folder: str | Path) -> Inspection:
        """Read what `write` wrote.

        Raises:
            DataError: if there is none.
        """
        import pandas as pd
        import pyarrow as pa

        path = Path(folder) / _FILE
        try:
            return cls(pd.read_parquet(path))
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{path} is not a readable Inspection (Parquet): {error}") from error
