"""Captured predictions, with their feedback, as a file that other programs read."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from clip_har.capture.errors import CaptureError
from clip_har.capture.schema import COLUMNS
from clip_har.capture.store import CaptureStore, Moment
from clip_har.capture.tables import FEEDBACK_OF_ROW, with_list_embeddings
from clip_har.storage import write_atomic

if TYPE_CHECKING:
    import pyarrow as pa

_LISTS = {"embedding", "labels", "scores", "probabilities"}


def export(
    store: CaptureStore,
    target: Path,
    since: Moment | None = None,
    until: Moment | None = None,
    model_id: str | None = None,
    images: Path | None = None,
) -> int:
    """Write the predictions of a window, a part at a time; how many there were.

    Args:
        target: ends with .parquet (embeddings as lists), .csv (lists as JSON; no embeddings) or .jsonl.
        images: folder to copy kept images into, under the names in the column `image`.

    Raises:
        CaptureError: if the ending is another, or something cannot be read or written.
    """
    if target.suffix not in _WRITERS:
        raise CaptureError(f"{target}: a name that ends with {', '.join(_WRITERS)} is wanted.")
    if target.is_dir() or (images is not None and images.exists() and not images.is_dir()):
        raise CaptureError(f"A file for rows and a folder for images are wanted, not {target} and {images}.")
    names = [name for name in COLUMNS if name != "embedding" or target.suffix != ".csv"]
    rows = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _partial(target) as partial, _WRITERS[target.suffix](partial, (*names, *FEEDBACK_OF_ROW)) as write:
            for table in store.batches_with_feedback(since, until, model_id, names):
                write(with_list_embeddings(table))
                rows += len(table)
                if images is not None:
                    _copy_images(store, filter(None, table.column("image").to_pylist()), images)
    except OSError as error:
        raise CaptureError(f"{error.filename or target} cannot be written: {error.strerror or error}.") from error
    return rows


def _copy_images(store: CaptureStore, names: Iterator[str], folder: Path) -> None:
    for name in names:
        if not (folder / name).exists() and (data := store.image_bytes(name)) is not None:
            write_atomic(folder / name, data)


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _parquet(path: Path, names: Sequence[str]) -> Iterator[Callable[[pa.Table], None]]:
    from pyarrow.parquet import ParquetWriter

    from clip_har.capture.tables import join

    with ParquetWriter(path, with_list_embeddings(join([], names)).schema, compression="zstd") as file:
        yield lambda table: file.write_table(table.replace_schema_metadata(None).cast(file.schema))


@contextmanager
def _csv(path: Path, names: Sequence[str]) -> Iterator[Callable[[pa.Table], None]]:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)

        def write(table: pa.Table) -> None:
            for row in _rows(table):
                cells = (json.dumps(row[name], ensure_ascii=False) if name in _LISTS else row[name] for name in names)
                writer.writerow(["" if cell is None else cell for cell in cells])

        yield write


@contextmanager
def _jsonl(path: Path, names: Sequence[str]) -> Iterator[Callable[[pa.Table], None]]:
    def write_to(file: IO[str], table: pa.Table) -> None:
        file.writelines(
            f"{json.dumps({name: row[name] for name in names}, ensure_ascii=False)}\n" for row in _rows(table)
        )

    with open(path, "w", encoding="utf-8") as file:
        yield lambda table: write_to(file, table)


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows as JSON takes them: times in ISO 8601, what is no number as null."""
    for row in table.to_pylist():
        yield {name: plain(value) for name, value in row.items()}


def plain(value: Any) -> Any:
    """A value as JSON takes it."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, list):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and value - value != 0 else value


_WRITERS = {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl}
