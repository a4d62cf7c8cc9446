"""The reference profile: made of held-out pictures, stored whole, found again, and refused when it is not what it was."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.config import ProfileConfig
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.profile import REFERENCE, ReferenceProfile
from tests.adaptation.tiny_study import Study, tiny_study
from tests.monitoring.observed import observations

COMPUTE = ComputeConfig(device="cpu", batch_size=8, threads=1)
CONFIG = ProfileConfig(partitions=100)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return tiny_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def bundle(study: Study, tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    from clip_har.adaptation import METHODS

    adapted = study.fit(METHODS.get("linear_probe").Config())
    return study.assemble(tmp_path_factory.mktemp("made") / "bundle", adapted)


@pytest.fixture(scope="module")
def profile(bundle: ModelBundle, study: Study) -> ReferenceProfile:
    return ReferenceProfile.build(bundle, study.manifest, CONFIG, runtime="torch", compute=COMPUTE)


@pytest.fixture
def own(bundle: ModelBundle, tmp_path: Path) -> ModelBundle:
    """A copy of the bundle that the test may change."""
    shutil.copytree(bundle.path, tmp_path / "bundle")
    return ModelBundle.load(tmp_path / "bundle")


def same(first: ReferenceProfile, second: ReferenceProfile) -> bool:
    return first.content_hash == second.content_hash


def test_it_is_made_of_the_held_out_pictures_and_their_labels(profile, study, bundle):
    held_out = study.manifest.frame[study.manifest.frame["split"] != "train"]
    assert profile.observations.ids == tuple(sorted(held_out["id"]))
    labels = dict(zip(held_out["id"], held_out["label"], strict=True))
    assert [bundle.labels[place] for place in profile.observations.truth] == [
        labels[one] for one in profile.observations.ids
    ]
    np.testing.assert_allclose(
        profile.observations.embeddings, study.embeddings.of(profile.observations.ids), atol=1e-5
    )
    assert profile.observations.pictures is None  # a path of this machine says nothing elsewhere
    assert (profile.model_id, profile.runtime, profile.splits) == (bundle.model_id, "torch", CONFIG.splits)
    assert profile.thresholds.statistics
    assert profile.thresholds.partitions == 100


def test_only_the_splits_that_were_asked_for(bundle, study):
    config = ProfileConfig(splits=("test",), partitions=100)
    made = ReferenceProfile.build(bundle, study.manifest, config, runtime="torch", compute=COMPUTE)
    assert set(made.observations.ids) == set(study.manifest.split("test").ids)


def test_it_comes_back_as_it_was_and_is_the_same_when_made_again(profile, bundle, study, tmp_path):
    profile.write(tmp_path)
    back = ReferenceProfile.read(tmp_path)
    assert same(back, profile)
    assert back.thresholds.names == profile.thresholds.names
    for size, array in profile.thresholds.statistics.items():
        np.testing.assert_array_equal(back.thresholds.statistics[size], array)
    for name in ("embeddings", "probabilities", "confidence", "predicted", "abstained", "truth"):
        np.testing.assert_array_equal(getattr(back.observations, name), getattr(profile.observations, name))
    assert back.observations.embeddings.dtype == np.float32
    assert (back.config, back.data_revision) == (profile.config, profile.data_revision)
    assert same(ReferenceProfile.build(bundle, study.manifest, CONFIG, runtime="torch", compute=COMPUTE), profile)
    assert not same(replace(profile, runtime="onnx-int8"), profile)
    assert not list(tmp_path.glob("*.pkl"))


def test_attached_it_is_found_again_and_replaced(profile, own):
    core = own.model_id
    with pytest.raises(MonitoringError, match=r"has no reference profile.*--pipeline deploy"):
        ReferenceProfile.of(own)
    profile.attach(own)
    assert ModelBundle.load(own.path).model_id == core  # the core is what it was
    assert same(ReferenceProfile.of(own), profile)
    newer = replace(profile, data_revision="newer")
    newer.attach(own)
    assert ReferenceProfile.of(own).data_revision == "newer"


@pytest.mark.parametrize(
    "file", ["observations.safetensors", "observations.parquet", "observations.json", "thresholds.safetensors"]
)
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_one_is_refused(profile, own, file, damage):
    place = profile.attach(own) / file
    if damage == "gone":
        place.unlink()
    else:
        data = bytearray(place.read_bytes())
        data[len(data) // 2] ^= 1
        place.write_bytes(bytes(data))
    with pytest.raises(MonitoringError, match=r"is damaged.*--pipeline deploy"):
        ReferenceProfile.of(own)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": 1, "files": {}}'])
def test_facts_that_are_none_are_refused(profile, own, content):
    (profile.attach(own) / "profile.json").write_text(content)
    with pytest.raises(MonitoringError, match="is damaged"):
        ReferenceProfile.of(own)


def test_another_version_and_another_models_are_refused(profile, own):
    place = profile.attach(own) / "profile.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"version": 2}))
    with pytest.raises(MonitoringError, match="has version 2, and this clip-har reads 1"):
        ReferenceProfile.of(own)
    foreign = replace(profile, observations=replace(profile.observations, model_id="b" * 64))
    with pytest.raises(MonitoringError, match="was made with the model bbbbbbbbbbbb, not with"):
        foreign.attach(own)
    foreign.write(own.path / "attachments" / REFERENCE)
    with pytest.raises(MonitoringError, match="was made with the model bbbbbbbbbbbb, not with this one"):
        ReferenceProfile.of(own)


def test_a_picture_that_went_missing_is_said(bundle, study, tmp_path):
    frame = study.manifest.frame.copy()
    shutil.copytree(study.manifest.root, tmp_path / "photos")
    moved = replace(study.manifest, root=str(tmp_path / "photos"))
    held_out = frame[frame["split"] == "test"]["uri"].iloc[0]
    (tmp_path / "photos" / held_out).unlink()
    with pytest.raises(MonitoringError, match="cannot be read any more \\(1 missing_file\\)"):
        ReferenceProfile.build(bundle, moved, CONFIG, runtime="torch", compute=COMPUTE)


def test_without_held_out_pictures_there_is_no_profile(bundle, study):
    frame = study.manifest.frame.assign(split="train")
    with pytest.raises(MonitoringError, match=r"no photograph in the splits.*monitor.profile.enabled=false"):
        ReferenceProfile.build(bundle, replace(study.manifest, frame=frame), CONFIG, runtime="torch", compute=COMPUTE)


def test_of_observations_alone_and_small(tmp_path):
    seen = observations(500, dimensions=64)
    made = ReferenceProfile.made_of(
        replace(seen, times=None), ProfileConfig(partitions=100), splits=("test",), runtime="onnx"
    )
    made.write(tmp_path)
    assert same(ReferenceProfile.read(tmp_path), made)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 400_000
