"""The contact sheet: rejected samples with their pictures, where these can be decoded safely, on one page."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from clip_har.data.image import ImageLimits, PixelBudget, decode_image
from clip_har.data.quarantine.lookup import rows_of_reason
from clip_har.data.quarantine.originals import NotKept, opened_inside
from clip_har.data.quarantine.queue import RejectionQueue
from clip_har.data.quarantine.table import Entry
from clip_har.data.sources.base import Progress
from clip_har.errors import ImageError
from clip_har.pages import environment, keep_together, picture

_SIDE = 240
_CONFLICTS = ("label_conflict", "near_duplicate_label_conflict")


@dataclass(frozen=True)
class Shown:
    """A row with its picture as a data URI, or with why there is none."""

    row: Entry
    picture: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Section:
    """The rows of one reason: each alone, or (for conflicts) those together that contradict each other."""

    reason: str
    meaning: str
    total: int
    groups: tuple[tuple[Shown, ...], ...]

    @property
    def together(self) -> bool:
        """Whether its rows are shown side by side."""
        return self.reason in _CONFLICTS

    @property
    def left_out(self) -> int:
        """How many rows are not shown."""
        return self.total - sum(len(group) for group in self.groups)


def render_contact_sheet(
    queue: RejectionQueue, reason: str | None = None, *, most: int = 200, progress: Progress | None = None
) -> str:
    """What is rejected now, as one self-contained HTML page.

    Args:
        reason: only this one; all if None.
        most: samples of each reason, the first by uri; groups are not cut.

    Raises:
        DataError: if there is no such reason.
    """
    from clip_har.data.validation import REASONS

    rows = rows_of_reason([row for row in queue.rows() if row.status != "resolved"], reason)
    by_reason: dict[str, list[Entry]] = {}
    for row in rows:
        by_reason.setdefault(row.reason, []).append(row)
    chosen = {reason: _first(_groups(reason, its), most) for reason, its in by_reason.items()}
    pictures = _pictures(queue, [row for groups in chosen.values() for group in groups for row in group], progress)
    sections = [
        Section(
            reason,
            REASONS.get(reason, ""),
            len(its),
            tuple(tuple(pictures[row.key] for row in group) for group in chosen[reason]),
        )
        for reason, its in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    page = environment("clip_har.data").get_template("contact_sheet.html")
    return keep_together(
        page.render(
            sections=sections,
            total=len(rows),
            decided=sum(row.status != "waiting" for row in rows),
            most=max((section.total for section in sections), default=1),
            sources=sorted({row.source for row in rows}),
        )
    )


def _groups(reason: str, rows: list[Entry]) -> list[list[Entry]]:
    """Rows that are to be seen together."""
    if reason == "label_conflict":
        same: dict[str, list[Entry]] = {}
        for row in rows:
            same.setdefault(row.id, []).append(row)
        return list(same.values())
    if reason == "near_duplicate_label_conflict":
        return _linked(rows)
    return [[row] for row in rows]


def _linked(rows: list[Entry]) -> list[list[Entry]]:
    """Rows whose details name each other."""
    by_uri = {row.uri: row for row in rows}
    seen: set[str] = set()
    groups = []
    for row in rows:
        if row.uri in seen:
            continue
        group, left = [], [row]
        while left:
            member = left.pop()
            if member.uri not in seen:
                seen.add(member.uri)
                group.append(member)
                left += [by_uri[uri] for uri in by_uri.keys() - seen if f"like {uri}, " in member.details]
        groups.append(sorted(group, key=lambda member: member.uri))
    return groups


def _first(groups: list[list[Entry]], most: int) -> list[list[Entry]]:
    kept, number = [], 0
    for group in groups:
        if number and number + len(group) > most:
            break
        kept.append(group)
        number += len(group)
    return kept


def _pictures(queue: RejectionQueue, rows: Iterable[Entry], progress: Progress | None) -> dict[str, Shown]:
    rows = list(rows)
    limits = ImageLimits()
    budget = PixelBudget(limits.max_pixels_in_flight)
    shown = {}
    with ThreadPoolExecutor() as pool:
        for item in pool.map(lambda row: _shown(queue, row, limits, budget), rows):
            shown[item.row.key] = item
            if progress:
                progress(len(shown), len(rows))
    return shown


def _shown(queue: RejectionQueue, row: Entry, limits: ImageLimits, budget: PixelBudget) -> Shown:
    try:
        data = _bytes(queue, row, limits)
        decoded = decode_image(data, limits, reduce_above=_SIDE, budget=budget)
    except NotKept as error:
        return Shown(row, problem=str(error))
    except ImageError as error:
        return Shown(row, problem=str(error).removeprefix("The image "))
    return Shown(row, picture=picture(decoded.image, _SIDE))


def _bytes(queue: RejectionQueue, row: Entry, limits: ImageLimits) -> bytes:
    """The kept bytes, or where there are none the source's."""
    place = (queue.folder, row.file) if row.file else queue.place_of(Path(row.source), row.uri)
    with opened_inside(*place) as file:
        return file.read(limits.max_bytes + 1)
