"""What trackers missed, delivered later from the journals."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip_har.errors import DataError, did_you_mean
from clip_har.tracking.delivery import Delivery, DeliveryConfig
from clip_har.tracking.journal import EVENTS, TRACKERS, Journal, JournalInUse
from clip_har.tracking.tracker import Tracker
from clip_har.tracking.trackers import trackers_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JournalState:
    """A journal that lies there, since some tracker has not got everything.

    Attributes:
        name: of its folder.
        run: the run's name.
        began: seconds of the Unix clock.
        events: how many there are.
        delivered: tracker → how many of them it surely has.
        failures: tracker → why it was dropped.
    """

    name: str
    run: str
    began: float
    events: int
    delivered: dict[str, int]
    failures: dict[str, str]


def journals(folder: Path) -> list[JournalState]:
    """What lies in a folder of journals, the oldest first."""
    found = [_state(path.parent) for path in Path(folder).glob(f"*/{EVENTS}")]
    return sorted(found, key=lambda state: (state.began, state.name))


def _state(folder: Path) -> JournalState:
    with open(folder / EVENTS, "rb") as file:
        lines = [line for line in file if line.endswith(b"\n")]
    first = json.loads(lines[0]) if lines else {}
    delivered, failures = {}, {}
    for name in _read(folder / TRACKERS):
        state = _read(folder / f"{name}.json")
        delivered[name] = int(state.get("delivered", 0))
        if state.get("failure"):
            failures[name] = state["failure"]
    run = first.get("identity", {}).get("name", folder.name)
    return JournalState(folder.name, run, float(first.get("time", 0.0)), len(lines), delivered, failures)


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}


def replay(
    folder: Path,
    name: str,
    *,
    settings: dict[str, Any] | None = None,
    make: dict[str, Callable[[], Tracker]] | None = None,
    patience: DeliveryConfig | None = None,
) -> dict[str, str | None]:
    """Deliver what a journal still has for its trackers; it is removed when each of them has everything.

    A run whose process was killed is closed as failed.

    Args:
        folder: of the journals.
        name: the journal's, as `journals` tells.
        settings: instead of those that the run had; for a server that has moved.
        make: instead of what was written down: tracker → what makes it.

    Returns:
        Tracker → why it could not be told everything; None if it has everything now.

    Raises:
        DataError: if there is no such journal, or a living process has it.
    """
    place = Path(folder) / name
    if not (place / EVENTS).is_file():
        known = [state.name for state in journals(folder)]
        raise DataError(f"There is no tracking journal {name!r} in {folder}. {did_you_mean(name, known)}")
    patience = patience or DeliveryConfig()
    if make is None:
        written = _read(place / TRACKERS)
        make = {tracker: trackers_of(tracker, kept | (settings or {}))[tracker] for tracker, kept in written.items()}
    try:
        journal = Journal(place)
    except JournalInUse as error:
        raise DataError(f"{error} It is delivered by that one; wait until it has ended.") from None
    try:
        _close_what_was_cut_off(journal)
        again = f"clip-har tracking replay --workspace {Path(folder).parent} {name}"
        deliveries = [Delivery(tracker, maker, journal, patience, again) for tracker, maker in make.items()]
        until = time.monotonic() + max(patience.finish_seconds, 3600.0)
        whole = [delivery.wait(until) for delivery in deliveries]
        for delivery in deliveries:
            delivery.stop()
        answer = {
            delivery.name: None if done else delivery.failure or "it was too slow"
            for delivery, done in zip(deliveries, whole, strict=True)
        }
    except BaseException:
        journal.close()
        raise
    journal.close(remove=all(whole))
    return answer


def _close_what_was_cut_off(journal: Journal) -> None:
    """Runs that neither ended nor were handed on: their process was killed."""
    open_runs: list[str] = []
    for number, event in journal.events():
        if number < 0:
            break
        if event["kind"] in ("finish", "leave"):
            open_runs = [run for run in open_runs if run != event["run"]]
        elif event["run"] not in open_runs:
            open_runs.append(event["run"])
    for run in reversed(open_runs):
        journal.append({"kind": "finish", "run": run, "time": time.time(), "succeeded": False})
