"""The two artifacts of validation besides the Manifest: stored and read, equal only if they say the same."""

from __future__ import annotations

import pandas as pd
import pytest

from clip_har.data.validation import PAIR_COLUMNS, REJECTION_COLUMNS, WARNING_COLUMNS, Inspection, ValidationReport
from clip_har.errors import DataError


def table(*rows, columns=REJECTION_COLUMNS):
    return pd.DataFrame(list(rows), columns=list(columns))


def a_report(**changes) -> ValidationReport:
    parts = {
        "found": 7,
        "accepted": 5,
        "rejections": table(("a.jpg", "running", "too_small", "8 × 8", "1"), ("b.jpg", "", "missing_label", "", "2")),
        "near_duplicates": table(("c.jpg", "d.jpg", 3, 0.95), columns=PAIR_COLUMNS),
        "warnings": table(("c.jpg", "sitting", "too_dark", "0.1", "3"), columns=WARNING_COLUMNS),
    }
    return ValidationReport(**parts | changes)


def an_inspection(*waived: str) -> Inspection:
    rows = [("a", 2**64 - 1, 0.5, 0.25, 0.7, 1000, ""), ("b", 0, 0.1, 0.2, 0.3, 5, "")]
    return Inspection.of_rows([(*row[:-1], reason) for row, reason in zip(rows, waived or ("", ""), strict=True)])


def test_samples_cannot_be_lost_unnoticed():
    empty = pd.DataFrame({"reason": []})
    with pytest.raises(AssertionError, match=r"3 accepted \+ 0 rejected samples are not 4 found"):
        ValidationReport(4, 3, empty)


@pytest.mark.parametrize("report", [a_report(), ValidationReport(2, 2, table())], ids=["full", "empty"])
def test_a_report_is_read_as_it_was_written(tmp_path, report):
    report.write(tmp_path)
    read = ValidationReport.read(tmp_path)
    assert read.summary() == report.summary()
    assert read.content_hash == report.content_hash
    for name in ("rejections", "warnings", "near_duplicates"):
        pd.testing.assert_frame_equal(getattr(read, name), getattr(report, name), check_dtype=False)


def test_reports_are_equal_only_if_they_say_the_same():
    others = [
        a_report(warnings=table(("c.jpg", "sitting", "too_dark", "0.2", "3"))),
        a_report(warnings=table()),
        a_report(near_duplicates=table(columns=PAIR_COLUMNS)),
        a_report(found=8, accepted=6),
        a_report(rejections=a_report().rejections.assign(detail="")),
    ]
    hashes = [report.content_hash for report in (a_report(), *others)]
    assert a_report().content_hash == hashes[0]
    assert len(set(hashes)) == len(hashes)


def test_the_summary_counts():
    rows = [("a", "x", "exact_duplicate", "", "1"), ("b", "x", "exact_duplicate", "", "1")]
    rows += [("c", "x", "label_conflict", "", "2"), ("d", "y", "label_conflict", "", "2")]
    summary = a_report(found=9, rejections=table(*rows)).summary()
    assert summary == {
        "found": 9,
        "accepted": 5,
        "rejected": 4,
        "rejected_by_reason": {"exact_duplicate": 2, "label_conflict": 2},
        "warnings": 1,
        "warned_by_reason": {"too_dark": 1},
        "exact_duplicate_groups": 1,
        "label_conflict_groups": 1,
        "near_duplicate_pairs": 1,
    }


def test_the_page_says_all_and_escapes_it():
    page = a_report(
        rejections=table(("<b>.jpg", "", "too_small", "", ""), ("z.jpg", "", "truncated", "", ""))
    ).to_html()
    for text in (
        "7 found, 5 accepted, 2 rejected",
        "&lt;b&gt;.jpg",
        "too_dark",
        "hardly anything can be seen",
        "d.jpg",
    ):
        assert text in page
    assert "<b>" not in page


def test_the_page_of_very_many_rejections_stays_readable():
    many = table(*[(f"{number}.jpg", "", "truncated", "", "") for number in range(2000)])
    page = ValidationReport(2000, 0, many).to_html()
    assert "… and 1500 more" in page
    assert "499.jpg" in page
    assert "500.jpg" not in page


def test_an_inspection_is_read_as_it_was_written(tmp_path):
    an_inspection().write(tmp_path)
    read = Inspection.read(tmp_path)
    pd.testing.assert_frame_equal(read.frame, an_inspection().frame)
    assert read.frame["perceptual_hash"].tolist() == [2**64 - 1, 0]
    assert read.content_hash == an_inspection().content_hash
    assert Inspection.of_rows([]).frame.dtypes.tolist() == read.frame.dtypes.tolist()
    with pytest.raises(DataError, match="not a readable Inspection"):
        Inspection.read(tmp_path / "absent")
    with pytest.raises(DataError, match=r"missing: \['waived'\]"):
        Inspection(read.frame.drop(columns="waived"))


def test_inspections_are_equal_only_if_they_say_the_same():
    turned = Inspection(an_inspection().frame[::-1].reset_index(drop=True))
    assert turned.content_hash == an_inspection().content_hash
    changed = Inspection(an_inspection().frame.assign(brightness=0.5))
    assert len({an_inspection().content_hash, an_inspection("", "too_small").content_hash, changed.content_hash}) == 3
