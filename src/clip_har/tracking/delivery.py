"""Handing a journal's events to one tracker, in a thread of its own: in order, in batches, again after a failure."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.storage import write_json
from clip_har.tracking.journal import Event, Journal
from clip_har.tracking.tracker import RunIdentity, Tracker

logger = logging.getLogger(__name__)

_SLOWEST_UPLOAD = 1e6  # bytes a second


class DeliveryConfig(ComponentConfig):
    """How much patience there is with a tracker."""

    attempts: int = Field(3, ge=1, description="Tries of one delivery before a tracker is dropped.")
    first_wait: float = Field(
        1.0, ge=0, description="Seconds before the second try; four times as long before the next."
    )
    call_seconds: float = Field(
        60.0,
        gt=0,
        description="A call that takes longer counts as failed; one that sends files has a second more for each megabyte.",
    )
    interval: float = Field(
        2.0, ge=0, description="Seconds between deliveries: how live curves are, and what they cost."
    )
    finish_seconds: float = Field(120.0, ge=0, description="Longest wait for trackers at the end of a run.")
    system_seconds: float = Field(
        10.0, ge=0, description="Between two samples of the system's load; 0: none are taken."
    )


class Caller:
    """A thread that makes calls, so that one which never returns can be left behind."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=f"{name} calls", daemon=True).start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            action, answer = call
            try:
                action()
                answer.put(None)
            except BaseException as error:  # also what a client does to end the process: a thread must not
                answer.put(error)

    def call(self, action: Callable[[], None], seconds: float) -> None:
        """Make a call.

        Raises:
            TimeoutError: if it has not returned after `seconds`; this caller is then of no more use.
            BaseException: whatever the call raises.
        """
        answer: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._calls.put((action, answer))
        try:
            error = answer.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no answer for {seconds:g} s") from None
        if error is not None:
            raise error

    def close(self) -> None:
        """End the thread, when its call has returned."""
        self._calls.put(None)


class Delivery:
    """Brings the events of a journal to one tracker.

    Args:
        name: the tracker's, in `TRACKERS`.
        make: makes a tracker, one for each run in the journal.
        replay: the command that delivers what was missed, for the report.
    """

    def __init__(
        self, name: str, make: Callable[[], Tracker], journal: Journal, patience: DeliveryConfig, replay: str
    ) -> None:
        self.name = name
        self.state: Literal["live", "dropped"] = "live"
        self.failure: str | None = None
        self.delivered = 0
        self._make, self._journal, self._patience, self._replay = make, journal, patience, replay
        self._state_file = journal.folder / f"{name}.json"
        self._settled = _delivered_before(self._state_file)
        self._identities: dict[str, RunIdentity] = {}
        self._trackers: dict[str, Tracker] = {}
        self._links: dict[str, str | None] = {}
        self._caller: Caller | None = None
        self._hurry = threading.Event()
        self._stopped = threading.Event()
        self._vanished = False
        self._thread = threading.Thread(target=self._run, name=f"{name} delivery", daemon=True)
        self._thread.start()

    @property
    def complete(self) -> bool:
        """Whether the tracker has everything so far."""
        return self.state == "live" and self.delivered >= len(self._journal)

    def wait(self, until: float) -> bool:
        """Wait until the tracker has everything, is dropped, or the clock (`time.monotonic`) says `until`.

        Returns:
            Whether it has everything.
        """
        self._hurry.set()
        with self._journal.news:
            self._journal.news.notify_all()
            while self.state == "live" and self.delivered < len(self._journal):
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._journal.news.wait(min(left, 0.5))
        self._hurry.clear()
        return self.complete

    def report_late(self) -> None:
        """Say that the tracker has not taken everything in the time that it had."""
        self.failure = "it was too slow"
        logger.warning(
            "The experiment tracker %s has not taken everything in time. What it misses is kept: %s",
            self.name,
            self._replay,
        )

    def stop(self) -> None:
        """End the thread, as soon as the call that it is in has returned."""
        self._stopped.set()
        self._hurry.set()
        with self._journal.news:
            self._journal.news.notify_all()
        if self.complete:  # it only writes down how far it came, in the journal's folder
            self._thread.join(10)

    def link(self) -> str | None:
        """Where a person sees the run that the journal is about; None if the tracker has not opened it."""
        return next(iter(self._links.values()), None)

    def _run(self) -> None:
        batch: list[tuple[int, Event]] = []
        for number, event in self._journal.events():
            if self._stopped.is_set():
                break
            if number >= 0:
                if event["kind"] == "start":
                    self._identities[event["run"]] = RunIdentity.model_validate(event["identity"])
                if number < self._settled:
                    self._note_delivered(number + 1)
                    continue
                batch.append((number, event))
                if len(batch) < 1000:
                    continue
            if batch:
                if not self._deliver(batch):
                    break
                batch = []
            elif number < 0:
                self._sleep()
        if self._caller is not None:
            self._caller.close()

    def _sleep(self) -> None:
        """Until there is something new; then a little, so that it becomes a batch."""
        with self._journal.news:
            if self.delivered >= len(self._journal) and not self._stopped.is_set():
                self._journal.news.wait()
        self._hurry.wait(self._patience.interval)

    def _deliver(self, batch: list[tuple[int, Event]]) -> bool:
        """Hand over some events; False if the tracker had to be dropped."""
        wait, failure = self._patience.first_wait, ""
        for attempt in range(self._patience.attempts):
            if attempt and self._stopped.wait(wait * 4 ** (attempt - 1)):
                return False
            try:
                self._hand_over([(number, event) for number, event in batch if number >= self.delivered])
                return True
            except TimeoutError as error:
                self._caller, self._trackers, failure = None, {}, str(error)
            except BaseException as error:
                failure = f"{type(error).__name__}: {error}".strip()
                logger.debug("The experiment tracker %s failed.", self.name, exc_info=error)
        self.failure = _shortened(failure)
        self.state = "dropped"
        self._save()
        logger.warning(
            "The experiment tracker %s failed and is dropped for this run (%s). The run goes on; what it misses is kept%s",
            self.name,
            self.failure,
            f": {self._replay}" if self._journal.broken is None else " as far as the disk took it.",
        )
        with self._journal.news:
            self._journal.news.notify_all()
        return False

    def _hand_over(self, batch: list[tuple[int, Event]]) -> None:
        place = 0
        while place < len(batch) and not self._stopped.is_set():
            _, event = batch[place]
            end = place + 1
            if event["kind"] == "metrics":
                while end < len(batch) and batch[end][1]["kind"] == "metrics" and batch[end][1]["run"] == event["run"]:
                    end += 1
            group = [event for _, event in batch[place:end]]
            if self._caller is None:
                self._caller = Caller(self.name)
            self._caller.call(
                lambda group=group: self._tell(group), self._patience.call_seconds + _upload_seconds(event)
            )
            place = end
            self._note_delivered(batch[place - 1][0] + 1)
        self._save()

    def _note_delivered(self, delivered: int) -> None:
        with self._journal.news:
            self.delivered = delivered
            self._journal.news.notify_all()

    def _tell(self, group: list[Event]) -> None:
        """Called in the caller's thread; several events are metrics of one run."""
        event = group[0]
        run = event["run"]
        if event["kind"] == "start":
            if run not in self._trackers:
                self._open(run)
            return
        tracker = self._trackers.get(run) or self._open(run)
        match event["kind"]:
            case "metrics":
                _tell_metrics(tracker, group)
            case "params":
                tracker.params(event["values"])
            case "tags":
                tracker.tags(event["values"])
            case "figure":
                if content := self._content(event):
                    tracker.figure(event["name"], content)
            case "table":
                tracker.table(event["name"], event["columns"], event["rows"])
            case "artifact":
                if self._is_there(event):
                    tracker.artifact(Path(event["path"]), event["folder"])
            case "model":
                if self._is_there(event):
                    tracker.model(Path(event["path"]), event["name"])
            case "finish":
                tracker.finish(event["succeeded"])
                del self._trackers[run]
            case "leave":
                getattr(tracker, "leave", lambda: None)()
                del self._trackers[run]

    def _open(self, run: str) -> Tracker:
        tracker = self._make()
        tracker.start(self._identities[run])
        self._trackers[run] = tracker
        self._links[run] = tracker.link()
        return tracker

    def _content(self, event: Event) -> bytes | None:
        if "content" in event:
            return event["content"]
        return Path(event["path"]).read_bytes() if self._is_there(event) else None

    def _is_there(self, event: Event) -> bool:
        """Whether the file is still there; that it is not is no fault of the tracker, and is reported once."""
        there = Path(event["path"]).exists()
        if not there and not self._vanished:
            self._vanished = True
            logger.warning("%s is gone, and cannot be recorded in %s any more.", event["path"], self.name)
        return there

    def _save(self) -> None:
        """Write down how far the tracker came: for a tracker that may yet lose it, only when nothing is open any more."""
        safe = not self._trackers or all(
            getattr(type(tracker), "durable", False) for tracker in self._trackers.values()
        )
        if safe:
            self._settled = self.delivered
        state = {"delivered": self._settled, "failure": self.failure}
        if self._journal.broken is None:
            try:
                write_json(self._state_file, state)
            except OSError as error:  # without it everything is delivered again, which changes nothing
                logger.debug("%s cannot be written: %s", self._state_file, error)


def _upload_seconds(event: Event) -> float:
    """What sending an event's files may take besides."""
    path = Path(event.get("path", ""))
    files = [path] if path.is_file() else path.rglob("*") if "path" in event else []
    return sum(file.stat().st_size for file in files if file.is_file()) / _SLOWEST_UPLOAD


def _shortened(text: str, most: int = 240) -> str:
    """A client's message in one line: some print whole requests."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]} …"


def _tell_metrics(tracker: Tracker, group: list[Event]) -> None:
    points = [(event["values"], event["step"], event["time"]) for event in group]
    if hasattr(tracker, "many_metrics"):
        tracker.many_metrics(points)
    else:
        for values, step, moment in points:
            tracker.metrics(values, step, moment)


def _delivered_before(state_file: Path) -> int:
    """How many events an earlier process delivered for good."""
    try:
        return int(json.loads(state_file.read_text())["delivered"])
    except (OSError, ValueError, KeyError):
        return 0
