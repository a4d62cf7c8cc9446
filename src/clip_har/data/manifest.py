"""The Manifest: one row a sample, from which everything downstream starts."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from clip_har.component import Artifact
from clip_har.errors import DataError, did_you_mean
from clip_har.hashing import sha256_json
from clip_har.storage import write_atomic

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "calibration", "test")
COLUMNS = ("id", "uri", "label", "split", "group", "width", "height", "format", "source", "data_revision")
# Where the pictures lie and under which revision is not part of what they are.
_NOT_CONTENT = ("data_revision",)


@dataclass(frozen=True)
class Manifest(Artifact):
    """A validated data set.

    Attributes:
        frame: a row a sample with the columns `COLUMNS`: id (sha256 of the file's bytes, unique), uri (relative to
            `root`), label, split (one of `SPLITS`, or "" before splitting), group (samples that show the same
            picture share one), width and height in pixels, format, source (kind of data source), data_revision.
        labels: all classes, in the order of their indices.
        root: folder that the uris are relative to.
        dvc_hash: DVC's md5 of the published version's pictures; "" if they were not opened from a version.
    """

    frame: pd.DataFrame
    labels: tuple[str, ...]
    root: str
    dvc_hash: str = ""

    def __post_init__(self) -> None:
        missing = [column for column in COLUMNS if column not in self.frame.columns]
        if missing:
            raise DataError(f"A Manifest needs the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}.")
        repeated = self.frame["id"][self.frame["id"].duplicated()]
        if len(repeated):
            raise DataError(f"Two rows of the Manifest have the same id (same bytes): {repeated.iloc[0]}.")
        strangers = sorted(set(self.frame["label"]) - set(self.labels))
        if strangers:
            raise DataError(f"The Manifest has labels that are not among its classes: {', '.join(strangers)}.")

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def content_hash(self) -> str:
        """sha256 of what the data are: all rows and classes, but neither the folder nor the revision's name."""
        columns = [column for column in COLUMNS if column not in _NOT_CONTENT]
        rows = self.frame.sort_values("id")[columns]
        return sha256_json({"labels": self.labels, "rows": rows.to_numpy().tolist()})

    def in_the_order_of(self, labels: tuple[str, ...]) -> Manifest:
        """The same data with a model's classes.

        Raises:
            DataError: if they have classes that are not among them.
        """
        strangers = sorted(set(self.labels) - set(labels))
        if strangers:
            raise DataError(
                f"The data have classes that the model does not know: {', '.join(strangers)}. "
                f"{did_you_mean(strangers[0], labels)} Leave them out with data.labels."
            )
        return replace(self, labels=labels)

    def split(self, name: str) -> Manifest:
        """The samples of one split, in the Manifest's order.

        Raises:
            DataError: if there is no such split, or it is empty.
        """
        if name not in SPLITS:
            raise DataError(f"There is no split {name!r}. {did_you_mean(name, SPLITS)}")
        part = self.frame[self.frame["split"] == name]
        if part.empty:
            raise DataError(
                f"The {name} split is empty: {len(self)} accepted photographs are too few for the fractions in "
                "`splits`. Add photographs or enlarge that split."
            )
        return replace(self, frame=part.reset_index(drop=True))

    @cached_property
    def label_indices(self) -> np.ndarray:
        """int64 [n]: index into `labels` for each row."""
        index = {label: number for number, label in enumerate(self.labels)}
        return self.frame["label"].map(index).to_numpy(dtype=np.int64)

    @property
    def ids(self) -> list[str]:
        """The ids, in the Manifest's order."""
        return self.frame["id"].tolist()

    @property
    def paths(self) -> list[Path]:
        """The files, in the Manifest's order."""
        root = Path(self.root)
        return [root / uri for uri in self.frame["uri"]]

    def counts(self) -> pd.DataFrame:
        """Samples per class (rows) and split (columns), with every class and every split present."""
        import pandas as pd

        table = pd.crosstab(self.frame["label"], self.frame["split"])
        return table.reindex(index=list(self.labels), columns=list(SPLITS), fill_value=0)

    def write(self, path: str | Path) -> Path:
        """Write one Parquet file; classes, root and DVC hash travel in its metadata."""
        import io

        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pandas(self.frame[list(COLUMNS)], schema=_schema(), preserve_index=False)
        about = {"labels": list(self.labels), "root": self.root, "dvc_hash": self.dvc_hash}
        table = table.replace_schema_metadata({b"clip_har": json.dumps(about).encode()})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        return write_atomic(path, buffer.getvalue())

    @classmethod
    def read(cls, path: str | Path | BinaryIO) -> Manifest:
        """Read what `write` wrote, from a file or its open content.

        Raises:
            DataError: if the file is not a Manifest.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{path} is not a readable Manifest (Parquet): {error}") from error
        about = (table.schema.metadata or {}).get(b"clip_har")
        if about is None:
            raise DataError(f"{path} is a Parquet file, but not a Manifest of clip_har.")
        about = json.loads(about)
        return cls(table.to_pandas(), tuple(about["labels"]), about["root"], about.get("dvc_hash", ""))


def _schema():
    import pyarrow as pa

    integers = {"width", "height"}
    return pa.schema([(column, pa.int32() if column in integers else pa.string()) for column in COLUMNS])
