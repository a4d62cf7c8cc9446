"""Validation: every sample is accepted or rejected with its reason, and none is lost."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance

from clip_har.data.image import ImageLimits
from clip_har.data.sources import build_source, parse_source_config
from clip_har.data.validation import REASONS, ValidationConfig, ValidationReport, validate
from clip_har.errors import DataError
from clip_har.hashing import sha256_file
from tests.tiny_models import colour_photos

LABELS = ["cycling", "running", "sitting"]


@pytest.fixture
def photos(tmp_path):
    return colour_photos(tmp_path / "photos", LABELS, 4)


def check(folder, config=None, **settings):
    source = build_source(parse_source_config({"source": "folder", "path": str(folder), **settings}), "unused")
    return validate(source, config or ValidationConfig(), "r1")


def jpeg(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_a_clean_folder_is_accepted_whole(photos):
    manifest, report = check(photos)
    assert (report.found, report.accepted, len(report.rejections), len(report.near_duplicates)) == (12, 12, 0, 0)
    assert manifest.labels == tuple(LABELS)
    assert manifest.frame["uri"].tolist() == sorted(manifest.frame["uri"])
    assert (manifest.frame["group"] == manifest.frame["id"]).all()
    assert set(manifest.frame["split"]) == {""}
    assert set(manifest.frame["format"]) == {"JPEG"}
    assert set(manifest.frame["data_revision"]) == {"r1"}
    with Image.open(manifest.paths[5]) as image:
        assert image.size == tuple(manifest.frame.loc[5, ["width", "height"]])


def spoil(photos) -> dict[str, str]:
    """One sample for each reason that a folder can give; uri → reason."""
    good = (photos / "running" / "running_000.jpg").read_bytes()
    other = (photos / "sitting" / "sitting_000.jpg").read_bytes()
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    files = {
        "running/empty.jpg": (b"", "empty_file"),
        "running/heavy.jpg": (jpeg(noise.resize((300, 300), 0), quality=100), "too_many_bytes"),
        "running/text.jpg": (b"no picture at all", "not_an_image"),
        "running/large.jpg": (jpeg(Image.new("RGB", (400, 300))), "too_many_pixels"),
        "running/half.jpg": (good[: len(good) // 2], "truncated"),
        "running/small.jpg": (jpeg(noise.resize((31, 60))), "too_small"),
        "running/same.jpg": (good, "exact_duplicate"),
        "dancing/a.jpg": (jpeg(noise), "unknown_label"),
        "cycling/also_sitting.jpg": (other, "label_conflict"),
        "sitting/sitting_000.jpg": (other, "label_conflict"),
        "stray.jpg": (jpeg(noise), "missing_label"),
    }
    for uri, (data, _) in files.items():
        (photos / uri).parent.mkdir(exist_ok=True)
        (photos / uri).write_bytes(data)
    (photos / "running" / "broken_link.jpg").symlink_to("nowhere.jpg")
    return {uri: reason for uri, (_, reason) in files.items()} | {"running/broken_link.jpg": "missing_file"}


def test_each_reason_is_found_and_nothing_is_lost(photos):
    expected = spoil(photos)
    config = ValidationConfig(limits=ImageLimits(max_bytes=40_000, max_pixels=100_000))
    manifest, report = check(photos, config, labels=LABELS)
    assert dict(zip(report.rejections["uri"], report.rejections["reason"], strict=True)) == expected
    assert set(expected.values()) == set(REASONS) - {"outside_data_folder"}  # which only a table can give
    assert report.found == report.accepted + len(report.rejections) == 12 + 11  # one was there and is in conflict now
    assert report.accepted == len(manifest) == 11
    assert sum(report.reasons.values()) == len(report.rejections)
    details = dict(zip(report.rejections["uri"], report.rejections["detail"], strict=True))
    assert "running/running_000.jpg" in details["running/same.jpg"]
    assert "31 × 60" in details["running/small.jpg"]
    assert (
        "sitting and" in details["cycling/also_sitting.jpg"] or "and as sitting" in details["cycling/also_sitting.jpg"]
    )
    assert report.summary()["exact_duplicate_groups"] == 1
    page = report.to_html()
    assert all(reason in page for reason in expected.values())


def test_the_report_is_read_as_it_was_written(photos, tmp_path):
    spoil(photos)
    _, report = check(photos, labels=LABELS)
    report.write(tmp_path / "report")
    read = ValidationReport.read(tmp_path / "report")
    assert read.summary() == report.summary()
    assert read.content_hash == report.content_hash
    pd.testing.assert_frame_equal(read.rejections, report.rejections)
    _, other = check(photos, ValidationConfig(min_side=31), labels=LABELS)
    assert other.content_hash != report.content_hash


def test_samples_cannot_be_lost_unnoticed():
    empty = pd.DataFrame({"reason": []})
    with pytest.raises(AssertionError, match=r"3 accepted \+ 0 rejected samples are not 4 found"):
        ValidationReport(4, 3, empty, empty)


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
    original = photos / "running" / "running_001.jpg"
    with Image.open(original) as image:
        edited(image, how).save(photos / "sitting" / "again.jpg", quality=60)
    config = ValidationConfig(min_side=16)
    manifest, report = check(photos, config)
    groups = manifest.frame.set_index("uri")["group"]
    assert groups["sitting/again.jpg"] == groups["running/running_001.jpg"]
    assert groups.nunique() == len(manifest) - 1
    ((first, second, _, similarity),) = report.near_duplicates.to_numpy().tolist()
    assert {first, second} == {"running/running_001.jpg", "sitting/again.jpg"}
    assert similarity >= config.near_duplicate_similarity
    assert (report.accepted, len(report.rejections)) == (13, 0)  # kept, but never separated


def test_a_group_is_named_alike_when_the_data_grow(photos):
    """The smallest id names the group: what is split by it stays where it was unless a smaller one joins."""
    with Image.open(photos / "running" / "running_001.jpg") as image:
        image.save(photos / "running" / "again.jpg", quality=50)
    manifest, _ = check(photos)
    pair = manifest.frame[manifest.frame["uri"].isin(["running/again.jpg", "running/running_001.jpg"])]
    assert pair["group"].unique().tolist() == [min(pair["id"])]


def test_the_same_files_give_the_same_manifest_from_any_order(photos, monkeypatch):
    spoil(photos)
    source = build_source(parse_source_config({"source": "folder", "path": str(photos)}), "unused")
    first, first_report = validate(source, ValidationConfig())
    records = source.records()
    monkeypatch.setattr(source, "records", lambda: records[::-1])
    second, second_report = validate(source, ValidationConfig())
    assert second.content_hash == first.content_hash
    assert second_report.reasons == first_report.reasons


def test_labels_choose_and_order_the_classes(photos):
    manifest, report = check(photos, labels=["sitting", "cycling"])
    assert manifest.labels == ("sitting", "cycling")
    assert report.reasons == {"unknown_label": 4}
    with pytest.raises(DataError, match=r"data\.labels: no photograph is labelled 'siting'\. Did you mean 'sitting'"):
        check(photos, labels=["cycling", "siting"])
    with pytest.raises(DataError, match=r"data\.labels names a class twice"):
        check(photos, labels=["cycling", "cycling"])


def test_an_unknown_label_says_what_it_is_like(photos):
    (photos / "runnin").mkdir()
    (photos / "runnin" / "a.jpg").write_bytes((photos / "running" / "running_000.jpg").read_bytes())
    _, report = check(photos, labels=LABELS)
    assert report.rejections["detail"].tolist() == ["'runnin'; did you mean 'running'?"]


def test_data_that_cannot_be_used_as_a_whole_is_refused(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "x.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"None of the 2 listed photographs can be used: 2 × empty_file"):
        check(tmp_path)
    colour_photos(tmp_path, ["a"], 2)
    with pytest.raises(DataError, match=r"All 2 accepted photographs are labelled 'a'"):
        check(tmp_path)


def test_a_source_that_tells_its_problems_keeps_them(tmp_path):
    colour_photos(tmp_path / "train", ["running", "sitting"], 2)
    rows = ["running/running_000.jpg,running", "sitting/sitting_000.jpg,sitting", "../x.jpg,sitting", "y.jpg,running"]
    (tmp_path / "Training_set.csv").write_text("\n".join(["filename,label", *rows]))
    source = build_source(parse_source_config({"source": "csv", "path": str(tmp_path)}), "unused")
    manifest, report = validate(source, ValidationConfig())
    assert report.reasons == {"missing_file": 1, "outside_data_folder": 1}
    assert set(manifest.frame["source"]) == {"csv"}


def test_a_file_listed_twice_counts_once(tmp_path):
    colour_photos(tmp_path / "train", ["running", "sitting"], 1)
    rows = ["running/running_000.jpg,running", "sitting/sitting_000.jpg,sitting", "running/running_000.jpg,running"]
    (tmp_path / "Training_set.csv").write_text("\n".join(["filename,label", *rows]))
    source = build_source(parse_source_config({"source": "csv", "path": str(tmp_path)}), "unused")
    manifest, report = validate(source, ValidationConfig())
    assert (len(manifest), report.reasons) == (2, {"exact_duplicate": 1})


@pytest.mark.slow
def test_the_real_photographs(har_folder):
    source = build_source(parse_source_config({"source": "csv", "path": str(har_folder)}), "unused")
    manifest, report = validate(source, ValidationConfig())
    digests = Counter(sha256_file(path) for path in (har_folder / "train").iterdir())
    assert report.found == report.accepted + len(report.rejections) == 4500
    assert len(manifest) == report.accepted == len(digests)
    assert report.reasons == {"exact_duplicate": 4500 - len(digests)}
    assert report.summary()["exact_duplicate_groups"] == sum(number > 1 for number in digests.values()) == 110
    assert manifest.counts().to_numpy().sum() == 0  # not split yet
    assert len(report.near_duplicates) >= 20  # looked at: all of the 28 found show the same picture twice
    pairs = report.near_duplicates[["first", "second"]].to_numpy().tolist()
    group = manifest.frame.set_index("uri")["group"]
    assert all(group[first] == group[second] for first, second in pairs)
