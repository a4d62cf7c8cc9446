"""Which labels there are to train on, and what is asked for where they are too few."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from clip_har.capture import CaptureStore, CaptureWriter
from clip_har.capture.config import CaptureConfig
from clip_har.labelling.labelled import LabelledStore
from clip_har.monitoring.config import MonitorConfig
from clip_har.monitoring.labels import LabelsAtHand, gather_labels
from tests.labelling.seen import LABELS, captured, identity, name
from tests.monitoring.observed import observations

NOTHING: frozenset[str] = frozenset()


def config(**labelling: object) -> MonitorConfig:
    return MonitorConfig(since=None, labelling={"minimum": 5, "budget": 4, **labelling})


def gathered(
    tmp_path: Path, given: MonitorConfig, trained_on: frozenset[str] = NOTHING, number: int = 12
) -> LabelsAtHand:
    """Of a window with the captured predictions."""
    model_id = CaptureStore(tmp_path / "capture").predictions(columns=["model_id"]).column("model_id")[0].as_py()
    ids = tuple(identity(one) for one in range(number))
    window = replace(observations(number), model_id=model_id, ids=ids)
    return gather_labels(LABELS, window, given, tmp_path, trained_on)


def told(tmp_path: Path, numbers: range, label: str = "running") -> None:
    """Feedback on predictions."""
    writer = CaptureWriter(tmp_path / "capture", CaptureConfig())
    for number in numbers:
        writer.feedback(identity(number), label, 2_000_000_000.0 + number)
    writer.close()


def test_enough_feedback(tmp_path: Path) -> None:
    captured(tmp_path / "capture", 12)
    told(tmp_path, range(6))
    found = gathered(tmp_path, config())
    assert (found.new, found.wanted, found.sheet) == (6, 5, None)
    assert found.said[-1] == "6 new labels are there to train on."
    assert len(LabelledStore.of(tmp_path).rows()) == 6


def test_what_was_trained_on_is_not_new(tmp_path: Path) -> None:
    captured(tmp_path / "capture", 12)
    told(tmp_path, range(6))
    trained_on = frozenset(name(number).partition(".")[0] for number in range(2))
    found = gathered(tmp_path, config(), trained_on)
    assert found.new == 4
    assert "4 of 5 new labels are there; 1 are missing" in " ".join(found.said)


def test_a_sheet_is_made_and_filled_in(tmp_path: Path) -> None:
    captured(tmp_path / "capture", 12)
    told(tmp_path, range(2))
    found = gathered(tmp_path, config())
    assert (found.new, found.wanted) == (2, 5)
    sheet = Path(found.sheet)
    assert sheet.parent == tmp_path / "labelling" / "sheets"
    assert str(sheet) in found.said[-1]
    rows = list(csv.reader((sheet / "labels.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert len(rows) == 1 + 4
    assert not {row[0] for row in rows} & {identity(0), identity(1)}, "what is labelled is not asked about"

    again = gathered(tmp_path, config())
    assert again.sheet == found.sheet, "one that waits is not made anew at each run"
    assert len(list(sheet.parent.iterdir())) == 1

    filled = [rows[0], *([*row[:-1], "sitting"] for row in rows[1:])]
    with open(sheet / "labels.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(filled)
    done = gathered(tmp_path, config())
    assert (done.new, done.sheet) == (6, None)


def test_without_images_it_says_why(tmp_path: Path) -> None:
    captured(tmp_path / "capture", 12, images=False)
    told(tmp_path, range(6))
    found = gathered(tmp_path, config())
    assert (found.new, found.sheet) == (0, None)
    said = " ".join(found.said)
    assert "6 labels were not used" in said
    assert "without images" in said
    assert "capture.images=true" in said


def test_no_sheet_where_none_is_wanted_or_can_be(tmp_path: Path) -> None:
    captured(tmp_path / "capture", 12)
    assert "budget is 0" in gathered(tmp_path, config(budget=0)).said[-1]
    folder = config().model_copy(update={"source": "photos"})
    assert "not of a table or a folder" in gathered(tmp_path, folder).said[-1]
    assert not (tmp_path / "labelling" / "sheets").exists()
