"""Folders of bad input: each kind gets its reason, and nothing is said about the good files around."""

from __future__ import annotations

from pathlib import Path

import pytest

from clip_har.data.image import ImageLimits
from clip_har.data.sources import build_source, parse_source_config
from clip_har.data.sources.base import printable
from clip_har.data.validation import ValidationConfig, validate
from tests.data.validation.bad_files import FILES, GOOD, PLACES, blurred, dark, encoded, scene

CLASSES = ["running", "sitting"]
CONFIG = ValidationConfig(
    limits=ImageLimits(max_bytes=500_000, max_pixels=1_000_000),
    class_size={"minimum": 1},
    imbalance={"severity": "off"},
)


def good_files(folder: Path) -> set[str]:
    """Good files of many kinds in one class, plain ones in the other."""
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
    uris = set()
    for name, data in GOOD.values():
        (folder / "running" / name).write_bytes(data)
        uris.add(f"running/{name}")
    for number in range(100, 106):
        (folder / "sitting" / f"{number}.jpg").write_bytes(encoded(scene(number)))
        uris.add(f"sitting/{number}.jpg")
    return uris


def bad_files(folder: Path) -> dict[str, str]:
    """Every kind that a folder a class can hold; uri → reason."""
    expected = {}
    for name, data, reason in FILES.values():
        (folder / "running" / name).write_bytes(data)
        expected[f"running/{name}"] = reason
    for name, make, reason in PLACES.values():
        make(folder / "running", name)
        expected[printable(f"running/{name}")] = reason
    same, other = encoded(scene(100)), encoded(scene(60))
    for uri, data, reason in [
        ("sitting/100_again.jpg", same, "exact_duplicate"),
        ("sitting/deeper/100.jpg", same, "exact_duplicate"),
        ("running/both.jpg", other, "label_conflict"),
        ("sitting/both.jpg", other, "label_conflict"),
        ("dancing/a.jpg", encoded(scene(61)), "unknown_label"),
        ("runing/a.jpg", encoded(scene(62)), "unknown_label"),
        ("stray.jpg", encoded(scene(63)), "missing_label"),
    ]:
        (folder / uri).parent.mkdir(exist_ok=True)
        (folder / uri).write_bytes(data)
        expected[uri] = reason
    return expected


def found(report) -> dict[str, str]:
    assert not report.rejections["uri"].duplicated().any()
    return dict(zip(report.rejections["uri"], report.rejections["reason"], strict=True))


def test_every_kind_of_bad_file_gets_its_reason_and_good_ones_none(tmp_path):
    good = good_files(tmp_path / "photos")
    expected = bad_files(tmp_path / "photos")
    assert len(expected) >= 55
    source = build_source(
        parse_source_config({"source": "folder", "path": str(tmp_path / "photos"), "labels": CLASSES}), "unused"
    )
    manifest, report, inspection = validate(source, CONFIG)
    assert found(report) == expected
    assert set(manifest.frame["uri"]) == good
    assert report.warnings.to_dict("records") == []
    assert report.found == report.accepted + len(expected) == len(good) + len(expected)
    assert inspection.frame["id"].tolist() == manifest.ids
    report.write(tmp_path / "report")  # every name and detail can be stored
    assert str(tmp_path) not in report.to_html(), "where the data lie is not what they are"


def test_every_kind_of_bad_row_gets_its_reason(tmp_path):
    for number in range(6):
        place = tmp_path / "har" / "train" / f"{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encoded(scene(number)))
    (tmp_path / "har" / "train" / "folder.jpg").mkdir()
    (tmp_path / "har" / "beside.jpg").write_bytes(encoded(scene(20)))
    (tmp_path / "outside.jpg").write_bytes(encoded(scene(21)))
    (tmp_path / "har" / "train" / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    good = ["0.jpg,running", "1.jpg,running", "2.jpg,sitting", "3.jpg,sitting"]
    bad = {
        "absent.jpg,running": "missing_file",
        "folder.jpg,running": "missing_file",
        ",running": "missing_file",
        f"{'x' * 300}.jpg,running": "missing_file",
        "../beside.jpg,running": "outside_data_folder",
        "../../outside.jpg,sitting": "outside_data_folder",
        "..\\beside.jpg,sitting": "outside_data_folder",
        f"{tmp_path}/outside.jpg,sitting": "outside_data_folder",
        f"{tmp_path}/har/beside.jpg,sitting": "outside_data_folder",
        "link.jpg,running": "outside_data_folder",
        "4.jpg,": "missing_label",
        "5.jpg,dancing": "unknown_label",
    }
    (tmp_path / "har" / "Training_set.csv").write_text("\n".join(["filename,label", *good, *bad]))
    source = build_source(
        parse_source_config({"source": "csv", "path": str(tmp_path / "har"), "labels": CLASSES}), "unused"
    )
    manifest, report, _ = validate(source, CONFIG)
    expected = {row.rpartition(",")[0]: reason for row, reason in bad.items()}
    assert found(report) == expected
    assert manifest.frame["uri"].tolist() == [row.partition(",")[0] for row in good]
    assert len(report.warnings) == 0


@pytest.mark.parametrize(("make", "reason"), [(dark, "too_dark"), (blurred, "blurred")])
def test_what_may_still_be_learned_from_is_accepted_with_a_warning(tmp_path, make, reason):
    good_files(tmp_path)
    (tmp_path / "running" / "odd.jpg").write_bytes(make(70))
    source = build_source(parse_source_config({"source": "folder", "path": str(tmp_path)}), "unused")
    manifest, report, _ = validate(source, CONFIG)
    ((uri, label, given, detail, identity),) = report.warnings.to_numpy().tolist()
    assert (uri, label, given) == ("running/odd.jpg", "running", reason)
    assert detail
    assert identity == manifest.frame.set_index("uri")["id"][uri]
    assert len(report.rejections) == 0
