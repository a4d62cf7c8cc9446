"""The page about a job: its counts are the table's, its pictures those of the rows, and it asks nothing of any server."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from clip_har.batch.config import SummaryConfig
from clip_har.batch.page import render_summary
from clip_har.batch.parts import PartStore
from clip_har.batch.publishing import finish, summary_of, write_result
from clip_har.batch.summary import summarise
from clip_har.batch.table import as_table
from clip_har.errors import DataError
from tests.batch.conftest import Recognise, batch_config, pictures
from tests.self_contained import requests_of

FACTS = {"Source": "photos", "Method": "linear_probe"}


def _row(path: str, label: str | None, score: float, abstained: bool = False) -> dict:
    said = {"labels": [label], "scores": [score], "label_set": [label], "abstained": abstained} if label else {}
    rest = dict.fromkeys(("labels", "scores", "label_set", "abstained", "error", "error_message"))
    error = {} if label else {"error": "truncated", "error_message": f"{path} <is> damaged"}
    given = {"path": path, "sha256": f"{hash(path):x}", "width": 1, "height": 1, "label": label, "score": score or None}
    return rest | given | said | error


def test_counts_and_the_least_sure() -> None:
    rows = [
        _row(f"{number}.jpg", "running" if number % 3 else "sitting", 0.5 + number / 100, number < 4)
        for number in range(30)
    ]
    rows += [_row(f"bad{number}.jpg", None, 0) for number in range(7)]
    tables = [as_table(rows[:11]), as_table(rows[11:])]
    summary = summarise(tables, SummaryConfig(low_confidence=3, pictures_per_label=2), in_order=True)
    figures = summary.figures()
    assert figures == {
        "images": 37,
        "answered": 30,
        "abstained": 4,
        "errors": {"truncated": 7},
        "labels": {"running": 20, "sitting": 10},
        "mean_confidence": pytest.approx(0.645, abs=1e-5),
    }
    assert [shown.path for shown in summary.least_sure] == ["0.jpg", "1.jpg", "2.jpg"]
    assert {label: [shown.path for shown in rows] for label, rows in summary.sheet.items()} == {
        "running": ["1.jpg", "2.jpg"],
        "sitting": ["0.jpg", "3.jpg"],
    }
    assert sum(summary.bins) == 30
    assert summarise([as_table(rows)], SummaryConfig(), in_order=True).figures() == figures
    page = render_summary(summary, FACTS)
    assert "bad4.jpg" in page
    assert "bad5.jpg" not in page, "five examples are enough"
    assert "&lt;is&gt;" in page


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_the_page_has_the_pictures_of_its_rows(recognise: Recognise, tmp_path: Path, kind: str) -> None:
    source = pictures(tmp_path / "p", 40)
    (source / "<script>alert(1).jpg").write_bytes(b"no picture") if kind == "folder" else None
    if kind != "folder":
        source = Path(shutil.make_archive(str(tmp_path / "photos"), kind, source))
    config = batch_config(source, summary={"low_confidence": 4, "pictures_per_label": 3})
    job = recognise(config)
    summary = summary_of(job, config)
    assert all(shown.thumbnail for rows in summary.sheet.values() for shown in rows)
    assert all(1 <= len(rows) <= 3 for rows in summary.sheet.values())
    if kind != "tar":
        assert all(shown.thumbnail for shown in summary.least_sure)
    page = render_summary(summary, FACTS)
    assert requests_of(page) == []
    assert "<script>" not in page


def test_a_picture_that_has_changed_since_is_not_shown(recognise: Recognise, tmp_path: Path) -> None:
    source = pictures(tmp_path / "p", 4)
    config = batch_config(source, summary={"low_confidence": 0, "pictures_per_label": 9})
    job = recognise(config)
    (source / "00001.jpg").write_bytes((source / "00002.jpg").read_bytes())
    (source / "00002.jpg").unlink()
    shown = {Path(row.path).name: row.thumbnail for row in summary_of(job, config).shown}
    assert {name for name, thumbnail in shown.items() if thumbnail} == {"00000.jpg", "00003.jpg"}
    assert "no picture kept" in render_summary(summary_of(job, config), FACTS)


def test_parts_of_another_job_are_not_published(recognise: Recognise, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 4)
    first = batch_config(folder)
    job = recognise(first)
    recognise(batch_config(folder, top_k=1))
    with pytest.raises(DataError, match="Another batch job took the place"):
        write_result(job, first, tmp_path)


def test_what_was_published_leaves_nothing(recognise: Recognise, tmp_path: Path) -> None:
    config = batch_config(pictures(tmp_path / "p", 4))
    job = recognise(config)
    finish(job, config)
    assert not Path(job.url).exists()
    assert pa.concat_tables(PartStore(recognise(config).url).tables()).num_rows == 4
