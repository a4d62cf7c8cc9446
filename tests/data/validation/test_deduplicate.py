"""Near-duplicates among accepted samples."""

from __future__ import annotations

import pytest
from PIL import Image, ImageEnhance

from clip_har.data.sources import build_source, parse_source_config
from clip_har.data.validation import ValidationConfig, deduplicate, validate
from clip_har.errors import DataError
from tests.tiny_models import colour_photos

LABELS = ["cycling", "running", "sitting"]


@pytest.fixture
def photos(tmp_path):
    return colour_photos(tmp_path / "photos", LABELS, 4)


def check(folder, progress=None, **settings):
    config = ValidationConfig.model_validate(
        {"too_small": {"min_side": 16}, "class_size": {"minimum": 1}, "near_duplicates": settings}
    )
    source = build_source(parse_source_config({"source": "folder", "path": str(folder)}), "unused")
    return deduplicate(*validate(source, config, data_revision="r1"), config, progress)


def save_again(photos, source: str, target: str, quality: int = 60) -> None:
    with Image.open(photos / source) as image:
        image.save(photos / target, quality=quality)


def edited(image: Image.Image, how: str) -> Image.Image:
    width, height = image.size
    return {
        "recompressed": image,
        "smaller": image.resize((width // 2, height // 2), Image.Resampling.LANCZOS),
        "larger": image.resize((2 * width, 2 * height), Image.Resampling.BICUBIC),
        "brighter": ImageEnhance.Brightness(image).enhance(1.25),
        "cropped": image.crop((1, 1, width - 2, height - 1)),
    }[how]


@pytest.mark.parametrize("how", ["recompressed", "smaller", "larger", "brighter", "cropped"])
def test_near_duplicates_share_a_group(photos, how):
    with Image.open(photos / "running" / "running_001.jpg") as image:
        edited(image, how).save(photos / "sitting" / "again.jpg", quality=60)
    manifest, report = check(photos)
    groups = manifest.frame.set_index("uri")["group"]
    assert groups["sitting/again.jpg"] == groups["running/running_001.jpg"]
    assert groups.nunique() == len(manifest) - 1
    ((first, second, _, similarity),) = report.near_duplicates.to_numpy().tolist()
    assert {first, second} == {"running/running_001.jpg", "sitting/again.jpg"}
    assert similarity >= 0.9
    assert (report.accepted, len(report.rejections)) == (13, 0)  # kept, but never separated


def test_without_near_duplicates_nothing_changes(photos):
    manifest, report = check(photos)
    assert (manifest.frame["group"] == manifest.frame["id"]).all()
    assert (len(report.near_duplicates), len(report.warnings)) == (0, 0)


def test_a_group_is_named_alike_when_the_data_grow(photos):
    """The smallest id names the group: what is split by it stays where it was unless a smaller one joins."""
    save_again(photos, "running/running_001.jpg", "running/again.jpg")
    manifest, _ = check(photos)
    pair = manifest.frame[manifest.frame["uri"].isin(["running/again.jpg", "running/running_001.jpg"])]
    assert pair["group"].unique().tolist() == [min(pair["id"])]


def test_two_labels_are_told_with_both_pictures(photos):
    save_again(photos, "running/running_001.jpg", "sitting/again.jpg")
    manifest, report = check(photos)
    rows = report.warnings[["uri", "label", "reason"]].to_numpy().tolist()
    assert rows == [
        ["running/running_001.jpg", "running", "near_duplicate_label_conflict"],
        ["sitting/again.jpg", "sitting", "near_duplicate_label_conflict"],
    ]
    assert "sitting/again.jpg, which is labelled 'sitting'" in report.warnings["detail"][0]
    assert "running/running_001.jpg, which is labelled 'running'" in report.warnings["detail"][1]
    assert set(report.warnings["id"]) <= set(manifest.ids)
    assert report.accepted == 13


def test_two_labels_may_be_rejected_or_left_alone(photos):
    save_again(photos, "running/running_001.jpg", "sitting/again.jpg")
    save_again(photos, "cycling/cycling_001.jpg", "cycling/again.jpg")
    manifest, report = check(photos, two_labels="reject")
    assert report.reasons == {"near_duplicate_label_conflict": 2}
    assert report.found == report.accepted + 2 == len(manifest) + 2 == 14
    assert report.near_duplicates[["first", "second"]].to_numpy().tolist() == [
        ["cycling/again.jpg", "cycling/cycling_001.jpg"]
    ]
    assert len(report.warnings) == 0
    _, report = check(photos, two_labels="off")
    assert (len(report.rejections), len(report.warnings), len(report.near_duplicates)) == (0, 0, 2)


def test_repetitions_may_be_rejected_and_the_first_stays(photos):
    save_again(photos, "running/running_001.jpg", "running/again.jpg")
    save_again(photos, "running/running_001.jpg", "running/again2.jpg", 40)
    manifest, report = check(photos, severity="reject")
    assert dict(zip(report.rejections["uri"], report.rejections["reason"], strict=True)) == {
        "running/again2.jpg": "near_duplicates",
        "running/running_001.jpg": "near_duplicates",
    }
    assert report.found == report.accepted + 2 == len(manifest) + 2
    assert manifest.frame["group"].is_unique


def test_off_means_that_nothing_is_compared(photos, monkeypatch):
    save_again(photos, "running/running_001.jpg", "running/again.jpg")
    monkeypatch.setattr("clip_har.data.validation.deduplicating.close_pairs", lambda *_: pytest.fail("compared"))
    manifest, report = check(photos, severity="off")
    assert (manifest.frame["group"] == manifest.frame["id"]).all()
    assert len(report.near_duplicates) == 0


def test_thresholds_are_the_configs(photos):
    with Image.open(photos / "running" / "running_001.jpg") as image:
        image.crop((2, 2, image.width, image.height)).save(photos / "running" / "a.jpg")
    _, report = check(photos)
    ((*_, distance, similarity),) = report.near_duplicates.to_numpy().tolist()
    assert distance > 0
    assert len(check(photos, distance=distance - 1)[1].near_duplicates) == 0
    assert len(check(photos, similarity=similarity + 0.001)[1].near_duplicates) == 0


def test_what_validation_said_stays_in_the_report(photos):
    (photos / "running" / "bad.jpg").write_bytes(b"bad")
    (photos / "dancing").mkdir()
    (photos / "dancing" / "bad.jpg").write_bytes(b"bad")
    _, report = check(photos)
    assert report.reasons == {"not_an_image": 2}
    assert report.warned_reasons == {"class_size": 1}
    assert report.found == 14


def test_progress_reaches_its_end(photos):
    save_again(photos, "running/running_001.jpg", "running/again.jpg")
    seen = []
    check(photos, lambda *done: seen.append(done))
    assert seen[-1][0] == seen[-1][1] > 0


def test_measurements_of_other_samples_are_refused(photos, tmp_path):
    config = ValidationConfig(class_size={"minimum": 1})
    source = build_source(parse_source_config({"source": "folder", "path": str(photos)}), "unused")
    manifest, report, _ = validate(source, config)
    colour_photos(tmp_path / "others", LABELS, 4, seed=1)
    others = build_source(parse_source_config({"source": "folder", "path": str(tmp_path / "others")}), "unused")
    with pytest.raises(DataError, match="The Inspection is not of this Manifest"):
        deduplicate(manifest, report, validate(others, config)[2], config)
