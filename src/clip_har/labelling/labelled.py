"""Labelled pictures: what people said that captured pictures show, kept as data that the pipelines read.

    <folder>/images/<sha256>.<format>   the pictures, as they were sent
    <folder>/labels.csv                 filename, label, source, time, predictions, published: a CSV source reads it as it is
    <folder>/set_aside.csv              pictures that a person gave no label
    <folder>/.lock                      held by whoever changes them

A picture is written before its row, and each table is replaced by one rename, so that a process killed at any moment leaves
all that was said before, and at most a picture without a row, which the next change takes away.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from clip_har.capture import CaptureStore
from clip_har.capture.copies import LOCK, Removed, note_copies, remove_from
from clip_har.capture.images import name_of_image
from clip_har.data.sources.csv import CsvSourceConfig
from clip_har.labelling.answers import ASIDE, NONE, Answer, Labels, of_names
from clip_har.labelling.errors import LabellingError
from clip_har.labelling.table import LOOKED_AT, LabelledPicture, Source, read_table, write_table
from clip_har.storage import exclusive, write_atomic

IMAGES, TABLE, SET_ASIDE, FOLDER = "images", "labels.csv", "set_aside.csv", "labelling"
NO_IMAGE = "no image is kept (serving.capture.images=true keeps them from then on)"
NO_PREDICTION = "the prediction is deleted, or was not captured"


@dataclass
class Added:
    """What came of labels that were given.

    Attributes:
        added: pictures that had none.
        replaced: labels that took the place of older ones.
        unchanged: said before.
        set_aside: pictures without a label, by the person's wish.
        unused: in words → labels that could not be used.
        problems: sentences about rows of a sheet that were not taken.
        new_labels: labels that the model does not know, taken as classes.
        conflicts: pictures (file name) with different labels → these.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    set_aside: int = 0
    unused: dict[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    new_labels: tuple[str, ...] = ()
    conflicts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def used(self) -> int:
        """Labels that are in the store now."""
        return self.added + self.replaced + self.unchanged

    def leave_out(self, why: str, number: int = 1) -> None:
        """Count labels that could not be used."""
        self.unused[why] = self.unused.get(why, 0) + number

    def __add__(self, other: Added) -> Added:
        """Both together; the conflicts are those found last."""
        both = replace(
            self,
            unused=dict(self.unused),
            problems=self.problems + other.problems,
            new_labels=tuple(dict.fromkeys(self.new_labels + other.new_labels)),
            conflicts=other.conflicts,
        )
        for name in ("added", "replaced", "unchanged", "set_aside"):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        for why, number in other.unused.items():
            both.leave_out(why, number)
        return both


class LabelledStore:
    """Labelled pictures in a folder. Several processes may use it; those that change it take turns."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def of(cls, workspace: str | Path, folder: str | None = None) -> LabelledStore:
        """The workspace's own, or that of a folder if one is named (`LabellingConfig.folder`)."""
        return cls(Path(workspace) / FOLDER if folder is None else folder)

    @property
    def source(self) -> CsvSourceConfig:
        """The data source that reads them, as one part of the data."""
        return CsvSourceConfig(path=str(self.folder), labels_file=TABLE, images_folder=IMAGES, test_folder=None)

    def rows(self, not_trained_on: Collection[str] = ()) -> list[LabelledPicture]:
        """The labelled pictures, by file name; one that is deleted meanwhile is left out.

        Args:
            not_trained_on: ids (sha256) of pictures to leave out, such as a Manifest's.
        """
        known = frozenset(not_trained_on)
        return [row for row in self._rows() if row.id not in known]

    def set_aside(self) -> list[LabelledPicture]:
        """Pictures that people gave no label; `label` is their answer."""
        return read_table(self.folder / SET_ASIDE)

    def answered(self) -> frozenset[str]:
        """Ids (sha256) of pictures that nobody needs to be asked about again."""
        return frozenset(row.id for row in (*self._rows(), *self.set_aside()))

    def conflicts(self) -> dict[str, tuple[str, ...]]:
        """Pictures with different labels, by file name → the labels. The data pipeline rejects them, as nobody can know."""
        return _conflicts(self._rows())

    def picture(self, filename: str) -> bytes | None:
        """A picture's bytes; None if it is not here."""
        try:
            return (self.folder / IMAGES / Path(filename).name).read_bytes()
        except FileNotFoundError:
            return None

    def add(
        self,
        picture: bytes,
        label: str,
        source: Source,
        prediction_id: str = "",
        time: float | None = None,
        *,
        name: str | None = None,
    ) -> Added:
        """One labelled picture, or (`skip`, `none of these`) one that is set aside.

        Args:
            picture: its bytes as they were sent.
            prediction_id: of the prediction that it belongs to, if it does to one.
            time: when it was said, in seconds since 1970; now if None.
            name: of the kept image, if that is known.

        Raises:
            LabellingError: if the label is empty.
        """
        name = name or name_of_image(picture)
        answer = Answer(prediction_id, label, name, clock.time() if time is None else time)
        return self._add([answer], source, lambda _: picture, Added())

    def from_feedback(
        self,
        capture: CaptureStore,
        since: float | datetime | None = None,
        labels: Labels | Sequence[str] = (),
        *,
        until: float | datetime | None = None,
        model_id: str | None = None,
    ) -> Added:
        """The newest feedback on captured predictions whose pictures are kept.

        Args:
            since, until: times of the predictions.
            labels: the model's, or `Labels` with what else is accepted.
        """
        accepted, added = of_names(labels), Added()
        names = ("id", "image", "error")
        answers: dict[str, Answer] = {}
        seen: set[str] = set()
        for table in capture.batches_with_feedback(since, until, model_id, names):
            for row in table.to_pylist():
                said = row["feedback_label"]
                if said is None or row["id"] in seen:
                    continue
                seen.add(row["id"])
                label = accepted.accepted(said)
                if label is None:
                    added.leave_out(
                        f"{said!r} is none of the model's labels (labelling.new_labels=true makes it a class)"
                    )
                elif row["image"] is None:
                    added.leave_out(NO_IMAGE)
                else:
                    answers[row["id"]] = Answer(row["id"], label, row["image"], row["feedback_time"].timestamp())
        if since is None and until is None and model_id is None:
            told = set(capture.feedback().column("prediction_id").to_pylist())
            if lost := len(told - seen):
                added.leave_out(NO_PREDICTION, lost)
        return self.take(answers.values(), "feedback", capture, added, accepted)

    def from_sheet(self, sheet: str | Path, labels: Labels | Sequence[str]) -> Added:
        """The labels that people wrote into a sheet (`clip_har.labelling.sheet`); rows with mistakes are named and left out."""
        from clip_har.labelling.sheet import read_sheet

        accepted = of_names(labels)
        read = read_sheet(sheet, accepted)
        added = Added(problems=read.problems)
        if read.empty:
            added.leave_out("no label is written yet", len(read.empty))

        def picture_of(name: str) -> bytes | None:
            path = read.folder / IMAGES / name
            return path.read_bytes() if path.is_file() else None

        if read.capture is not None:
            self.note(read.capture)
        return self._add(read.answers, "sheet", picture_of, added, accepted)

    def from_sheets(self, labels: Labels | Sequence[str], sheets: Iterable[str | Path] | None = None) -> Added:
        """`from_sheet` of several: those below `sheets/` of this folder if None. A sheet that cannot be read is a problem."""
        folders = sorted((self.folder / "sheets").glob("*/")) if sheets is None else list(sheets)
        added = Added(conflicts=self.conflicts())
        for folder in folders:
            try:
                added += self.from_sheet(folder, labels)
            except LabellingError as error:
                added.problems += (str(error),)
        return added

    def take(
        self,
        answers: Iterable[Answer],
        source: Source,
        capture: CaptureStore,
        added: Added | None = None,
        labels: Labels | None = None,
    ) -> Added:
        """Answers about captured pictures; deletions from the capture reach these pictures from now on."""
        answers = list(answers)
        if answers:
            self.note(capture.folder)
        return self._add(answers, source, capture.image_bytes, added or Added(), labels)

    def note(self, capture: str | Path) -> None:
        """Have deletions from a capture folder reach the pictures here."""
        self.folder.mkdir(parents=True, exist_ok=True)
        note_copies(capture, self.folder)

    def forget(self, prediction_ids: Iterable[str]) -> Removed:
        """Remove all pictures that came from these predictions (or have these sha256), with their labels. Versions of the data keep theirs."""
        if not self.folder.is_dir():
            return Removed()
        ids = frozenset(prediction_ids)
        return remove_from(self.folder, ids, ids)

    def take_back(self, picture: str) -> bool:
        """Forget what was answered about a picture (its file's name, or sha256); whether anything was."""
        one = picture.partition(".")[0]
        with self._changing() as (rows, aside):
            before = len(rows) + len(aside)
            rows[:] = [row for row in rows if row.id != one]
            aside[:] = [row for row in aside if row.id != one]
            return len(rows) + len(aside) < before

    def note_published(self, ids: Collection[str], revision: str) -> int:
        """Note which pictures a version of the data has; how many there are. Growing old no longer removes these.

        Args:
            ids: sha256 of the version's pictures.
        """
        ids, number = frozenset(ids), 0
        if not (self.folder / TABLE).is_file():
            return 0
        with self._changing() as (rows, _):
            for place, row in enumerate(rows):
                if row.id in ids:
                    rows[place] = replace(row, published=revision)
                    number += 1
        return number

    def _add(
        self,
        answers: Iterable[Answer],
        source: Source,
        picture_of: Callable[[str], bytes | None],
        added: Added,
        labels: Labels | None = None,
    ) -> Added:
        with self._changing() as (rows, aside):
            names = {row.id: row.filename for row in (*rows, *aside)}
            for answer in sorted(answers, key=lambda answer: answer.time):
                name = names.setdefault(answer.picture.partition(".")[0], answer.picture)
                label = answer.label.strip()
                answer = replace(answer, picture=name, label=label)
                if not label:
                    raise LabellingError("A label is wanted, not an empty text.")
                if label in ASIDE:
                    _set_aside(rows, aside, answer, source)
                    added.set_aside += 1
                    continue
                path = self.folder / IMAGES / answer.picture
                if not path.is_file():
                    data = picture_of(answer.picture)
                    if data is None:
                        added.leave_out("the picture is deleted")
                        continue
                    write_atomic(path, data)
                outcome = _put(rows, aside, answer, source)
                if outcome == "older":
                    added.leave_out("somebody who looked at the picture said something else later")
                    continue
                setattr(added, outcome, getattr(added, outcome) + 1)
                if labels is not None and label not in labels.known:
                    added.new_labels = tuple(dict.fromkeys((*added.new_labels, label)))
            added.conflicts = _conflicts(rows)
        return added

    def _rows(self) -> list[LabelledPicture]:
        return [row for row in read_table(self.folder / TABLE) if (self.folder / IMAGES / row.filename).is_file()]

    @contextmanager
    def _changing(self) -> Iterator[tuple[list[LabelledPicture], list[LabelledPicture]]]:
        """The rows and those set aside, to be changed in place by one process at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / LOCK):
            rows, aside = self._rows(), self.set_aside()
            before = (list(rows), list(aside))
            yield rows, aside
            (self.folder / IMAGES).mkdir(exist_ok=True)
            if rows != before[0] or not (self.folder / TABLE).is_file():
                write_table(self.folder / TABLE, rows)
            if aside != before[1]:
                write_table(self.folder / SET_ASIDE, aside)
            self._sweep(rows)

    def _sweep(self, rows: list[LabelledPicture]) -> None:
        """Remove pictures that no row names: of a process that was killed, or whose label was taken back."""
        named = {row.filename for row in rows}
        images = self.folder / IMAGES
        for path in images.iterdir() if images.is_dir() else ():
            if path.name not in named:
                path.unlink(missing_ok=True)


def _put(rows: list[LabelledPicture], aside: list[LabelledPicture], answer: Answer, source: Source) -> str:
    """Take a label in; `added`, `replaced`, `unchanged` or `older`."""
    here = [row for row in rows if row.filename == answer.picture]
    same = next((row for row in here if row.label == answer.label), None)
    others = [row for row in here if row is not same]
    none = [row for row in aside if row.filename == answer.picture and row.label == NONE]
    if any(
        time > answer.time and (said in LOOKED_AT or one == answer.prediction_id)
        for row in (*others, *none)
        for one, (time, said) in row.told.items()
    ):
        return "older"
    if same is not None and answer.prediction_id in same.told and not (source in LOOKED_AT and others):
        return "unchanged"
    aside[:] = [row for row in aside if row.filename != answer.picture]
    for row in others:
        left = replace(row, told={}) if source in LOOKED_AT else row.without(answer.prediction_id)
        rows[rows.index(row)] = left
    replaced = len([row for row in rows if row.told]) < len(rows)
    published = here[0].published if here else ""
    new = (same or LabelledPicture(answer.picture, answer.label, published=published)).with_said(
        answer.prediction_id, answer.time, source
    )
    rows[:] = [row for row in rows if row.told and row is not same] + [new]
    return "replaced" if replaced else "added" if not here else "unchanged" if same is not None else "added"


def _set_aside(rows: list[LabelledPicture], aside: list[LabelledPicture], answer: Answer, source: Source) -> None:
    """The picture itself is not kept; a label that somebody else gave it stays, unless none of them fits."""
    if answer.label == NONE:
        rows[:] = [row for row in rows if row.filename != answer.picture]
    aside[:] = [row for row in aside if row.filename != answer.picture]
    aside.append(LabelledPicture(answer.picture, answer.label, {answer.prediction_id: (answer.time, source)}))


def _conflicts(rows: Iterable[LabelledPicture]) -> dict[str, tuple[str, ...]]:
    labels: dict[str, list[str]] = {}
    for row in rows:
        labels.setdefault(row.filename, []).append(row.label)
    return {name: tuple(sorted(said)) for name, said in labels.items() if len(said) > 1}
