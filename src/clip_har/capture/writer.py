"""Captures what the service answers: `record` only queues, a thread of its own writes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from clip_har.capture import layout
from clip_har.capture.config import CaptureConfig
from clip_har.capture.deletions import Deletions
from clip_har.capture.errors import CaptureError
from clip_har.capture.feedback import Feedback
from clip_har.capture.images import keep_image, remove_images
from clip_har.capture.prediction import CapturedPrediction
from clip_har.capture.schema import VERSION, Row, parquet_bytes, table_of

_log = logging.getLogger(__name__)
_PIECES = 64  # files of a process's own after which it merges
_UPKEEP_SECONDS = 3600.0  # between two looks for what is too old
_FIRST_UPKEEP_SECONDS = 60.0
_LONGEST_STOP_SECONDS = 5.0


class CaptureWriter:
    """Writes a process's predictions and feedback into a capture folder, beside other processes.

    Attributes:
        dropped: predictions that were lost: the buffer was full, or the disk, or a value was none of its kind.
        written: predictions that are on disk.
    """

    def __init__(self, folder: Path, config: CaptureConfig) -> None:
        self.folder = Path(folder)
        self.config = config
        self.dropped = 0
        self.written = 0
        self._name = f"{os.getpid()}.{layout.token()}"
        self._waiting: deque[CapturedPrediction] = deque()
        self._waiting_bytes = 0
        self._numbers = 0
        self._pieces = 0
        self._in_trouble = False
        self._dropped_noted = 0
        self._guard = threading.Lock()  # of the counts and the buffer
        self._writing = threading.Lock()  # held by whoever writes predictions
        self._some = threading.Event()
        self._hurry = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def record(self, prediction: CapturedPrediction) -> None:
        """Have a prediction written within `flush_seconds`. Never waits and never raises; what there is no room for is dropped."""
        if not self.samples(prediction.id):
            return
        size = len(prediction.image) if self.config.images and prediction.image is not None else 0
        with self._guard:
            full = len(self._waiting) >= self.config.buffer or self._waiting_bytes + size > self.config.buffer_bytes
            if full or self._closed:
                self.dropped += 1
                return
            self._waiting.append(prediction)
            self._waiting_bytes += size
            first = len(self._waiting) == 1
            half_full = (
                2 * len(self._waiting) > self.config.buffer or 2 * self._waiting_bytes > self.config.buffer_bytes
            )
        if first:
            self._some.set()
        if half_full or len(self._waiting) >= self.config.rows_per_file:
            self._hurry.set()

    def samples(self, prediction_id: str) -> bool:
        """Whether a prediction is kept: by its id alone, so that all processes and models agree."""
        rate = self.config.sampling_rate
        if rate >= 1:
            return True
        digest = hashlib.blake2b(str(prediction_id).encode(errors="replace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < rate * 2**64

    def feedback(self, prediction_id: str, label: str, time: float, caller: str | None = None) -> None:
        """Note the true label of a prediction; it is on disk when this returns.

        Args:
            time: when it was said, in seconds since 1970.
            caller: name of who said it.

        Raises:
            CaptureError: if the id or label is empty or too long, or the time is none.
            OSError: if it cannot be written.
        """
        said = Feedback.of(prediction_id, label, time, caller)
        name = layout.piece_name(layout.FEEDBACK, self._name, self._next_number(), "json")
        layout.write_durably(self.folder / name, json.dumps({"format": VERSION, **asdict(said)}))

    def flush(self) -> None:
        """Write what waits, before this returns."""
        with self._writing:
            self._drain()

    def close(self) -> None:
        """Write what waits and stop; what is recorded later is dropped."""
        with self._guard:
            self._closed = True
        self._some.set()
        self._hurry.set()
        self._thread.join(_LONGEST_STOP_SECONDS)  # a merge may be cut off at any moment
        self.flush()

    def _next_number(self) -> int:
        with self._guard:
            self._numbers += 1
            self._pieces += 1
            return self._numbers

    def _run(self) -> None:
        upkeep = time.monotonic() + _FIRST_UPKEEP_SECONDS
        while not self._closed:
            if self._some.wait(max(0.0, min(upkeep - time.monotonic(), _FIRST_UPKEEP_SECONDS))):
                self._hurry.wait(0.8 * self.config.flush_seconds)  # the rest is for the writing
                self._hurry.clear()
                self.flush()
            if self._closed:
                return
            if time.monotonic() >= upkeep:
                upkeep = time.monotonic() + _UPKEEP_SECONDS
                self._merge(everything=True)
            elif self._pieces >= _PIECES:
                self._merge(everything=False)

    def _drain(self) -> None:
        with self._guard:
            self._some.clear()
            waiting, self._waiting = self._waiting, deque()
            self._waiting_bytes = 0
        while waiting:
            self._write([waiting.popleft() for _ in range(min(len(waiting), self.config.rows_per_file))])
        self._note_dropped()

    def _write(self, predictions: Sequence[CapturedPrediction]) -> None:
        """Write a batch, one file for each length of embeddings. What fails is counted: the thread must go on."""
        by_dimensions: dict[int, list[Row]] = {}
        for prediction in predictions:
            try:
                row = Row.of(prediction, self.config.top_scores, self._kept_image(prediction))
            except Exception as error:
                self._lose(1, error)
            else:
                by_dimensions.setdefault(row.dimensions, []).append(row)
        for rows in by_dimensions.values():
            try:
                self._write_file(rows)
            except Exception as error:
                self._lose(len(rows), error)
            else:
                self._recover()
        images = {row.values["id"]: row.values["image"] for rows in by_dimensions.values() for row in rows}
        self._remove_deleted({name: image for name, image in images.items() if image is not None})

    def _remove_deleted(self, images: dict[str, str]) -> None:
        """Remove images whose prediction was deleted before its row could be seen."""
        if not images:
            return
        try:
            deleted = Deletions.read(self.folder, layout.names_in(self.folder, layout.DELETIONS)).ids
            remove_images(self.folder, [image for name, image in images.items() if name in deleted])
        except (OSError, CaptureError) as error:
            self._lose(0, error)

    def _write_file(self, rows: Sequence[Row]) -> None:
        data = parquet_bytes(table_of(rows))
        name = layout.piece_name(layout.PREDICTIONS, self._name, self._next_number(), "parquet")
        layout.write_durably(self.folder / name, data)
        with self._guard:
            self.written += len(rows)

    def _kept_image(self, prediction: CapturedPrediction) -> str | None:
        """Keep the picture, if that is switched on; a row whose picture cannot be written goes without."""
        if not self.config.images or prediction.image is None:
            return None
        try:
            return keep_image(self.folder, prediction.image, prediction.format)
        except OSError as error:
            self._lose(0, error)
            return None

    def _lose(self, rows: int, error: Exception) -> None:
        """Count what is lost; say so once, until it goes well again."""
        with self._guard:
            self.dropped += rows
        if not self._in_trouble:
            self._in_trouble = True
            _log.warning("Capture into %s fails, and predictions are dropped: %s", self.folder, error)

    def _recover(self) -> None:
        if self._in_trouble:
            self._in_trouble = False
            _log.warning("Capture writes again; %d predictions have been dropped so far.", self.dropped)

    def _note_dropped(self) -> None:
        """Let other processes know; if that cannot be written either, the next time may do."""
        if self.dropped == self._dropped_noted:
            return
        noted = self.dropped
        try:
            place = self.folder / layout.DROPPED / f"{self._name}.json"
            layout.write_durably(place, json.dumps({"format": VERSION, "dropped": noted}))
            self._dropped_noted = noted
        except OSError:
            pass

    def _merge(self, everything: bool) -> None:
        """Merge small files, and if `everything`, delete what is too old; another process may do it as well."""
        from clip_har.capture.compaction import compact
        from clip_har.capture.store import CaptureStore

        self._pieces = 0
        try:
            if everything and self.config.retention_days is not None:
                CaptureStore(self.folder).delete_older_than(self.config.retention_days)
            compact(self.folder, self.config.rows_per_file, wait=None, sweep=everything)
        except (OSError, CaptureError) as error:
            _log.warning("Capture cannot tidy up %s: %s", self.folder, error)
