"""Where steps record: nothing here raises, and nothing waits for a tracker.

An event goes into the run's journal; a thread for each tracker brings it there. What a tracker missed stays in the journal,
for `clip-har tracking replay`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clip_har.tracking.delivery import Delivery, DeliveryConfig
from clip_har.tracking.journal import TRACKERS, Journal, JournalInUse
from clip_har.tracking.tracker import RunIdentity, Tracker, normalised, normalised_key, plain_params
from clip_har.tracking.trackers import described

logger = logging.getLogger(__name__)

JOURNALS = "tracking"
"""Folder of the journals in a workspace."""


def is_recording_process() -> bool:
    """Whether this process is the one of its group that records: rank 0, or one that is not of a group."""
    return os.environ.get("RANK", "0") == "0"


class Recording:
    """One run as its recorder sees it.

    Args:
        run: whose events these are.
        journal: where they go; None to record nothing.
        spent: where the time is added up.
    """

    def __init__(self, run: RunIdentity, journal: Journal | None, spent: list[float] | None = None) -> None:
        self.run = run
        self._journal = journal
        self._spent = [0.0] if spent is None else spent
        self._append("start", identity=run.model_dump(mode="json"))
        if run.tags:
            self.tags(run.tags)

    @property
    def seconds_spent(self) -> float:
        """Time spent inside recording calls, those of nested runs included; not the wait at the end."""
        return self._spent[0]

    def params(self, values: Mapping[str, Any]) -> None:
        """Record settings; nested mappings become dotted keys. One that was recorded before stays as it is."""
        with self._timed("params"):
            self._append("params", values=plain_params(values))

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record figures at a step."""
        with self._timed("metrics"):
            numbers = {key: float(value) for key, value in normalised(values).items() if value is not None}
            if numbers:
                self._append("metrics", values=numbers, step=int(step))

    def figure(self, name: str, png: bytes) -> None:
        """Record a picture: "lora/curves" becomes `figures/lora/curves.png`."""
        with self._timed("figure"):
            name, kept = normalised_key(name), {"content": bytes(png)}
            if self._writable():
                try:
                    kept = {"path": str(self._journal.keep_bytes(f"{name}.png", png))}
                except OSError as error:
                    self._journal.give_up(error)
            self._append("figure", name=name, **kept)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Record a table: "leaderboard" becomes `tables/leaderboard.json`. Cells are numbers, texts, booleans or None."""
        with self._timed("table"):
            cells = [[_cell(value) for value in row] for row in rows]
            self._append("table", name=normalised_key(name), columns=[str(column) for column in columns], rows=cells)

    def artifact(self, path: Path, folder: str = "", *, keep: bool = True) -> None:
        """Keep a file, or a folder with all that is in it, under its name below `folder`.

        Args:
            keep: have it linked or copied now, since it may change or go; False for what stays as it is where it is.
        """
        with self._timed("artifact"):
            path = Path(path).absolute()
            if not path.exists():
                logger.warning("%s is not there, and is not recorded.", path)
                return
            if keep and self._writable():
                try:
                    path = self._journal.keep(path)
                except OSError as error:
                    logger.debug("%s is recorded where it lies: %s", path, error)
            self._append("artifact", path=str(path), folder=normalised_key(folder) if folder else "")

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags; the newest value stays."""
        with self._timed("tags"):
            self._append("tags", values={key: str(value) for key, value in plain_params(values).items()})

    def model(self, path: Path, name: str) -> None:
        """Keep a model bundle's folder as `models/<name>`. It stays where it is until it is delivered."""
        with self._timed("model"):
            self._append("model", path=str(Path(path).absolute()), name=normalised_key(name))

    def finish(self, succeeded: bool = True) -> None:
        """Close the run."""
        with self._timed("finish"):
            self._append("finish", succeeded=bool(succeeded))

    def nested(self, run: RunIdentity) -> Recording:
        """Open a run of its own that lies in this one and is delivered with it."""
        with self._timed("nested"):
            return Recording(run.model_copy(update={"parent": run.parent or self.run.id}), self._journal, self._spent)
        return Recording(run, None)

    def _writable(self) -> bool:
        return self._journal is not None and self._journal.broken is None

    def _append(self, kind: str, **event: Any) -> None:
        if self._journal is not None:
            self._journal.append({"kind": kind, "run": self.run.id, "time": time.time(), **event})

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        """Measure a recording call, and keep whatever goes wrong in it from the caller."""
        started = time.perf_counter()
        try:
            yield
        except Exception as error:  # what is recorded wrongly is a fault of ours, but no reason to lose the run
            logger.warning(
                "%s of the run %s were not recorded (%s: %s).", what, self.run.id, type(error).__name__, error
            )
        finally:
            self._spent[0] += time.perf_counter() - started


class Outbox(Recording):
    """Records one run into several trackers.

    Args:
        folder: of the journals; this run's lies in `<folder>/<run.id>/`.
        run: which run it is. A journal that a dead process left of it is delivered too.
        make: name of a tracker → what makes one, as `trackers_of` gives them. Empty: nothing is recorded.
        patience: with trackers that fail.
    """

    def __init__(
        self,
        folder: Path,
        run: RunIdentity,
        make: Mapping[str, Callable[[], Tracker]],
        patience: DeliveryConfig | None = None,
    ) -> None:
        self.patience = patience or DeliveryConfig()
        self.deliveries: list[Delivery] = []
        self._sampler = None
        journal = _open_journal(Path(folder), run) if make and is_recording_process() else None
        super().__init__(run, journal)
        if journal is None:
            return
        replay = f"clip-har tracking replay --workspace {Path(folder).parent} {journal.folder.name}"
        _describe_trackers(journal, make)
        self.deliveries = [Delivery(name, maker, journal, self.patience, replay) for name, maker in make.items()]
        if self.patience.system_seconds:
            from clip_har.tracking.system_metrics import SystemMetrics

            self._sampler = SystemMetrics(self, self.patience.system_seconds)

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until the trackers have everything, at most so long.

        Returns:
            Whether each of them has.
        """
        until = time.monotonic() + (self.patience.finish_seconds if seconds is None else seconds)
        whole = [delivery.wait(until) for delivery in self.deliveries]
        return all(whole)

    def finish(self, succeeded: bool = True) -> None:
        """Close the run, wait for the trackers (`patience.finish_seconds`), and remove the journal if they have all."""
        self._end("finish", succeeded=bool(succeeded))

    def leave(self) -> None:
        """Let go of a run that another process goes on with; otherwise as `finish`."""
        self._end("leave")

    def links(self) -> dict[str, str]:
        """Where a person sees the run, by tracker; of those that have opened it."""
        return {delivery.name: link for delivery in self.deliveries if (link := delivery.link())}

    def _end(self, kind: str, **event: Any) -> None:
        if self._journal is None:
            return
        with self._timed(kind):
            if self._sampler is not None:
                self._sampler.stop()
            self._append(kind, **event)
        journal, self._journal = self._journal, None
        try:
            whole = self.flush()
            for delivery in self.deliveries:
                if delivery.state == "live" and not delivery.complete:
                    delivery.report_late()
                delivery.stop()
            journal.close(remove=whole)
        except OSError as error:
            logger.warning("The tracking journal %s was not put away (%s).", journal.folder, error)


def _open_journal(folder: Path, run: RunIdentity) -> Journal:
    """The run's journal; another beside it, where a living process writes that one."""
    number = 1
    while True:
        try:
            return Journal(folder / (run.id if number == 1 else f"{run.id}.{number}"))
        except JournalInUse:
            number += 1


def _describe_trackers(journal: Journal, make: Mapping[str, Callable[[], Tracker]]) -> None:
    """Write down who is to be told, for a replay: their settings, without what is secret."""
    if journal.broken is None:
        try:
            text = json.dumps({name: described(maker) for name, maker in make.items()}, indent=2, default=str)
            (journal.folder / TRACKERS).write_text(text + "\n")
        except OSError as error:
            logger.debug("%s: %s", journal.folder / TRACKERS, error)


def _cell(value: Any) -> Any:
    """A table's cell as JSON has it: NumPy's numbers become Python's, NaN None, and anything else its text."""
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
