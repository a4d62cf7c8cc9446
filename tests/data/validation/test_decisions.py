"""What people decided about rejected samples, applied by validation: to exactly these bytes at this place."""

from __future__ import annotations

import pytest

from clip_har.data.quarantine.decisions import Decision, Decisions
from clip_har.data.sources import build_source, parse_source_config
from clip_har.data.validation import ValidationConfig, deduplicate, validate
from clip_har.hashing import sha256_file
from tests.data.validation.bad_files import encoded, scene
from tests.tiny_models import colour_photos

LABELS = ["cycling", "running", "sitting"]
CONFIG = ValidationConfig(class_size={"minimum": 1})


@pytest.fixture
def photos(tmp_path):
    return colour_photos(tmp_path / "photos", LABELS, 3)


def check(folder, *decisions, config=CONFIG):
    settings = {"source": "folder", "path": str(folder), "labels": LABELS}
    return validate(build_source(parse_source_config(settings), "unused"), config, decisions=Decisions(decisions))


def decided(folder, uri: str, action: str = "requeue", **more) -> Decision:
    identity = more.pop("id", None)
    identity = sha256_file(folder / uri) if identity is None else identity
    return Decision(id=identity, uri=uri, action=action, who="Ada", why="looked at it", time="2026-11-01", **more)


def reasons(report):
    return dict(zip(report.rejections["uri"], report.rejections["reason"], strict=True))


def test_a_reason_is_waived_for_these_bytes_at_this_place(photos):
    for name in ("small.jpg", "also_small.jpg"):
        (photos / "running" / name).write_bytes(encoded(scene(1 if name == "small.jpg" else 2, (20, 40))))
    decision = decided(photos, "running/small.jpg", waive=("too_small",))
    manifest, report, inspection = check(photos, decision)
    assert reasons(report) == {"running/also_small.jpg": "too_small"}
    waived = dict(zip(manifest.frame["uri"], inspection.frame["waived"], strict=True))
    assert waived.pop("running/small.jpg") == "too_small"
    assert set(waived.values()) == {""}
    (photos / "running" / "small.jpg").write_bytes(encoded(scene(3, (20, 40))))
    assert set(reasons(check(photos, decision)[1])) == {"running/small.jpg", "running/also_small.jpg"}


def test_only_the_named_reasons_are_waived(photos):
    (photos / "running" / "small.png").write_bytes(encoded(scene(1, (20, 40))))
    decision = decided(photos, "running/small.png", waive=("too_small",))
    assert reasons(check(photos, decision)[1]) == {"running/small.png": "wrong_type"}
    decision = decided(photos, "running/small.png", waive=("wrong_type", "too_small"))
    assert reasons(check(photos, decision)[1]) == {}


def test_what_cannot_be_decoded_stays_rejected(photos):
    (photos / "running" / "bad.jpg").write_bytes(b"no picture")
    decision = decided(photos, "running/bad.jpg", waive=("not_an_image",))
    assert reasons(check(photos, decision)[1]) == {"running/bad.jpg": "not_an_image"}


def test_a_label_is_replaced(photos):
    (photos / "stray.jpg").write_bytes(encoded(scene(1)))
    (photos / "jogging").mkdir()
    (photos / "jogging" / "a.jpg").write_bytes(encoded(scene(2)))
    assert set(reasons(check(photos)[1]).values()) == {"missing_label", "unknown_label"}
    manifest, report, _ = check(
        photos,
        decided(photos, "stray.jpg", label="sitting"),
        decided(photos, "jogging/a.jpg", label="running"),
        decided(photos, "cycling/cycling_000.jpg", label="running"),
    )
    assert reasons(report) == {}
    labels = manifest.frame.set_index("uri")["label"]
    assert labels[["stray.jpg", "jogging/a.jpg", "cycling/cycling_000.jpg"]].tolist() == [
        "sitting",
        "running",
        "running",
    ]
    _, report, _ = check(photos, decided(photos, "stray.jpg", label="siting"))
    row = report.rejections.set_index("uri").loc["stray.jpg"]
    assert (row["reason"], row["detail"]) == ("unknown_label", "'siting'; did you mean 'sitting'?")


def test_a_discarded_sample_is_rejected_with_who_and_why(photos):
    (photos / "running" / "bad.jpg").write_bytes(b"no picture")
    (photos / "running" / "empty.jpg").write_bytes(b"")
    _, report, _ = check(
        photos,
        decided(photos, "running/running_000.jpg", "discard"),
        decided(photos, "running/bad.jpg", "discard"),
        decided(photos, "running/empty.jpg", "discard", id=""),
    )
    assert set(reasons(report).values()) == {"discarded"}
    assert set(report.rejections["detail"]) == {"Ada: looked at it"}
    assert report.found == report.accepted + 3 == 11


def test_the_newest_decision_counts(photos):
    uri = "running/running_000.jpg"
    out, back = decided(photos, uri, "discard"), decided(photos, uri)
    assert reasons(check(photos, out, back)[1]) == {}
    assert reasons(check(photos, back, out)[1]) == {uri: "discarded"}


def test_a_label_conflict_is_resolved_by_who_is_right(photos):
    (photos / "cycling" / "same.jpg").write_bytes((photos / "sitting" / "sitting_000.jpg").read_bytes())
    right = decided(photos, "sitting/sitting_000.jpg", waive=("label_conflict",))
    manifest, report, _ = check(photos, right)
    assert reasons(report) == {"cycling/same.jpg": "label_conflict"}
    assert "sitting/sitting_000.jpg, listed as sitting" in report.rejections["detail"][0]
    assert "sitting/sitting_000.jpg" in set(manifest.frame["uri"])
    also_right = decided(photos, "cycling/same.jpg", waive=("label_conflict",))
    both = ("cycling/same.jpg", "sitting/sitting_000.jpg")
    assert reasons(check(photos, right, also_right)[1]) == dict.fromkeys(both, "label_conflict")
    _, report, _ = check(photos, decided(photos, "cycling/same.jpg", label="sitting"))
    assert reasons(report) == {"sitting/sitting_000.jpg": "exact_duplicate"}
    _, report, _ = check(photos, decided(photos, "cycling/same.jpg", "discard"))
    assert reasons(report) == {"cycling/same.jpg": "discarded"}


def test_equal_bytes_cannot_be_had_twice(photos):
    (photos / "running" / "same.jpg").write_bytes((photos / "running" / "running_000.jpg").read_bytes())
    decision = decided(photos, "running/same.jpg", waive=("exact_duplicate",))
    assert reasons(check(photos, decision)[1]) == {"running/same.jpg": "exact_duplicate"}


def test_a_link_outwards_is_let_in(photos, tmp_path):
    (tmp_path / "elsewhere.jpg").write_bytes(encoded(scene(1)))
    (photos / "running" / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    assert reasons(check(photos)[1]) == {"running/link.jpg": "outside_data_folder"}
    decision = decided(photos, "running/link.jpg", id="", waive=("outside_data_folder",))
    assert reasons(check(photos, decision)[1]) == {}


def test_waiving_reaches_the_comparison_of_pictures(photos):
    from PIL import Image

    with Image.open(photos / "running" / "running_001.jpg") as image:
        image.save(photos / "sitting" / "again.jpg", quality=60)
    settings = {"near_duplicates": {"two_labels": "reject"}, "class_size": {"minimum": 1}}
    config = ValidationConfig.model_validate(settings)
    _, report = deduplicate(*check(photos, config=config), config)
    assert set(reasons(report).values()) == {"near_duplicate_label_conflict"}
    waived = decided(photos, "sitting/again.jpg", waive=("near_duplicate_label_conflict",))
    _, report = deduplicate(*check(photos, waived, config=config), config)
    assert reasons(report) == {"running/running_001.jpg": "near_duplicate_label_conflict"}
