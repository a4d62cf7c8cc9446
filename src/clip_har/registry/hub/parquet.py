"""Pictures in Parquet files as the Hub and `datasets` have them: their original bytes, the class, and the Manifest's columns.

The same version of the data gives the same bytes, so that what was sent before need not be sent again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clip_har.data.manifest import SPLITS, Manifest
from clip_har.data.sources.base import Progress
from clip_har.errors import DataError

IMAGE, LABEL = "image", "labels"  # the defaults of our own reader, `data.source=hub`
_TEXTS = ("id", "uri", "split", "group", "format", "source")
_NUMBERS = ("width", "height")
_SHARD_BYTES = 400_000_000
_ROWS_AT_ONCE = 64


def data_files(manifest: Manifest) -> dict[str, str]:
    """Pattern of each split's files, for the card's `configs`."""
    present = set(manifest.frame["split"])
    return {split: f"data/{split}-*.parquet" for split in SPLITS if split in present}


def write_parquet(manifest: Manifest, folder: Path, progress: Progress | None = None) -> list[Path]:
    """Write `data/<split>-00000-of-00001.parquet` …, the rows in the order of their ids.

    Raises:
        DataError: if a picture is not the one that the Manifest names.
    """
    (folder / "data").mkdir(parents=True, exist_ok=True)
    root, written, done = Path(manifest.root), [], 0
    for split in data_files(manifest):
        rows = manifest.frame[manifest.frame["split"] == split].sort_values("id").to_dict("records")
        shards = _shards(rows, root)
        for number, shard in enumerate(shards):
            path = folder / "data" / f"{split}-{number:05d}-of-{len(shards):05d}.parquet"
            for count in _write_shard(shard, root, manifest.labels, path):
                done += count
                if progress:
                    progress(done, len(manifest))
            written.append(path)
    return written


def read_pictures(files: list[Path]) -> Iterator[tuple[str, str, bytes]]:
    """(id, uri, bytes) of every picture, a few in memory at a time.

    Raises:
        DataError: if a file is not one of ours.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        try:
            for batch in pq.ParquetFile(file).iter_batches(_ROWS_AT_ONCE, columns=[IMAGE, "id", "uri"]):
                for row in batch.to_pylist():
                    yield row["id"], row["uri"], row[IMAGE]["bytes"]
        except (pa.ArrowException, OSError, KeyError, TypeError) as error:
            raise DataError(f"{file.name} is not a file of pictures of clip_har: {error}") from error


def _shards(rows: list[dict[str, Any]], root: Path) -> list[list[dict[str, Any]]]:
    shards: list[list[dict[str, Any]]] = [[]]
    size = 0
    for row in rows:
        own = (root / row["uri"]).stat().st_size
        if shards[-1] and size + own > _SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(row)
        size += own
    return shards


def _write_shard(rows: list[dict[str, Any]], root: Path, labels: tuple[str, ...], path: Path) -> Iterator[int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(labels)
    index = {label: number for number, label in enumerate(labels)}
    with pq.ParquetWriter(path, schema, compression="none", write_statistics=False) as writer:  # JPEGs shrink no more
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            columns = {name: [row[name] for row in part] for name in (*_TEXTS, *_NUMBERS)}
            columns[IMAGE] = [{"bytes": _picture(root, row), "path": Path(row["uri"]).name} for row in part]
            columns[LABEL] = [index[row["label"]] for row in part]
            writer.write_table(pa.table(columns, schema=schema))
            yield len(part)


def _picture(root: Path, row: dict[str, Any]) -> bytes:
    data = (root / row["uri"]).read_bytes()
    if hashlib.sha256(data).hexdigest() != row["id"]:
        raise DataError(f"{root / row['uri']} is not the picture that the Manifest names; nothing was sent.")
    return data


def _schema(labels: tuple[str, ...]) -> Any:
    """With the features that `datasets` reads from the schema's metadata."""
    import pyarrow as pa

    features: dict[str, Any] = {
        IMAGE: {"_type": "Image"},
        LABEL: {"names": list(labels), "_type": "ClassLabel"},
        **{name: {"dtype": "string", "_type": "Value"} for name in _TEXTS},
        **{name: {"dtype": "int32", "_type": "Value"} for name in _NUMBERS},
    }
    fields = [
        (IMAGE, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        (LABEL, pa.int64()),
        *((name, pa.string()) for name in _TEXTS),
        *((name, pa.int32()) for name in _NUMBERS),
    ]
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})
