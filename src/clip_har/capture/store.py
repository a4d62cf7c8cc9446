"""Reads and deletes what was captured, while services write."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.capture import layout
from clip_har.capture.columns import array_of
from clip_har.capture.compaction import ROWS, compact
from clip_har.capture.copies import Removed, remove_copies
from clip_har.capture.deletions import Deletions, delete_before, delete_ids
from clip_har.capture.errors import CaptureError
from clip_har.capture.feedback import Feedback, feedback_of, feedback_table, readable
from clip_har.capture.images import image_path, kept_images, remove_images
from clip_har.capture.reading import KEY, CaptureFile, DamagedFile, Footer, Seen, filtered
from clip_har.capture.schema import COLUMNS, microseconds
from clip_har.capture.summary import Counting, Summary
from clip_har.capture.tables import FEEDBACK_OF_ROW, join, joined_feedback
from clip_har.errors import did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)
_LOOKS = 100  # a read looks again when a file that it was to open has been merged meanwhile
_BATCH = 4096

Moment = float | datetime


class CaptureStore:
    """A capture folder, which may be written by services meanwhile. Where there is no folder yet, there are no rows.

    Times are seconds since 1970 or aware datetimes; a window holds `since` and not `until`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.removed = Removed()
        """Copies that this store's deletions took from labelling sheets and labelled pictures so far."""

    def predictions(
        self,
        since: Moment | None = None,
        until: Moment | None = None,
        model_id: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """The predictions of a window as one table, nearly in the order of their times.

        `embedding` is a fixed-size list of float32, or, over models of differing sizes, a list.

        Args:
            columns: of `clip_har.capture.schema.COLUMNS`; all if None.

        Raises:
            CaptureError: for an unknown column, or if the store cannot be read.
        """
        return join(self.batches(since, until, model_id, columns), self._columns(columns))

    def with_feedback(
        self,
        since: Moment | None = None,
        until: Moment | None = None,
        model_id: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """`predictions`, with the latest feedback on each: `feedback_label`, `feedback_time`, `feedback_caller`, or null."""
        wanted = self._columns(columns)
        return join(self.batches_with_feedback(since, until, model_id, wanted), (*wanted, *FEEDBACK_OF_ROW))

    def batches(
        self,
        since: Moment | None = None,
        until: Moment | None = None,
        model_id: str | None = None,
        columns: Sequence[str] | None = None,
        rows: int = _BATCH,
    ) -> Iterator[pa.Table]:
        """`predictions` in tables of at most so many rows, none of them empty, with memory for two or three of those."""
        wanted = self._columns(columns)
        window = (None if since is None else _micros(since), None if until is None else _micros(until))
        return self._batches(window, model_id, wanted, rows, None)

    def batches_with_feedback(
        self,
        since: Moment | None = None,
        until: Moment | None = None,
        model_id: str | None = None,
        columns: Sequence[str] | None = None,
        rows: int = _BATCH,
    ) -> Iterator[pa.Table]:
        """`with_feedback` in tables of at most so many rows."""
        wanted = self._columns(columns)
        latest: dict[str, Feedback] = {}
        for said in sorted(self._feedback(), key=lambda said: said.time):
            latest[said.prediction_id] = said
        for table in self.batches(since, until, model_id, dict.fromkeys((*wanted, "id")), rows):
            yield joined_feedback(table, latest).select([*wanted, *FEEDBACK_OF_ROW])

    def feedback(self, since: Moment | None = None, until: Moment | None = None) -> pa.Table:
        """All feedback of a window: `prediction_id`, `label`, `time`, `caller`, in the order of their times."""
        low = -np.inf if since is None else _micros(since)
        high = np.inf if until is None else _micros(until)
        said = [one for one in self._feedback() if low <= one.time < high]
        return feedback_table(sorted(said, key=lambda one: one.time))

    def image(self, prediction_id: str) -> bytes | None:
        """The picture of a prediction as it was sent; None if it was not kept, or is deleted."""
        for table in self.batches(columns=("id", "image")):
            for one, name in zip(table.column("id").to_pylist(), table.column("image").to_pylist(), strict=True):
                if one == prediction_id and name is not None:
                    return self.image_bytes(name)
        return None

    def image_bytes(self, name: str) -> bytes | None:
        """The picture of a name in the column `image`; None if it is deleted."""
        try:
            return image_path(self.folder, name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CaptureError(f"{error.filename} cannot be read: {error.strerror}.") from error

    def delete(self, ids: Iterable[str]) -> int:
        """Delete predictions by id, with their feedback and images.

        It counts in every read from now on, also for rows that a service has not written yet. Images are removed from the disk at
        once (of the same picture under other ids too, and from labelling sheets and labelled pictures, whatever was deleted
        before), rows when their files are next merged (`compact`). Published versions of the data keep theirs; `removed` tells.

        Returns:
            How many of them were there.
        """
        ids = frozenset([ids] if isinstance(ids, str) else ids)
        if not ids:
            return 0
        before = self._deletions(layout.look(self.folder))
        self._change(lambda: delete_ids(self.folder, ids))
        found: set[str] = set()
        images: set[str] = set()
        for table in self._batches((None, None), None, ("id", "time", "image"), _BATCH, before):
            for one, image in zip(table.column("id").to_pylist(), table.column("image").to_pylist(), strict=True):
                if one in ids:
                    found.add(one)
                    images.add(image)
        self._change(lambda: remove_images(self.folder, images - {None}))
        self._change(lambda: self._remove_copies(ids, images - {None}))
        return len(found)

    def delete_older_than(self, days: float) -> int:
        """Delete predictions and feedback of more than so many days ago, as `delete` does; how many predictions there were.

        An image that a younger row names too is kept, and so is a labelled picture that a published version of the data has.
        """
        if not days >= 0:
            raise CaptureError(f"An age in days is wanted, from 0 up, not {days}.")
        cutoff = time.time() - days * 86_400
        old, images, younger = 0, set(), set()
        for table in self.batches(columns=("time", "image")):
            is_old = array_of(table.column("time"), np.int64) < microseconds(cutoff)
            names = np.array(table.column("image").to_pylist(), object)
            old += int(is_old.sum())
            images.update(names[is_old])
            younger.update(names[~is_old])
        if (
            old
            or any(said.time < microseconds(cutoff) for said in self._feedback())
            or any(path.stat().st_mtime < cutoff for path in self._damaged())
        ):
            self._change(lambda: delete_before(self.folder, cutoff))
            self._change(lambda: remove_images(self.folder, images - younger - {None}))
            self._change(lambda: self._remove_copies((), images - younger - {None}, aged=True))
        return old

    def compact(self, rows_per_file: int = ROWS) -> None:
        """Merge small files, and take what is deleted from the disk. See `clip_har.capture.compaction`."""
        self._change(lambda: compact(self.folder, rows_per_file))

    def summary(self) -> Summary:
        """Counts, for people and gauges."""
        counting = Counting()
        for table in self.batches(columns=Counting.COLUMNS):
            counting.add(table)
        on_disk = [stat for path in self.folder.rglob("*") if (stat := _stat_of_file(path)) is not None]
        return Summary(
            feedback=len(self._feedback()),
            images=sum(1 for entry in kept_images(self.folder) if entry.name[0] != "."),
            dropped=self._dropped(),
            damaged=len(self._damaged()),
            bytes=sum(stat.st_size for stat in on_disk),
            files=len(on_disk),
            **counting.counted(),
        )

    def _batches(
        self,
        window: tuple[int | None, int | None],
        model_id: str | None,
        wanted: Sequence[str],
        rows: int,
        deletions: Deletions | None,
    ) -> Iterator[pa.Table]:
        """Args: as `batches`; deletions: the store's own, as they are at each look, if None."""
        names = list(dict.fromkeys((*wanted, *KEY, "time")))
        seen, done = Seen(), set()
        for _ in range(_LOOKS):
            files = layout.look(self.folder)
            deleted = self._deletions(files) if deletions is None else deletions
            left = [name for name in files.predictions if name not in done]
            try:
                for name in left:
                    try:
                        with CaptureFile(self.folder / name) as file:
                            done.add(name)
                            if not _overlaps(file.footer, window):
                                continue
                            for table in file.tables(names, rows):
                                kept = _kept(table, window, model_id, deleted, seen)
                                if kept.any():
                                    yield filtered(table, kept).select(list(wanted))
                    except DamagedFile as error:
                        done.add(name)
                        _log.warning("A captured file is damaged and left out: %s", error)
                return
            except FileNotFoundError:  # merged into another, whose rows that were met already are not new
                continue
        raise CaptureError(f"{self.folder}: its files vanish while they are read.")

    def _feedback(self) -> list[Feedback]:
        for _ in range(_LOOKS):
            files = layout.look(self.folder)
            deleted = self._deletions(files)
            try:
                said = [one for rows in readable(self.folder, files.feedback).values() for one in rows]
            except FileNotFoundError:
                continue
            return [one for one in dict.fromkeys(said) if not deleted.takes(one.prediction_id, one.time)]
        raise CaptureError(f"{self.folder}: its files vanish while they are read.")

    def _deletions(self, files: layout.Files) -> Deletions:
        return Deletions.read(self.folder, files.deletions)

    def _remove_copies(self, ids: Iterable[str], images: Iterable[str], aged: bool = False) -> None:
        self.removed += remove_copies(self.folder, frozenset(ids), images, aged=aged)

    def _change(self, change: Callable[[], object]) -> None:
        try:
            change()
        except OSError as error:
            raise CaptureError(f"{self.folder} cannot be changed: {error.strerror or error}.") from error

    def _columns(self, columns: Iterable[str] | None) -> tuple[str, ...]:
        wanted = COLUMNS if columns is None else tuple(columns)
        for name in wanted:
            if name not in COLUMNS:
                raise CaptureError(f"Captured predictions have no column {name!r}. {did_you_mean(name, COLUMNS)}")
        return wanted

    def _dropped(self) -> int:
        notes = (layout.read_json(self.folder / name) for name in layout.names_in(self.folder, layout.DROPPED))
        return sum(note["dropped"] for note in notes if note is not None)

    def _damaged(self) -> list[Path]:
        damaged = []
        files = layout.look(self.folder)
        for name in (*files.predictions, *files.feedback):
            try:
                if name.endswith(".parquet"):
                    with CaptureFile(self.folder / name):
                        pass
                else:
                    feedback_of(self.folder, name)
            except DamagedFile as error:
                damaged.append(error.path)
            except FileNotFoundError:
                pass
        return damaged


def _overlaps(footer: Footer, window: tuple[int | None, int | None]) -> bool:
    since, until = window
    return (since is None or footer.last >= since) and (until is None or footer.first < until)


def _kept(
    table: pa.Table, window: tuple[int | None, int | None], model_id: str | None, deleted: Deletions, seen: Seen
) -> np.ndarray:
    times = array_of(table.column("time"), np.int64)
    keys = [table.column(part).to_pylist() for part in KEY]
    since, until = window
    kept = deleted.keep(keys[0], times)
    if since is not None:
        kept &= times >= since
    if until is not None:
        kept &= times < until
    if model_id is not None:
        kept &= np.fromiter((one == model_id for one in keys[1]), bool, len(times))
    return kept & seen.new(keys)


def _micros(moment: Moment) -> int:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise CaptureError(f"{moment} has no time zone: is it local time or UTC?")
        moment = moment.timestamp()
    try:
        return microseconds(moment)
    except (ValueError, OverflowError):
        raise CaptureError(f"{moment!r} is no time in seconds since 1970.") from None


def _stat_of_file(path: Path) -> os.stat_result | None:
    try:
        return path.stat() if path.is_file() else None
    except FileNotFoundError:
        return None
