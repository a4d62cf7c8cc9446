"""Merging: small files become large ones, what is deleted leaves the disk. May be killed at any moment."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.capture import columns, layout
from clip_har.capture.deletions import Deletions
from clip_har.capture.feedback import Feedback, feedback_table, readable
from clip_har.capture.images import sweep_images
from clip_har.capture.reading import KEY, CaptureFile, DamagedFile, Seen, filtered
from clip_har.capture.schema import feedback_schema, parquet_bytes, row_schema
from clip_har.errors import DataError
from clip_har.storage import exclusive

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)
ROWS = 5000
_LATE_SECONDS = 86_400.0  # how long a tombstone outlives its use: rows may be written after they were deleted
_LEFTOVER_SECONDS = 3600.0  # older half-written files, and images without a row, are from a process that was killed


def compact(folder: Path, rows_per_file: int = ROWS, *, wait: float | None = 600.0, sweep: bool = True) -> bool:
    """Merge a capture folder's small files, and take what is deleted from the disk.

    The order is what makes it safe: merged files first, then the manifest that names them and what they replace, by one
    rename, then the replaced files are removed. What a killed merge has left is removed by the next.

    Args:
        rows_per_file: rows of a full file; smaller ones are merged.
        wait: seconds to wait for another process that merges; None: leave it to that one.
        sweep: also remove images that no row names, and half-written files.

    Returns:
        False if another process is at it and it was left to that one.

    Raises:
        DataError: if another process is still at it after `wait`.
        CaptureError: if something cannot be read.
        OSError: if something cannot be written.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return True
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder / layout.LOCK, wait or 0.0))
        except DataError:
            if wait is None:
                return False
            raise
        _compact(folder, rows_per_file)
        if sweep:
            _sweep(folder)
    return True


def _compact(folder: Path, rows_per_file: int) -> None:
    files = layout.look(folder)
    _remove_leftovers(folder, files.manifest)
    deletions = Deletions.read(folder, files.deletions)
    fresh = deletions.without(files.manifest.applied)
    spared: set[Path] = set()
    while True:  # again without a file that turns out to be damaged in its middle
        predictions = _to_merge(folder, files, rows_per_file, fresh, spared)
        try:
            made = [
                name
                for dimensions, names in sorted(predictions.items())
                for name in _merge_predictions(folder, names, dimensions, rows_per_file, deletions)
            ]
            break
        except DamagedFile as error:
            spared.add(error.path)
    said = readable(folder, files.feedback)
    feedback = said if _is_due(said, deletions) else {}
    made += _merge_feedback(folder, feedback, deletions)
    damaged = spared | {folder / name for name in files.feedback if name not in said}
    replaced = frozenset([*feedback, *(name for names in predictions.values() for name in names)])
    _remove_too_old(damaged, deletions.before)
    expired = frozenset() if damaged else _expired(deletions)  # what can be read of a damaged file may be deleted, too
    if replaced or fresh.tombstones or expired:
        standing = {name for name in (*files.predictions, *files.feedback) if layout.is_merged(name)}
        merged = frozenset((standing - replaced) | set(made))
        applied = frozenset(deletions.tombstones) - expired
        manifest = replace(files.manifest, merged=merged, replaced=replaced, applied=applied).write(folder)
        layout.remove(folder, [*replaced, *expired])
        replace(manifest, replaced=frozenset()).write(folder)


def _remove_leftovers(folder: Path, manifest: layout.Manifest) -> None:
    """Finish the removal that a killed merge had begun, and drop merged files that it had not come to name."""
    listed = [name for kind in (layout.PREDICTIONS, layout.FEEDBACK) for name in layout.names_in(folder, kind)]
    layout.remove(folder, [name for name in listed if not manifest.counts(name)])


def _expired(deletions: Deletions) -> frozenset[str]:
    """Tombstones that no row needs once all files have been merged: a day old, or overtaken by one of a later time."""
    return frozenset(
        name
        for name, one in deletions.tombstones.items()
        if layout.made_at(name) < time.time() - _LATE_SECONDS and (one.before is None or one.before < deletions.before)
    )


def _remove_too_old(damaged: Collection[Path], before: int | None) -> None:
    """Remove damaged files that were written before all that is to be kept."""
    for path in damaged:
        if before is not None and path.stat().st_mtime < before / 1e6:
            path.unlink()


def _to_merge(
    folder: Path, files: layout.Files, rows_per_file: int, fresh: Deletions, spared: set[Path]
) -> dict[int, list[str]]:
    """Files that are not full, or hold what is deleted, by the length of their embeddings; adds damaged ones to `spared`.

    Without a manifest it is all of them, as what a first merge that was killed has left is not told from what it was made of.
    """
    chosen: dict[int, list[str]] = {}
    due: set[int] = set()  # one small file alone is not: merging it would give it back
    for name in files.predictions:
        try:
            if folder / name in spared:
                continue
            with CaptureFile(folder / name) as file:
                urgent = files.manifest.lost or not layout.is_merged(name) or _holds_deleted(file, fresh)
                if urgent or 2 * file.footer.rows < rows_per_file:
                    group = chosen.setdefault(file.footer.dimensions, [])
                    group.append(name)
                    if urgent or len(group) > 1:
                        due.add(file.footer.dimensions)
        except DamagedFile as error:
            spared.add(error.path)
            _log.warning("A captured file is damaged and left as it is: %s", error)
    return {dimensions: group for dimensions, group in chosen.items() if dimensions in due}


def _holds_deleted(file: CaptureFile, deletions: Deletions) -> bool:
    if deletions.before is not None and file.footer.first < deletions.before:
        return True
    return bool(deletions.ids) and any(
        not deletions.ids.isdisjoint(table.column("id").to_pylist()) for table in file.tables(["id"])
    )


def _merge_predictions(
    folder: Path, names: Sequence[str], dimensions: int, rows_per_file: int, deletions: Deletions
) -> list[str]:
    """Write the files' rows into new ones; their names."""
    output = _Output(folder, names[0], row_schema(dimensions), rows_per_file)
    seen = Seen()
    for name in names:
        with CaptureFile(folder / name) as file:
            for table in file.tables():
                keys = [table.column(part).to_pylist() for part in KEY]
                kept = deletions.keep(keys[0], columns.array_of(table.column("time"), np.int64))
                output.add(filtered(table, kept & seen.new(keys)))
    output.finish()
    return output.names


class _Output:
    """New merged files, full but for the last."""

    def __init__(self, folder: Path, first: str, schema: pa.Schema, rows_per_file: int) -> None:
        self.names: list[str] = []
        self._folder, self._first, self._schema, self._full = folder, first, schema, rows_per_file
        self._merge = layout.token()
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, table: pa.Table) -> None:
        """Take rows."""
        while len(table):
            part = table.slice(0, self._full - self._rows)
            table = table.slice(len(part))
            self._waiting.append(part)
            self._rows += len(part)
            if self._rows == self._full:
                self._write()

    def finish(self) -> None:
        """Write what is left."""
        if self._rows:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        name = layout.merged_name(layout.PREDICTIONS, self._first, self._merge, len(self.names))
        _write_table(self._folder / name, pa.concat_tables(self._waiting), self._schema)
        self.names.append(name)
        self._waiting, self._rows = [], 0


def _write_table(path: Path, table: pa.Table, kind: pa.Schema) -> None:
    layout.write_durably(path, parquet_bytes(table.replace_schema_metadata(kind.metadata)))


def _is_due(said: dict[str, list[Feedback]], deletions: Deletions) -> bool:
    """Whether any feedback is new or deleted; if so all of it is merged: it is little."""
    return any(
        not layout.is_merged(name) or any(deletions.takes(row.prediction_id, row.time) for row in rows)
        for name, rows in said.items()
    )


def _merge_feedback(folder: Path, found: dict[str, list[Feedback]], deletions: Deletions) -> list[str]:
    rows = [row for rows in found.values() for row in rows if not deletions.takes(row.prediction_id, row.time)]
    if not rows:
        return []
    name = layout.merged_name(layout.FEEDBACK, min(found), layout.token(), 0)
    _write_table(folder / name, feedback_table(list(dict.fromkeys(rows))), feedback_schema())
    return [name]


def _sweep(folder: Path) -> None:
    """Remove images that no row names, and what processes that were killed have half written."""
    until = time.time() - _LEFTOVER_SECONDS
    for kind in (layout.PREDICTIONS, layout.FEEDBACK, layout.DELETIONS, layout.DROPPED, "."):
        for partial in (folder / kind).glob(".*.partial"):
            with suppress(FileNotFoundError):
                if partial.stat().st_mtime < until:
                    partial.unlink()
    if not (folder / layout.IMAGES).is_dir():
        return
    named: set[str] = set()
    for name in layout.look(folder).predictions:
        try:
            with CaptureFile(folder / name) as file:
                named.update(image for table in file.tables(["image"]) for image in table.column("image").to_pylist())
        except DamagedFile:
            return  # whose images it names is not known
    sweep_images(folder, named, _LEFTOVER_SECONDS)
