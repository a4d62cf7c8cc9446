"""The labelling sheet: a folder with pictures and a table that people fill in with what they have at hand.

<folder>/labels.csv    id, file, suggested, confidence and an empty column `label`, to be filled in with any spreadsheet
<folder>/sheet.html    the pictures with their numbers, to look at; needs this folder and nothing else
<folder>/images/       the pictures as they were sent, each `<sha256>.<format>`: deletion finds them by their names
<folder>/labels.txt    the labels, one a line, to copy from
<folder>/sheet.json    what the sheet was made of
"""

from __future__ import annotations

import csv
import html
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from clip_har.capture.copies import note_copies
from clip_har.errors import did_you_mean
from clip_har.labelling.answers import ASIDE, Answer, Labels, of_names
from clip_har.labelling.errors import LabellingError
from clip_har.storage import new_folder, write_json

COLUMNS = ("id", "file", "suggested", "confidence", "label")
TABLE, PAGE, NOTE, IMAGES = "labels.csv", "sheet.html", "sheet.json", "images"


@dataclass(frozen=True)
class SheetItem:
    """A picture to label.

    Attributes:
        id: of the prediction.
        picture: name of its file, `<sha256>.<format>`.
        data: its bytes.
        suggested: the model's label.
        confidence: its probability.
    """

    id: str
    picture: str
    data: bytes
    suggested: str
    confidence: float


@dataclass(frozen=True)
class SheetRead:
    """A sheet as it was filled in.

    Attributes:
        folder: of the sheet.
        answers: what was answered.
        empty: numbers of the rows without an answer, counted as a spreadsheet does.
        problems: a sentence for each row that cannot be taken: which, why, and what would be right.
        capture: folder that the pictures came from, if it is known.
    """

    folder: Path
    answers: tuple[Answer, ...]
    empty: tuple[int, ...]
    problems: tuple[str, ...]
    capture: Path | None = None


def write_sheet(
    folder: str | Path, items: Sequence[SheetItem], labels: Sequence[str], *, capture: str | Path | None = None
) -> Path:
    """Write a sheet, whole or not at all.

    Args:
        labels: the model's, which the answers are chosen from.
        capture: folder that the pictures came from; what is deleted there leaves the sheet too.

    Raises:
        LabellingError: if the folder is there already, or there is nothing to label.
    """
    folder = Path(folder)
    if not items:
        raise LabellingError(f"{folder}: there is no picture to label.")
    if capture is not None:
        note_copies(capture, folder)  # before there is anything that a deletion could miss
    try:
        with new_folder(folder) as made:
            (made / IMAGES).mkdir()
            for item in items:
                (made / IMAGES / item.picture).write_bytes(item.data)
            rows = [(one.id, f"{IMAGES}/{one.picture}", one.suggested, f"{one.confidence:.3f}", "") for one in items]
            # With a mark of its encoding, without which Excel takes the letters of another.
            (made / TABLE).write_bytes(b"\xef\xbb\xbf" + _csv([COLUMNS, *rows]).encode())
            (made / "labels.txt").write_text("".join(f"{label}\n" for label in (*labels, *ASIDE)), encoding="utf-8")
            (made / PAGE).write_text(_page(items, labels), encoding="utf-8")
            note = {"labels": list(labels), "rows": {item.id: item.picture for item in items}, "made": _now()}
            if capture is not None:
                note["capture"] = os.path.relpath(Path(capture).absolute(), folder.absolute())
            write_json(made / NOTE, note)
    except FileExistsError:
        raise LabellingError(f"{folder} exists already. Name another folder, or remove that one.") from None
    return folder


def read_sheet(folder: str | Path, labels: Labels | Sequence[str] = ()) -> SheetRead:
    """Read a sheet that people have filled in, as spreadsheets save it (comma, semicolon or tab; any usual encoding).

    Args:
        folder: of the sheet, or its `labels.csv`.
        labels: the model's, or `Labels` with what else is accepted; those that the sheet was made with if empty.

    Raises:
        LabellingError: if it is no sheet, or its table cannot be read as a whole.
    """
    folder = Path(folder)
    table = folder if folder.suffix == ".csv" else folder / TABLE
    folder = table.parent
    note = _note(folder)
    accepted = of_names(labels)
    if not accepted.known:
        accepted = Labels(note["labels"], accepted.new)
    reader, positions = _opened(table)
    written = datetime.now(UTC).timestamp() if not table.is_file() else table.stat().st_mtime
    known: dict[str, str] = note["rows"]
    by_picture = {picture: one for one, picture in known.items()}
    answers: dict[str, tuple[Answer, int]] = {}
    empty: list[int] = []
    problems: list[str] = []
    for number, cells in enumerate(reader, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        said, file, text = (_cell(cells, positions.get(name)) for name in ("id", "file", "label"))
        one = said if said in known else by_picture.get(PurePosixPath(file.replace("\\", "/")).name)
        if one is None:
            problems.append(f"Row {number}: {said!r} is no id of this sheet. {did_you_mean(said, list(known)[:2000])}")
            continue
        label = accepted.accepted(text)
        if not text:
            empty.append(number)
        elif label is None:
            problems.append(f"Row {number}: {accepted.said_of(text)}")
        elif one in answers and answers[one][0].label != label:
            problems.append(
                f"Row {number}: {one} is labelled {label!r} here and {answers[one][0].label!r} in row {answers[one][1]}. "
                "Keep one of the two rows."
            )
        elif not (folder / IMAGES / known[one]).is_file() and label not in ASIDE:
            problems.append(f"Row {number}: its picture has been deleted; the label is not taken. Remove the row.")
        else:
            answers.setdefault(one, (Answer(one, label, known[one], written), number))
    doubled = {one for one, (_, number) in answers.items() if any(f"in row {number}." in said for said in problems)}
    taken = tuple(answer for one, (answer, _) in answers.items() if one not in doubled)
    capture = note.get("capture")
    place = None if capture is None else Path(os.path.normpath(folder.absolute() / capture))
    return SheetRead(folder, taken, tuple(empty), tuple(problems), place if place and place.is_dir() else None)


def _note(folder: Path) -> dict:
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        return {**note, "rows": dict(note["rows"]), "labels": list(note["labels"])}
    except FileNotFoundError:
        raise LabellingError(
            f"{folder} is no labelling sheet: it has no {NOTE}. `clip-har labelling sheet` makes one."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabellingError(f"{folder / NOTE} cannot be read: {error}. Make a new sheet.") from error


def _opened(table: Path) -> tuple[Iterable[list[str]], dict[str, int]]:
    """The rows below the header, and where each column is."""
    try:
        data = table.read_bytes()
    except OSError as error:
        raise LabellingError(
            f"{table} cannot be read: {error.strerror}. The filled-in table is wanted there."
        ) from error
    text = _decoded(data)
    first = text.partition("\n")[0]
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count)))
    header = [cell.strip().casefold() for cell in rows[0]] if rows else []
    for name in ("label", "id"):
        if name not in header and not (name == "id" and "file" in header):
            raise LabellingError(
                f"{table}: there is no column {name!r}. {did_you_mean(name, header)} The columns of a sheet are "
                f"{', '.join(COLUMNS)}; was another file saved there (.xlsx is none of these)?"
            )
    return rows[1:], {name: header.index(name) for name in COLUMNS if name in header}


def _decoded(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")  # what spreadsheets on Windows write by default


def _cell(cells: Sequence[str], place: int | None) -> str:
    return cells[place].strip() if place is not None and place < len(cells) else ""


def _csv(rows: Iterable[Sequence[str]]) -> str:
    made = io.StringIO(newline="")
    csv.writer(made, lineterminator="\r\n").writerows(rows)
    return made.getvalue()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _page(items: Sequence[SheetItem], labels: Sequence[str]) -> str:
    shown = "".join(
        f'<figure><img src="{IMAGES}/{html.escape(item.picture)}" loading="lazy" alt="picture of row {row}">'
        f"<figcaption><b>Row {row}</b> looks like <b>{html.escape(item.suggested.replace('_', ' '))}</b> "
        f"{100 * item.confidence:.0f}&#8239;%<br><small>{html.escape(item.id)}</small></figcaption></figure>"
        for row, item in enumerate(items, start=2)
    )
    words = ", ".join(html.escape(label) for label in labels)
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Pictures to label</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'">
<style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;max-width:1200px;margin:0 auto;padding:20px}}
main{{display:grid;grid-template-columns:repeat(auto-fill,minmax(260px,1fr));gap:18px}}figure{{margin:0}}
img{{width:100%;height:200px;object-fit:contain;background:#8882;border-radius:8px}}small{{opacity:.65;overflow-wrap:anywhere}}</style>
</head><body><h1>{len(items)} pictures to label</h1>
<p>Open <b>labels.csv</b> with a spreadsheet, and write into the column <b>label</b> what each picture shows; save it as CSV. Leave a cell
empty to decide later; <b>skip</b>: I cannot tell; <b>none of these</b>: no label fits.</p><p>Labels: {words}.</p>
<main>{shown}</main></body></html>
"""
