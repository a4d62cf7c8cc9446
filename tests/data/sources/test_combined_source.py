"""Several sources as one: through validation, quarantine, splits and versions, as any other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from clip_har.data.fingerprint import fingerprint
from clip_har.data.quarantine import RejectionQueue
from clip_har.data.sources import build_source, parse_source_config
from clip_har.data.sources.combined import CombinedSourceConfig
from clip_har.data.splits import SplitConfig, split_data
from clip_har.data.validation import ValidationConfig, deduplicate, validate
from clip_har.data.versions import VersionStore
from clip_har.data.versions.earlier import SPLITS_FILE, earlier_splits, splits_file
from clip_har.errors import ConfigError, DataError
from tests.tiny_models import colour_photos

LABELS = ("running", "sitting")
SPLITS = SplitConfig(train=0.4, validation=0.2, calibration=0.2, test=0.2)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """Pictures of two classes, a folder a class; and four more of them, flat, with a table."""
    folder = tmp_path_factory.mktemp("drawn")
    colour_photos(folder / "photos", LABELS, 14)
    colour_photos(folder / "later", LABELS, 3, seed=9)
    labelled = folder / "labelled"
    (labelled / "images").mkdir(parents=True)
    rows = ["filename,label"]
    for label in LABELS:
        for number, path in enumerate(sorted((folder / "later" / label).iterdir())):
            shutil.copy(path, labelled / "images" / f"{label}{number}{path.suffix}")
            rows.append(f"{label}{number}{path.suffix},{label}")
    (labelled / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def place(drawn, tmp_path) -> Path:
    for name in ("photos", "labelled"):
        shutil.copytree(drawn / name, tmp_path / name)
    return tmp_path


def photos(place: Path, **more) -> dict:
    return {"source": "folder", "path": str(place / "photos"), **more}


def labelled(place: Path, **more) -> dict:
    where = {"labels_file": "labels.csv", "images_folder": "images"}
    return {"source": "csv", "path": str(place / "labelled"), **where, **more}


def both(place: Path, **more) -> dict:
    return {"source": "combined", "parts": [photos(place), labelled(place)], **more}


def source(place: Path, data: dict):
    return build_source(parse_source_config(data), str(place / "workspace"))


def published(place: Path, data: dict, tag: str, decisions=None):
    """What the data pipeline does, without ZenML."""
    store, found = VersionStore(place / "workspace"), source(place, data)
    found.prepare()
    earlier = earlier_splits(store, SPLITS)
    manifest, report, inspection = validate(found, ValidationConfig(), decisions=decisions)
    manifest, report = deduplicate(manifest, report, inspection, ValidationConfig())
    manifest, report = split_data(manifest, report, SPLITS, earlier)
    store.publish(
        manifest, report, inspection, source_key=tag, files={SPLITS_FILE: splits_file(SPLITS)}, tag=tag, push=False
    )
    return store.open(store.resolve(tag)), report


def test_the_first_parts_pictures_keep_their_uris_and_each_uri_is_one_picture(place):
    alone = {one.uri: one.label for one in source(place, photos(place)).records()}
    found = source(place, both(place))
    records = {one.uri: one.label for one in found.records()}
    assert alone.items() <= records.items()
    assert len(records) == len(alone) + 6
    assert all((found.root / uri).is_file() for uri in records)
    part, uri = found.part_of("part-2/running0.jpg")
    assert (part.config.source, uri) == ("csv", "running0.jpg")


def test_the_fingerprint_tells_of_a_change_in_any_part(place):
    first = fingerprint(source(place, both(place)), [])
    assert first == fingerprint(source(place, both(place)), [])
    table = place / "labelled" / "labels.csv"
    table.write_text(
        table.read_text()
        .replace("running0.png,running", "running0.png,sitting")
        .replace("running0.jpg,running", "running0.jpg,sitting")
    )
    second = fingerprint(source(place, both(place)), [])
    assert second.data_hash != first.data_hash
    (place / "photos" / "more").mkdir()  # a class more, of which the folder of links must know
    shutil.copy(next((place / "labelled" / "images").iterdir()), place / "photos" / "more")
    third = source(place, both(place))
    assert fingerprint(third, []).records == first.records + 1
    assert (third.root / "more").is_dir()
    shutil.rmtree(place / "photos" / "more")
    third.records()
    assert not (third.root / "more").is_symlink()


def test_a_version_has_the_labelled_pictures_and_earlier_ones_keep_their_splits(place):
    one, _ = published(place, photos(place), "v1")
    two, _ = published(place, both(place), "v2")
    assert len(two.manifest) == len(one.manifest) + 6
    places = [dict(zip(v.manifest.frame["id"], v.manifest.frame["split"], strict=True)) for v in (one, two)]
    assert places[0].items() <= places[1].items()
    assert set(two.manifest.frame["source"]) == {"folder", "csv"}
    assert set(one.manifest.frame["uri"]) <= set(two.manifest.frame["uri"])


def test_a_version_does_not_change_with_the_labelled_pictures(place):
    two, _ = published(place, both(place), "v2")
    before = two.manifest.content_hash
    shutil.rmtree(place / "labelled" / "images")
    (place / "labelled" / "labels.csv").write_text("filename,label\n")
    shutil.rmtree(place / "workspace" / "versions")  # laid out anew, from the cache
    store = VersionStore(place / "workspace")
    again = store.open(store.resolve("v2"))
    assert again.manifest.content_hash == before
    assert all(path.is_file() for path in again.manifest.paths)


def test_data_labels_are_those_of_all_parts(place):
    table = place / "labelled" / "labels.csv"
    table.write_text(table.read_text() + "\n")
    rows = table.read_text().splitlines()
    rows[1] = rows[1].partition(",")[0] + ",juggling"
    table.write_text("\n".join(rows) + "\n")
    version, report = published(place, both(place, labels=list(LABELS)), "v1")
    assert version.manifest.labels == LABELS
    assert report.rejections["reason"].tolist() == ["unknown_label"]


def test_quarantine_keeps_what_is_rejected_in_any_part_and_decisions_stay(place):
    Image.new("RGB", (64, 64), (9, 9, 9)).save(place / "photos" / "running" / "flat.png")
    (place / "labelled" / "images" / "broken.jpg").write_bytes(b"\xff\xd8 cut off")
    with open(place / "labelled" / "labels.csv", "a") as table:
        table.write("broken.jpg,running\n")
    queue = RejectionQueue(place / "workspace" / "quarantine")
    alone = source(place, photos(place))
    _, report, _ = validate(alone, ValidationConfig())
    queue.update(report, alone.root, "1")
    queue.discard(["running/flat.png"], "Ada", "nothing to see")

    whole = source(place, both(place))
    _, report, _ = validate(whole, ValidationConfig(), decisions=queue.decisions())
    reasons = dict(zip(report.rejections["uri"], report.rejections["reason"], strict=True))
    assert reasons["running/flat.png"] == "discarded"
    assert "part-2/broken.jpg" in reasons
    queue.update(report, whole.root, "2")
    row = next(row for row in queue.rows() if row.uri == "part-2/broken.jpg")
    assert (queue.folder / row.file).read_bytes() == b"\xff\xd8 cut off"
    Image.open(next((place / "photos" / "running").glob("[!f]*"))).save(
        place / "labelled" / "images" / "broken.jpg"
    )  # mended
    (decision,) = queue.requeue(["part-2/broken.jpg"], "Ada", "mended")
    assert decision.id != decision.rejected_id == row.id


def test_pictures_kept_for_tests_in_one_part_are_found_in_another(place):
    shutil.copytree(place / "photos" / "running", place / "labelled" / "test")
    listed = next((place / "labelled" / "test").iterdir())  # one of them is among the labelled by its own name, too
    table = place / "labelled" / "labels.csv"
    table.write_text(table.read_text().replace("\n", "\nimages/", 6) + f"test/{listed.name},running\n")
    parts = [photos(place), labelled(place, images_folder=".")]
    whole = source(place, {"source": "combined", "parts": parts})
    _, report, _ = validate(whole, ValidationConfig())
    found = report.rejections if "also_in_test_folder" in set(report.rejections["reason"]) else report.warnings
    details = found[found["reason"] == "also_in_test_folder"]["detail"]
    assert len(details) == 13
    assert all(detail.startswith("same bytes as test/") for detail in details)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"parts": []}, "data.parts"),
        ({"parts": [{"source": "csvs", "path": "x"}]}, r"data\.parts\.0\.source.*Did you mean 'csv'"),
        ({"parts": [{"source": "csv"}]}, r"data\.parts\.0\.path: a value is wanted"),
        ({"parts": [{"source": "folder", "path": "x", "version": "v1"}]}, "part 1 names a version"),
        ({"parts": [{"source": "folder", "path": "x", "labels": ["a", "b"]}]}, "part 1 names labels"),
        ({"parts": [{"source": "combined", "parts": [{"source": "samples"}]}]}, "part 1 is a combination itself"),
    ],
)
def test_parts_that_cannot_be_combined_are_refused(data, said):
    with pytest.raises(ConfigError, match=said):
        parse_source_config({"source": "combined", **data})


def test_a_part_that_is_missing_is_named(place):
    shutil.rmtree(place / "labelled")
    with pytest.raises(DataError, match=r"part 2 \(csv\).*labelled"):
        source(place, both(place)).check()


def test_a_name_that_stands_for_a_part_is_refused(place):
    (place / "photos" / "part-2").mkdir()
    with pytest.raises(DataError, match="Rename it"):
        source(place, both(place)).records()


def test_a_part_is_added_once_and_brings_its_labels(place):
    base = parse_source_config(photos(place, labels=["sitting", "running"], version="v1"))
    part = parse_source_config(labelled(place))
    made = CombinedSourceConfig.of(base, part, ["juggling"])
    assert (made.labels, made.version, len(made.parts)) == (("sitting", "running", "juggling"), "v1", 2)
    assert CombinedSourceConfig.of(made, part) == made
    assert parse_source_config(made.model_dump(mode="json")) == made
