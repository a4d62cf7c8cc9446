"""Places that pictures were copied to from a capture (labelling sheets, labelled pictures), so that deletion reaches them.

    <capture>/copies/<name>.json   where one such place is
    <place>/images/<sha256>.<format>
    <place>/labels.csv             a row a picture; the column `filename` or `file` names it, `predictions` (JSON, an object by
                                   id) or `id` the predictions that it came from, and `published` the version of the data that
                                   has it, if one does

Of a place with a column `predictions`, rows are removed with their pictures; in a sheet, which a person may have open, they stay.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from clip_har.capture import layout
from clip_har.capture.schema import VERSION
from clip_har.storage import exclusive, write_atomic

COPIES, IMAGES, TABLES, LOCK = "copies", "images", ("labels.csv", "set_aside.csv"), ".lock"


@dataclass(frozen=True)
class Removed:
    """What one removal took from the copies.

    Attributes:
        pictures: files removed, as `place/images/name`.
        published: pictures (sha256) among them or left alone that a version of the data has → its revision.
        left: of those, files that were left where they are.
    """

    pictures: tuple[str, ...] = ()
    published: tuple[tuple[str, str], ...] = ()
    left: tuple[str, ...] = ()

    def told(self) -> str:
        """Where copies remain, in sentences; empty if none are known to."""
        if not self.published:
            return ""
        revisions = sorted({revision[:12] for _, revision in self.published})
        stay = (
            f" {len(self.left)} of them were only old, and stay among the labelled pictures too." if self.left else ""
        )
        return (
            f"{len(self.published)} of the pictures are in published versions of the data ({', '.join(revisions)}), which keep "
            f"them, as do models and pages made from these.{stay} docs/labelling.md says how a version is taken away."
        )

    def __add__(self, other: Removed) -> Removed:
        return Removed(
            self.pictures + other.pictures,
            tuple(dict.fromkeys(self.published + other.published)),
            self.left + other.left,
        )


def note_copies(capture: str | Path, place: str | Path) -> None:
    """Have deletions from a capture folder reach a place from now on."""
    capture, place = Path(capture).absolute(), Path(place).absolute()
    note = capture / COPIES / f"{hashlib.sha256(str(place).encode()).hexdigest()[:16]}.json"
    if not note.is_file():
        where = os.path.relpath(place, capture)  # a workspace may be moved as a whole
        layout.write_durably(note, json.dumps({"format": VERSION, "place": where}))


def places_of(capture: str | Path) -> list[Path]:
    """The places that are still there; notes of others are dropped."""
    capture, found = Path(capture), []
    for name in layout.names_in(capture, COPIES):
        note = layout.read_json(capture / name)
        if note is None:
            continue
        place = Path(os.path.normpath(capture.absolute() / note["place"]))
        if place.is_dir():
            found.append(place)
        else:
            layout.remove(capture, [name])
    return found


def remove_copies(capture: Path, ids: Collection[str], images: Iterable[str], *, aged: bool = False) -> Removed:
    """Remove the pictures of predictions from all places.

    Args:
        ids: of the predictions.
        images: names of their pictures in the capture.
        aged: they have only grown old; then what a version of the data has stays, as it is data now.
    """
    images = set(images)
    return sum((remove_from(place, ids, images, aged=aged) for place in places_of(capture)), Removed())


def remove_from(place: Path, ids: Collection[str], images: Collection[str] = (), *, aged: bool = False) -> Removed:
    """Remove them from one place; arguments as of `remove_copies`."""
    digests = {name.partition(".")[0] for name in images}
    with exclusive(place / LOCK):
        tables = [_Table.read(place / name) for name in TABLES if (place / name).is_file()]
        named = {row.picture for table in tables for row in table.rows if row.predictions & set(ids)}
        named |= {row.picture for table in tables for row in table.rows if row.picture.partition(".")[0] in digests}
        published = {row.picture: row.published for table in tables for row in table.rows if row.published}
        left = {name for name in named if name in published} if aged else set()
        gone = named - left - {""}
        for table in tables:
            table.write_without(gone)
        removed = []
        with_no_row = {path.name for path in _files(place) if path.name.partition(".")[0] in digests} - left
        for name in sorted(gone | with_no_row):
            path = place / IMAGES / name
            if path.is_file():
                path.unlink(missing_ok=True)
                removed.append(str(path))
    told = tuple((name.partition(".")[0], published[name]) for name in sorted(named) if name in published)
    return Removed(tuple(removed), told, tuple(str(place / IMAGES / name) for name in sorted(left)))


@dataclass(frozen=True)
class _Row:
    picture: str
    predictions: frozenset[str]
    published: str
    cells: dict[str, str]


@dataclass(frozen=True)
class _Table:
    path: Path
    header: tuple[str, ...]
    rows: tuple[_Row, ...]

    @classmethod
    def read(cls, path: Path) -> _Table:
        text = path.read_bytes().decode("utf-8-sig", "replace")
        first = text.partition("\n")[0]
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
        header = tuple(reader.fieldnames or ())
        return cls(path, header, tuple(_row(cells) for cells in reader))

    def write_without(self, pictures: Collection[str]) -> None:
        """Take the rows of these pictures out, of a table of ours."""
        kept = [row.cells for row in self.rows if row.picture not in pictures]
        if "predictions" in self.header and len(kept) < len(self.rows):
            made = io.StringIO(newline="")
            writer = csv.DictWriter(made, self.header, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)
            write_atomic(self.path, made.getvalue())


def _row(cells: dict[str, str]) -> _Row:
    picture = Path((cells.get("filename") or cells.get("file") or "").replace("\\", "/")).name
    told = cells.get("predictions")
    try:
        predictions = frozenset(json.loads(told)) if told else frozenset({cells.get("id") or ""})
    except ValueError:
        predictions = frozenset()
    return _Row(picture, predictions - {""}, cells.get("published") or "", cells)


def _files(place: Path) -> list[Path]:
    folder = place / IMAGES
    return list(folder.iterdir()) if folder.is_dir() else []
