"""Validation: every sample is accepted or rejected with its reason, and none is lost."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from PIL import Image

import clip_har.data.validation.examining as examining
from clip_har.component import validated
from clip_har.data.image import decode_image
from clip_har.data.sources import SourceRecord, build_source, parse_source_config
from clip_har.data.validation import REASONS, ValidationConfig, validate
from clip_har.data.validation.examining import promised_format
from clip_har.data.validation.measures import measure
from clip_har.errors import ConfigError, DataError
from clip_har.hashing import sha256_file
from tests.data.validation.bad_files import blurred, dark, encoded, scene
from tests.tiny_models import colour_photos

LABELS = ["cycling", "running", "sitting"]
SMALL_CLASSES = ValidationConfig(class_size={"minimum": 1})


@pytest.fixture
def photos(tmp_path):
    return colour_photos(tmp_path / "photos", LABELS, 4)


def folder_source(folder, **settings):
    return build_source(parse_source_config({"source": "folder", "path": str(folder), **settings}), "unused")


def check(folder, config=SMALL_CLASSES, labels=None):
    return validate(folder_source(folder, labels=labels), config, data_revision="r1")


def reasons_by_uri(table):
    return dict(zip(table["uri"], table["reason"], strict=True))


def test_a_clean_folder_is_accepted_whole(photos):
    manifest, report, inspection = check(photos)
    assert (report.found, report.accepted, len(report.rejections), len(report.warnings)) == (12, 12, 0, 0)
    assert manifest.labels == tuple(LABELS)
    assert manifest.frame["uri"].tolist() == sorted(manifest.frame["uri"])
    assert (manifest.frame["group"] == manifest.frame["id"]).all()
    assert set(manifest.frame["split"]) == {""}
    assert set(manifest.frame["format"]) == {"JPEG"}
    assert set(manifest.frame["data_revision"]) == {"r1"}
    with Image.open(manifest.paths[5]) as image:
        assert image.size == tuple(manifest.frame.loc[5, ["width", "height"]])
    assert inspection.frame["id"].tolist() == manifest.ids
    assert inspection.frame["file_bytes"].tolist() == [os.path.getsize(path) for path in manifest.paths]
    for column in ("brightness", "contrast"):
        assert inspection.frame[column].between(0.05, 1).all()


def test_progress_counts_every_record(photos):
    seen = []
    validate(folder_source(photos), SMALL_CLASSES, progress=lambda *done: seen.append(done))
    assert seen == [(number, 12) for number in range(1, 13)]


def test_the_same_files_give_the_same_artifacts_from_any_order(photos, monkeypatch):
    copy = (photos / "running" / "running_000.jpg").read_bytes()
    (photos / "running" / "copy.jpg").write_bytes(copy)
    (photos / "running" / "bad.jpg").write_bytes(b"bad")
    (photos / "sitting" / "dark.jpg").write_bytes(dark(1))
    source = folder_source(photos)
    first = validate(source, ValidationConfig())
    records = source.records()
    monkeypatch.setattr(source, "records", lambda: records[::-1])
    second = validate(source, ValidationConfig())
    assert [part.content_hash for part in second] == [part.content_hash for part in first]


# -- severities and thresholds ------------------------------------------------------------------------------------------


def _folder_with(photos, name: str, data: bytes):
    (photos / "running" / name).write_bytes(data)
    return photos


FILES_OF_CHECKS = {
    "wrong_type": ("odd.png", encoded(scene(1))),
    "animated": ("odd.gif", encoded(scene(2), "GIF", save_all=True, append_images=[scene(3)])),
    "too_small": ("odd.jpg", encoded(scene(4, (31, 40)))),
    "extreme_aspect_ratio": ("odd.jpg", encoded(scene(5, (300, 40)))),
    "nearly_constant": ("odd.jpg", encoded(Image.new("RGB", (80, 60), (200, 120, 90)))),
    "too_dark": ("odd.jpg", dark(6)),
    "blurred": ("odd.jpg", blurred(7)),
}


@pytest.mark.parametrize("reason", FILES_OF_CHECKS)
def test_each_check_of_a_picture_rejects_warns_or_is_off(photos, reason):
    name, data = FILES_OF_CHECKS[reason]
    uri = f"running/{name}"
    _folder_with(photos, name, data)
    rejecting, warning, off = (
        check(photos, ValidationConfig.model_validate({reason: {"severity": severity}, "class_size": {"minimum": 1}}))
        for severity in ("reject", "warn", "off")
    )
    assert reasons_by_uri(rejecting[1].rejections) == {uri: reason}
    assert reasons_by_uri(rejecting[1].warnings) == {}
    assert reasons_by_uri(warning[1].warnings) == {uri: reason}
    assert reasons_by_uri(warning[1].rejections) == reasons_by_uri(off[1].rejections) == {}
    assert len(off[1].warnings) == 0
    assert [len(manifest) for manifest, *_ in (rejecting, warning, off)] == [12, 13, 13]
    assert {report.found for _, report, _ in (rejecting, warning, off)} == {13}


@pytest.mark.parametrize(
    ("reason", "threshold", "value"),
    [
        ("too_small", "min_side", 31),
        ("extreme_aspect_ratio", "max_ratio", 7.5),
        ("nearly_constant", "min_contrast", 0.0),
        ("too_dark", "min_brightness", 0.1),
        ("blurred", "min_sharpness", 0.01),
    ],
)
def test_each_threshold_is_the_configs(photos, reason, threshold, value):
    name, data = FILES_OF_CHECKS[reason]
    _folder_with(photos, name, data)
    settings = {reason: {"severity": "reject"}, "class_size": {"minimum": 1}}
    _, refused, _ = check(photos, ValidationConfig.model_validate(settings))
    assert reasons_by_uri(refused.rejections) == {f"running/{name}": reason}
    settings[reason][threshold] = value
    _, taken, _ = check(photos, ValidationConfig.model_validate(settings))
    assert reasons_by_uri(taken.rejections) == {}


def test_the_first_check_that_rejects_gives_the_reason_and_warnings_are_of_accepted_samples(photos):
    odd = blurred(1)
    (photos / "running" / "odd.png").write_bytes(odd)  # blurred and, by its name, of another type
    _, report, _ = check(photos)
    assert reasons_by_uri(report.rejections) == {"running/odd.png": "wrong_type"}
    assert len(report.warnings) == 0


def test_one_sample_may_have_several_warnings(photos):
    (photos / "running" / "odd.png").write_bytes(blurred(1))
    config = ValidationConfig(wrong_type={"severity": "warn"}, class_size={"minimum": 1})
    _, report, _ = check(photos, config)
    assert report.warned_reasons == {"blurred": 1, "wrong_type": 1}
    assert report.accepted == 13


@pytest.mark.parametrize("reason", ["missing_file", "truncated", "unknown_label", "label_conflict", "exact_duplicate"])
def test_what_cannot_be_used_cannot_be_accepted(reason):
    with pytest.raises(ConfigError, match=rf"{reason}\.severity: wanted: 'reject', got 'warn'"):
        validated(ValidationConfig, {reason: {"severity": "warn"}})


def test_every_reason_is_explained_and_every_check_is_a_reason():
    config = ValidationConfig()
    checks = set(ValidationConfig.model_fields) - {"limits"}
    assert checks == set(REASONS) - {"discarded", "between_splits", "near_duplicate_label_conflict"}
    assert all(config.severity(reason) in ("reject", "warn", "off") for reason in checks)


def test_each_file_is_decoded_once_and_large_ones_reduced(photos, monkeypatch):
    (photos / "running" / "large.jpg").write_bytes(encoded(scene(1, (2000, 1500))))
    calls = []

    def decode(data, *arguments, **options):
        decoded = decode_image(data, *arguments, **options)
        calls.append(max(decoded.image.size))
        return decoded

    monkeypatch.setattr(examining, "decode_image", decode)
    manifest, *_ = check(photos)
    assert len(calls) == 13
    assert max(calls) <= 1000
    assert manifest.frame["width"].max() == 2000


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.jpg", "JPEG"),
        ("a/b.JPEG", "JPEG"),
        ("a.tiff", "TIFF"),
        ("a.webp", "WEBP"),
        ("a.txt", "text/plain"),
        ("a.pdf", "application/pdf"),
        ("a.bin", None),
        ("a.img", None),
        ("a", None),
    ],
)
def test_what_a_name_says(name, format_):
    assert promised_format(name) == format_


# -- measurements -------------------------------------------------------------------------------------------------------


def _measured(image: Image.Image):
    return measure(decode_image(encoded(image, "PNG")))


def test_measurements_mean_what_they_say():
    half = Image.new("L", (100, 100), 0)
    half.paste(255, (0, 0, 100, 50))
    measured = _measured(half)
    assert (measured.brightness, measured.highlights, measured.contrast) == (0.5, 1.0, 0.5)
    speck = Image.new("L", (100, 100), 51)
    speck.paste(255, (0, 0, 10, 9))  # 90 of 10,000
    assert _measured(speck).highlights == pytest.approx(0.2)
    speck.paste(255, (0, 0, 10, 10))  # 100
    assert _measured(speck).highlights == 1.0
    red_and_blue = Image.new("RGB", (100, 100), (76, 0, 0))  # of nearly the same grey
    red_and_blue.paste((0, 0, 200), (0, 0, 50, 100))
    assert _measured(red_and_blue).contrast > 0.35
    assert _measured(Image.new("RGB", (100, 100), "red")).contrast == _measured(Image.new("L", (9, 9))).sharpness == 0


def test_sharpness_falls_with_blur_and_not_with_contrast_or_size():
    from PIL import ImageEnhance, ImageFilter

    image = scene(3, (480, 360))
    sharp = _measured(image).sharpness
    softer = [_measured(image.filter(ImageFilter.GaussianBlur(radius))).sharpness for radius in (0.5, 1, 2)]
    assert [sharp, *softer] == sorted([sharp, *softer], reverse=True)
    assert _measured(ImageEnhance.Contrast(image).enhance(0.5)).sharpness == pytest.approx(sharp, rel=0.1)
    assert measure(decode_image(encoded(scene(4, (2, 50)), "PNG"))).sharpness == 0


# -- equal files and the test folder ------------------------------------------------------------------------------------


def test_of_equal_files_the_first_is_kept(photos):
    data = (photos / "running" / "running_002.jpg").read_bytes()
    for name in ("a.jpg", "z.jpg"):
        (photos / "running" / name).write_bytes(data)
    manifest, report, _ = check(photos)
    assert reasons_by_uri(report.rejections) == {
        "running/running_002.jpg": "exact_duplicate",
        "running/z.jpg": "exact_duplicate",
    }
    assert set(report.rejections["detail"]) == {"same bytes as running/a.jpg"}
    assert "running/a.jpg" in set(manifest.frame["uri"])
    assert report.summary()["exact_duplicate_groups"] == 1


def test_the_same_picture_with_two_labels_is_rejected_twice_and_both_are_shown(photos):
    (photos / "cycling" / "also.jpg").write_bytes((photos / "sitting" / "sitting_000.jpg").read_bytes())
    manifest, report, _ = check(photos)
    assert reasons_by_uri(report.rejections) == {
        "cycling/also.jpg": "label_conflict",
        "sitting/sitting_000.jpg": "label_conflict",
    }
    (detail,) = set(report.rejections["detail"])
    assert detail == "listed as cycling and as sitting: cycling/also.jpg (cycling), sitting/sitting_000.jpg (sitting)"
    assert report.summary()["label_conflict_groups"] == 1
    assert len(manifest) == 11


@pytest.mark.parametrize(("severity", "accepted", "table"), [("reject", 3, "rejections"), ("warn", 4, "warnings")])
def test_a_picture_that_lies_in_the_test_folder_too(tmp_path, severity, accepted, table):
    colour_photos(tmp_path / "train", ["running", "sitting"], 2)
    names = sorted(path.relative_to(tmp_path / "train").as_posix() for path in tmp_path.rglob("*.jpg"))
    rows = [f"{name},{name.split('/')[0]}" for name in names]
    (tmp_path / "Training_set.csv").write_text("\n".join(["filename,label", *rows]))
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "again.jpg").write_bytes((tmp_path / "train" / names[1]).read_bytes())
    (tmp_path / "test" / "other.jpg").write_bytes(encoded(scene(9)))
    source = build_source(parse_source_config({"source": "csv", "path": str(tmp_path)}), "unused")
    config = ValidationConfig(also_in_test_folder={"severity": severity}, class_size={"minimum": 1})
    _, report, _ = validate(source, config)
    assert report.accepted == accepted
    found = getattr(report, table)
    assert reasons_by_uri(found) == {names[1]: "also_in_test_folder"}
    assert found["detail"].tolist() == ["same bytes as test/again.jpg"]
    _, report, _ = validate(
        source, ValidationConfig(also_in_test_folder={"severity": "off"}, class_size={"minimum": 1})
    )
    assert (report.accepted, len(report.warnings)) == (4, 0)


def test_labelled_pictures_in_the_test_folder_are_not_their_own_copies(tmp_path):
    colour_photos(tmp_path / "test", ["running", "sitting"], 2)
    rows = [f"test/{path.parent.name}/{path.name},{path.parent.name}" for path in tmp_path.rglob("*.jpg")]
    (tmp_path / "Training_set.csv").write_text("\n".join(["filename,label", *rows]))
    source = build_source(parse_source_config({"source": "csv", "path": str(tmp_path), "images_folder": "."}), "unused")
    _, report, _ = validate(source, SMALL_CLASSES)
    assert (report.accepted, len(report.warnings)) == (4, 0)


def test_a_link_outwards_may_be_allowed(photos, tmp_path):
    (tmp_path / "elsewhere.jpg").write_bytes(encoded(scene(1)))
    (photos / "running" / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    _, report, _ = check(photos)
    assert reasons_by_uri(report.rejections) == {"running/link.jpg": "outside_data_folder"}
    assert "validation.outside_data_folder.severity" in report.rejections["detail"][0]
    for severity, warnings in (("warn", {"running/link.jpg": "outside_data_folder"}), ("off", {})):
        config = ValidationConfig(outside_data_folder={"severity": severity}, class_size={"minimum": 1})
        _, report, _ = check(photos, config)
        assert report.accepted == 13
        assert reasons_by_uri(report.warnings) == warnings


def test_a_whole_folder_may_be_a_link(photos, tmp_path):
    (tmp_path / "link").symlink_to(photos)
    _, report, _ = check(tmp_path / "link")
    assert report.accepted == 12
    (tmp_path / "kaggle").mkdir()
    (tmp_path / "kaggle" / "train").symlink_to(photos)
    rows = [f"{path.parent.name}/{path.name},{path.parent.name}" for path in photos.rglob("*.jpg")]
    (tmp_path / "kaggle" / "Training_set.csv").write_text("\n".join(["filename,label", *rows]))
    source = build_source(parse_source_config({"source": "csv", "path": str(tmp_path / "kaggle")}), "unused")
    assert validate(source, SMALL_CLASSES)[1].accepted == 12


@pytest.mark.parametrize(
    "uri", ["../secret.jpg", "/etc/hostname", "a/../../secret.jpg", "C:\\secret.jpg", "a\\..\\b.jpg"]
)
def test_a_source_that_lets_a_path_out_is_not_trusted(photos, monkeypatch, uri):
    (photos.parent / "secret.jpg").write_bytes(encoded(scene(1)))
    source = folder_source(photos)
    records = [*source.records(), SourceRecord(uri, "running")]
    monkeypatch.setattr(source, "records", lambda: records)
    allowing = ValidationConfig(outside_data_folder={"severity": "off"}, class_size={"minimum": 1})
    _, report, _ = validate(source, allowing)
    assert reasons_by_uri(report.rejections) == {uri: "outside_data_folder"}


def test_a_file_listed_twice_counts_once(tmp_path):
    colour_photos(tmp_path / "train", ["running", "sitting"], 1)
    rows = ["running/running_000.jpg,running", "sitting/sitting_000.jpg,sitting", "running/running_000.jpg,running"]
    (tmp_path / "Training_set.csv").write_text("\n".join(["filename,label", *rows]))
    source = build_source(parse_source_config({"source": "csv", "path": str(tmp_path)}), "unused")
    manifest, report, _ = validate(source, ValidationConfig())
    assert (len(manifest), report.reasons) == (2, {"exact_duplicate": 1})


# -- labels and classes -------------------------------------------------------------------------------------------------


def test_labels_choose_and_order_the_classes(photos):
    manifest, report, _ = check(photos, labels=["sitting", "cycling"])
    assert manifest.labels == ("sitting", "cycling")
    assert report.reasons == {"unknown_label": 4}
    with pytest.raises(DataError, match=r"data\.labels: no photograph is labelled 'siting'\. Did you mean 'sitting'"):
        check(photos, labels=["cycling", "siting"])
    with pytest.raises(DataError, match=r"data\.labels names a class twice"):
        check(photos, labels=["cycling", "cycling"])


def test_an_unknown_label_says_what_it_is_like(photos):
    (photos / "runnin").mkdir()
    (photos / "runnin" / "a.jpg").write_bytes((photos / "running" / "running_000.jpg").read_bytes())
    _, report, _ = check(photos, labels=LABELS)
    assert report.rejections["detail"].tolist() == ["'runnin'; did you mean 'running'?"]
    assert report.rejections["id"].tolist() == [sha256_file(photos / "runnin" / "a.jpg")]


def test_data_that_cannot_be_used_as_a_whole_are_refused(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "x.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"None of the 2 listed photographs can be used: 2 × empty_file"):
        check(tmp_path)
    colour_photos(tmp_path, ["a"], 2)
    with pytest.raises(DataError, match=r"All 2 accepted photographs are labelled 'a'"):
        check(tmp_path)


def test_placeholder_labels_are_refused_before_any_file_is_read(tmp_path, monkeypatch):
    """As in the test split of the Hub's data set, whose labels are all 0."""
    colour_photos(tmp_path / "train", ["calling"], 3)
    rows = [f"calling/{path.name},calling" for path in (tmp_path / "train" / "calling").iterdir()]
    (tmp_path / "Training_set.csv").write_text("\n".join(["filename,label", *rows]))
    source = build_source(parse_source_config({"source": "csv", "path": str(tmp_path)}), "unused")
    monkeypatch.setattr(examining.Examiner, "__call__", lambda *_: pytest.fail("read"))
    with pytest.raises(DataError, match=r"All 3 listed photographs are labelled 'calling'.*placeholder labels"):
        validate(source, ValidationConfig())


def test_a_class_that_is_too_small(photos):
    for number in range(2):
        (photos / "sitting" / f"sitting_00{number}.jpg").unlink()
    _, report, _ = check(photos, ValidationConfig(class_size={"minimum": 3}))
    ((uri, label, reason, detail, identity),) = report.warnings.to_numpy().tolist()
    assert (uri, label, reason, identity) == ("", "sitting", "class_size", "")
    assert detail == "2 accepted photographs of 'sitting'; 3 are wanted"
    with pytest.raises(DataError, match=r"validation\.class_size: 2 accepted photographs of 'sitting'; 3 are wanted"):
        check(photos, ValidationConfig(class_size={"minimum": 3, "severity": "reject"}))
    _, report, _ = check(photos, ValidationConfig(class_size={"minimum": 3, "severity": "off"}))
    assert len(report.warnings) == 0


def test_a_class_of_which_nothing_is_accepted(photos):
    (photos / "dancing").mkdir()
    (photos / "dancing" / "a.jpg").write_bytes(b"bad")
    manifest, report, _ = check(photos)
    assert manifest.labels == tuple(LABELS)
    assert report.warnings["detail"].tolist() == [
        "none of the photographs labelled 'dancing' was accepted: 1 × not_an_image; it is no class of this data set"
    ]
    with pytest.raises(DataError, match=r"data\.labels: none of the photographs labelled 'dancing' .*1 × not_an_image"):
        check(photos, labels=[*LABELS, "dancing"])


def test_classes_of_very_different_sizes(photos):
    for number in range(1, 4):
        (photos / "sitting" / f"sitting_00{number}.jpg").unlink()
    settings = {"class_size": {"minimum": 1}, "imbalance": {"max_ratio": 3.9}}
    _, report, _ = check(photos, ValidationConfig.model_validate(settings))
    assert report.warnings[["label", "reason", "detail"]].to_numpy().tolist() == [
        ["sitting", "imbalance", "1 photographs of 'sitting', 4 of 'cycling'"]
    ]
    settings["imbalance"]["max_ratio"] = 4
    assert len(check(photos, ValidationConfig.model_validate(settings))[1].warnings) == 0
    settings["imbalance"] = {"max_ratio": 2, "severity": "reject"}
    with pytest.raises(DataError, match=r"validation\.imbalance: 1 photographs of 'sitting', 4 of 'cycling'"):
        check(photos, ValidationConfig.model_validate(settings))


# -- the real photographs -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_real_photographs(har_folder):
    from clip_har.data.splits import SplitConfig, split_manifest
    from clip_har.data.validation import deduplicate

    source = build_source(parse_source_config({"source": "csv", "path": str(har_folder)}), "unused")
    manifest, report, inspection = validate(source, ValidationConfig())
    manifest, report = deduplicate(manifest, report, inspection, ValidationConfig())
    digests = Counter(sha256_file(path) for path in (har_folder / "train").iterdir())
    in_test = {sha256_file(path) for path in (har_folder / "test").iterdir()} & set(digests)
    assert report.found == report.accepted + len(report.rejections) == 4500
    assert len(manifest) == report.accepted == len(digests)
    assert report.reasons == {"exact_duplicate": 4500 - len(digests)}
    assert report.summary()["exact_duplicate_groups"] == sum(number > 1 for number in digests.values()) == 110
    assert report.summary()["label_conflict_groups"] == 0
    assert report.warned_reasons["also_in_test_folder"] == len(in_test) == 1
    assert report.warned_reasons["blurred"] <= 5
    assert set(report.warned_reasons) <= {"also_in_test_folder", "blurred", "near_duplicate_label_conflict"}
    assert len(report.near_duplicates) >= 20  # looked at: all of the 28 found show the same picture twice
    pairs = report.near_duplicates[["first", "second"]].to_numpy().tolist()
    group = manifest.frame.set_index("uri")["group"]
    assert all(group[first] == group[second] for first, second in pairs)
    split = split_manifest(manifest, SplitConfig()).frame
    assert not set(split["group"][split["split"] == "test"]) & set(split["group"][split["split"] == "train"])
