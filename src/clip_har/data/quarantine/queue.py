"""The rejection queue: a folder a reason with the original bytes, a table of all rejections, and people's decisions.

    quarantine/
      queue.parquet            a row a rejection, those of the past included
      decisions.jsonl          who decided what and why: added to, never changed
      too_small/               the rejected files, named by their stem and the key of their row
      resolved/too_small/      bytes that are rejected no more and that the source has no more either

Files come before the table that names them and go after it, each step whole or not at all, so that a process may be
killed anywhere: the next `update` ends at the same place.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from clip_har.component import ComponentConfig, validated
from clip_har.data.quarantine.decisions import Decision, Decisions, append
from clip_har.data.quarantine.lookup import DISCARDED, check_waivers, rows_meant, rows_of_reason
from clip_har.data.quarantine.originals import (
    NotKept,
    folder_name,
    identity_of,
    is_kept,
    keep,
    kept_name,
    set_aside,
    sweep,
)
from clip_har.data.quarantine.table import Entry, frame_of, in_order, read_table, write_table
from clip_har.data.sources.base import COMBINED
from clip_har.errors import DataError
from clip_har.hashing import sha256_json
from clip_har.storage import exclusive

if TYPE_CHECKING:
    import pandas as pd

    from clip_har.data.sources.base import Progress
    from clip_har.data.validation import ValidationReport


_WITHOUT_BYTES = ("missing_file", "outside_data_folder", "unusable_name")  # the reason says why


class QuarantineConfig(ComponentConfig):
    """What the rejection queue keeps."""

    max_bytes: int | None = Field(
        None, ge=0, description="Largest file whose bytes are kept; larger ones have a row only. If not given: all."
    )


@dataclass(frozen=True)
class QueueSummary:
    """What is in the queue after an update.

    Attributes:
        waiting: rejections that nobody has decided about, by reason, the most frequent first.
        requeued, discarded: rejections that somebody has decided about; with the waiting they are all that the report
            rejects.
        resolved: rejections of the past.
        added, left: rejections that this update brought in, and that it moved to the past.
    """

    waiting: dict[str, int]
    requeued: int
    discarded: int
    resolved: int
    added: int
    left: int

    @property
    def rejected(self) -> int:
        """All that is rejected now."""
        return sum(self.waiting.values()) + self.requeued + self.discarded


class RejectionQueue:
    """The queue in a folder. Several processes may use it; those that change it take turns.

    Args:
        folder: `<workspace>/quarantine`; made by the first update.
        config: what is kept.
    """

    def __init__(self, folder: str | Path, config: QuarantineConfig | None = None) -> None:
        self.folder = Path(folder)
        self.config = config or QuarantineConfig()
        self._table = self.folder / "queue.parquet"
        self._records = self.folder / "decisions.jsonl"

    def exists(self) -> bool:
        """Whether there has been an update or a decision."""
        return self._table.is_file() or self._records.is_file()

    def decisions(self) -> Decisions:
        """All decisions, the oldest first."""
        return Decisions.read(self._records)

    def entries(self, reason: str | None = None) -> pd.DataFrame:
        """What is rejected now, with the columns `QUEUE_COLUMNS`, by reason and uri.

        Raises:
            DataError: if there is no such reason.
        """
        return frame_of(rows_of_reason([row for row in self.rows() if row.status != "resolved"], reason))

    def history(self, reason: str | None = None) -> pd.DataFrame:
        """Everything that was ever rejected: `entries`, and after them what is rejected no more.

        Raises:
            DataError: if there is no such reason.
        """
        return frame_of(rows_of_reason(self.rows(), reason))

    def rows(self) -> list[Entry]:
        """All rows, those that are rejected now first, then by reason and uri."""
        rows, counted = read_table(self._table)
        newest = self.decisions().newest_about
        for place, row in enumerate(rows):  # of decisions that were recorded when their process was killed
            number, decision = newest.get((row.uri, row.id), (-1, None))
            if decision is not None and number >= counted:
                rows[place] = _decided(row, decision)
        return in_order(rows)

    def update(
        self,
        report: ValidationReport,
        root: str | Path,
        data_revision: str,
        time: str | None = None,
        progress: Progress | None = None,
        *,
        decisions_hash: str | None = None,
    ) -> QueueSummary:
        """Bring the queue in line with a report: what is newly rejected in, what is rejected no more into the past.

        Args:
            report: of the newest validation.
            root: folder that its uris are relative to.
            data_revision: name of the data that it looked at.
            time: when, in ISO 8601; now if None.
            decisions_hash: `content_hash` of the decisions that validation knew; all of them if None.
        """
        root = Path(os.path.abspath(root))
        time = time or _now()
        with exclusive(self.folder / ".lock"):
            before = {row.key: row for row in self.rows()}
            rejected = {row.key: row for row in _rejected(report, str(root), data_revision, time, before)}
            known = self.decisions()
            heard = len(known) if decisions_hash is None else known.number_at(decisions_hash)
            current = []
            for number, row in enumerate(rejected.values(), start=1):
                current.append(self._with_bytes(_answered(row, known, heard), before.get(row.key), root))
                if progress:
                    progress(number, len(rejected))
            reasons: dict[str, set[str]] = {}
            for row in current:
                reasons.setdefault(row.uri, set()).add(row.reason)
            past = [self._past(row, root, reasons) for row in before.values() if row.key not in rejected]
            self._write([*current, *past], len(known))
            return _summary(current, past, before)

    def requeue(
        self,
        ids_or_uris: Iterable[str],
        who: str,
        why: str,
        waive: Sequence[str] = (),
        label: str | None = None,
        time: str | None = None,
    ) -> tuple[Decision, ...]:
        """Have samples looked at again: because their files have been mended, or with an override.

        Args:
            ids_or_uris: uris, ids or keys (or unique beginnings of four letters or more of these), or kept files.
            who, why: for the record.
            waive: reasons that shall not apply to these samples.
            label: the class that they shall have, instead of the listed one.

        Returns:
            The records, one a uri.

        Raises:
            DataError: if something is not in the queue, a reason does not exist or cannot be waived, or `who` or `why`
                is empty.
        """
        check_waivers(waive)
        override = {"waive": tuple(dict.fromkeys(waive)), "label": label or None}
        return self._decide("requeue", ids_or_uris, who, why, time, override)

    def discard(self, ids_or_uris: Iterable[str], who: str, why: str, time: str | None = None) -> tuple[Decision, ...]:
        """Leave samples out for good; the queue's copies of them are removed. Arguments and errors as of `requeue`."""
        return self._decide("discard", ids_or_uris, who, why, time, {})

    def find(self, ids_or_uris: Iterable[str]) -> list[Entry]:
        """The rows that are meant; among several of one sample, those that are rejected now.

        Raises:
            DataError: if something is not in the queue, or could be more than one.
        """
        rows = self.rows()
        found: dict[str, Entry] = {}
        for text in ids_or_uris:
            found |= {row.key: row for row in rows_meant(text, rows)}
        return list(found.values())

    def _decide(
        self, action: str, ids_or_uris: Iterable[str], who: str, why: str, time: str | None, override: dict
    ) -> tuple[Decision, ...]:
        for name, value in (("who", who), ("why", why)):
            if not value.strip():
                raise DataError(f"{name}: it is empty; who decides, and why, goes into the record.")
        if not self.exists():
            raise DataError(f"There is no rejection queue in {self.folder}.")
        with exclusive(self.folder / ".lock"):
            about = {"action": action, "who": who.strip(), "why": why.strip(), "time": time or _now(), **override}
            decisions = {}
            for row in self.find(ids_or_uris):
                about_bytes = {"id": row.id}
                now = identity_of(*self.place_of(Path(row.source), row.uri)) if action == "requeue" else None
                if now is not None and now != row.id:
                    about_bytes = {"id": now, "rejected_id": row.id}
                decisions[row.uri, row.id] = validated(Decision, {**about, **about_bytes, "uri": row.uri}, "decision")
            append(self._records, tuple(decisions.values()))
            newest = self.decisions().newest_about
            self._write([_without_bytes_if_discarded(row, newest) for row in self.rows()], len(self.decisions()))
        return tuple(decisions.values())

    def place_of(self, root: Path, uri: str) -> tuple[Path, str]:
        """Folder and path of a sample: of combined data, whose root is a folder of links, those of its part."""
        first, _, rest = uri.partition("/")
        link = root / first
        ours = root.parent == Path(os.path.abspath(self.folder)).parent / COMBINED
        if not ours or not link.is_symlink():
            return root, uri
        target = Path(os.readlink(link))
        return (target.parent, uri) if target.name == first or not rest else (target, rest)

    def _with_bytes(self, row: Entry, before: Entry | None, root: Path) -> Entry:
        if row.status == "discarded":
            return replace(row, file="", bytes=0)
        target = f"{folder_name(row.reason)}/{kept_name(row.uri, row.key)}"
        place = self.folder / target
        size = before.bytes if before is not None and before.file == target else None
        try:
            if not is_kept(*self.place_of(root, row.uri), row.id, place, size):
                keep(*self.place_of(root, row.uri), row.id, self.folder, target, self.config.max_bytes)
        except NotKept as reason:
            if before is not None and before.file and (self.folder / before.file).is_file():
                return replace(row, file=before.file, bytes=before.bytes)
            if row.reason in _WITHOUT_BYTES:
                return row
            note = f"{row.note}; " if row.note else ""
            return replace(row, note=f"{note}no bytes are kept: {reason}")
        return replace(row, file=target, bytes=place.stat().st_size)

    def _past(self, row: Entry, root: Path, reasons: dict[str, set[str]]) -> Entry:
        """A row that the newest report does not have; `reasons` are those for which it rejects each uri."""
        if row.status == "resolved":
            return row
        others = sorted(reasons.get(row.uri, ()))
        note = f"now rejected as {' and '.join(others)}" if others else "not rejected any more"
        lies = self.place_of(root, row.uri)
        now = identity_of(*lies)
        if now is None:
            note += "; there is no such file any more"
        elif row.id and now != row.id:
            note += "; the file has been changed"
        row = replace(row, status="resolved", note=note)
        place = self.folder / row.file
        if not row.file or not place.is_file():
            return replace(row, file="", bytes=0)
        source_has_them = now == row.id if row.id else now is not None and is_kept(*lies, "", place, None)
        return (
            replace(row, file="", bytes=0) if source_has_them else replace(row, file=set_aside(self.folder, row.file))
        )

    def _write(self, rows: list[Entry], decisions: int) -> None:
        write_table(self._table, rows, decisions)
        sweep(self.folder, {row.file for row in rows if row.file})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _rejected(
    report: ValidationReport, source: str, data_version: str, time: str, before: dict[str, Entry]
) -> list[Entry]:
    """A row for each rejection of a report; what was in the queue before keeps its time and data version."""
    seen: Counter = Counter()
    reasons_before: dict[tuple[str, str], list[Entry]] = {}
    for row in before.values():
        reasons_before.setdefault((row.uri, row.id), []).append(row)
    rows = []
    for uri, label, reason, details, identity in sorted(
        report.rejections[["uri", "label", "reason", "detail", "id"]].itertuples(index=False, name=None)
    ):
        if reason == DISCARDED and reasons_before.get((uri, identity)):  # keeps the reason that it was discarded for
            row = reasons_before[uri, identity].pop(0)
            rows.append(replace(row, source=source, status="waiting", note=""))
            continue
        what = (identity, uri, label, reason)  # listed twice alike: two rows
        key = sha256_json([*what, seen[what]])[:12]
        seen[what] += 1
        row = Entry(key, identity, uri, label, reason, details, source, data_version, time)
        if key in before:
            row = replace(row, data_version=before[key].data_version, time=before[key].time)
        rows.append(row)
    if report.accepted + len(rows) != report.found:
        raise AssertionError(f"{report.accepted} accepted + {len(rows)} rejected are not {report.found} found")
    return rows


def _decided(row: Entry, decision: Decision) -> Entry:
    """A row with the status that a decision about it gives."""
    if row.status == "resolved":
        return row
    return replace(row, status="requeued" if decision.action == "requeue" else "discarded")


def _answered(row: Entry, known: Decisions, heard: int) -> Entry:
    """A rejected row with the status that decisions give it; of these, validation knew the first `heard`."""
    number, decision = known.newest_about.get((row.uri, row.id), (-1, None))
    if decision is None:
        return row
    if decision.action == "requeue" and number < heard:
        return replace(row, note=f"rejected again after {decision.who} requeued it")
    return _decided(row, decision)


def _without_bytes_if_discarded(row: Entry, newest: dict[tuple[str, str], tuple[int, Decision]]) -> Entry:
    _, decision = newest.get((row.uri, row.id), (-1, None))
    discarded = decision is not None and decision.action == "discard"
    return replace(row, file="", bytes=0) if discarded else row


def _summary(current: list[Entry], past: list[Entry], before: dict[str, Entry]) -> QueueSummary:
    waiting = Counter(row.reason for row in current if row.status == "waiting")
    status = Counter(row.status for row in current)
    return QueueSummary(
        waiting=dict(sorted(waiting.items(), key=lambda item: (-item[1], item[0]))),
        requeued=status["requeued"],
        discarded=status["discarded"],
        resolved=len(past),
        added=sum(row.key not in before or before[row.key].status == "resolved" for row in current),
        left=sum(before[row.key].status != "resolved" for row in past),
    )
