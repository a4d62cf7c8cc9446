"""The photographs that challenger and champion are compared on: the newest, the champion's own, and none that either knows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clip_har.data.manifest import Manifest
from clip_har.data.versions import VersionStore
from clip_har.evaluation.side_by_side import CHAMPIONS, NEWEST, bundle_probabilities, data_to_compare_on, unseen_test
from clip_har.inference.predictor import Predictor
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.models.embeddings import EmbeddingSet, embed_manifest
from tests.data.versions.world import described, write_pictures


def trained_on(manifest: Manifest, revision: str | None = None) -> Any:
    """As much of a bundle as is asked."""
    known = str(manifest.frame["data_revision"].iloc[0])
    return SimpleNamespace(info=SimpleNamespace(data_revision=revision or known, data_hash=manifest.content_hash))


def places(manifest: Manifest, **splits: str) -> Manifest:
    """The same photographs, some of them in other splits: `_3="train"` is the fourth."""
    frame = manifest.frame.copy()
    for place, split in splits.items():
        frame.loc[int(place[1:]), "split"] = split
    return replace(manifest, frame=frame)


@pytest.fixture
def newest(tmp_path: Path) -> Manifest:
    write_pictures(tmp_path / "photographs", range(12))
    return described(tmp_path / "photographs")[0]


def test_what_a_model_was_fitted_chosen_or_calibrated_on_does_not_count(newest: Manifest) -> None:
    test = [index for index, split in enumerate(newest.frame["split"]) if split == "test"]
    assert len(test) == 3
    kept, left_out = unseen_test(newest, [newest])
    assert (kept.ids, left_out) == ([newest.ids[index] for index in test], 0)
    for split in ("train", "validation", "calibration"):
        kept, left_out = unseen_test(newest, [newest, places(newest, **{f"_{test[0]}": split})])
        assert (kept.ids, left_out) == ([newest.ids[index] for index in test[1:]], 1)


def test_the_same_picture_in_another_file_does_not_count(newest: Manifest) -> None:
    test = int(np.flatnonzero(newest.frame["split"] == "test")[0])
    other = places(newest, **{f"_{test}": "train"})
    other.frame.loc[test, "id"] = "another file of the same picture"
    kept, left_out = unseen_test(newest, [other])
    assert left_out == 1
    assert newest.ids[test] not in kept.ids


def test_no_test_split_is_no_error(newest: Manifest) -> None:
    nothing = replace(newest, frame=newest.frame.assign(split="train"))
    kept, left_out = unseen_test(nothing, [])
    assert (len(kept), left_out) == (0, 0)


def test_the_champions_own_data_where_they_are_others(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "workspace")
    opened = []
    for number in (8, 12):
        write_pictures(tmp_path / "photographs", range(number))
        opened.append(
            store.open(store.publish(*described(tmp_path / "photographs"), source_key=str(number), push=False))
        )
    older, newest = (data.manifest for data in opened)
    (only,), notes = data_to_compare_on(newest, store, trained_on(newest), None)
    assert (only.name, notes) == (NEWEST, [])
    (only,), _ = data_to_compare_on(newest, store, trained_on(older), trained_on(newest))
    assert only.name == NEWEST, "the champion's are the newest"
    (first, second), notes = data_to_compare_on(newest, store, trained_on(newest), trained_on(older))
    assert (first.name, second.name, notes) == (NEWEST, CHAMPIONS, [])
    assert second.revision == older.frame["data_revision"].iloc[0]
    assert set(second.samples.ids) <= set(older.ids)
    assert all(path.is_file() for path in second.samples.paths)
    shutil.rmtree(opened[0].folder)
    elsewhere = trained_on(older, "0" * 40)
    (only,), notes = data_to_compare_on(newest, store, trained_on(newest), elsewhere)
    assert only.name == NEWEST
    assert notes == [
        "The data that the champion was trained on (000000000000) are not here: it was not compared on them."
    ]
    (only,), notes = data_to_compare_on(newest, store, elsewhere, trained_on(newest))
    assert only.left_out == 0
    assert notes == [
        "The data that the challenger was trained on (000000000000) are not here: photographs that it was fitted on could "
        "not be left out."
    ]


def test_the_answers_are_the_predictors(study, tmp_path: Path) -> None:
    from clip_har.adaptation import METHODS

    bundle: ModelBundle = study.assemble(tmp_path / "bundle", study.fit(METHODS.get("zero_shot").Config()))
    test = study.manifest.split("test")
    compute = ComputeConfig(device="cpu", batch_size=8)

    def embed(samples: Manifest, predictor: Predictor) -> EmbeddingSet:
        return embed_manifest(samples, predictor.runtime.encode, "", predictor.preprocessing, batch_size=8)

    found = bundle_probabilities(bundle, test, compute, embed=embed)
    answers = Predictor.load(bundle, "torch").predict(test.paths, top_k=len(bundle.labels))
    for row, answer in zip(found, answers, strict=True):
        assert dict(zip(bundle.labels, row, strict=True)) == pytest.approx(
            dict(zip(answer.labels, answer.scores, strict=True)), abs=1e-5
        )
    nothing = replace(test, frame=test.frame[:0])
    assert bundle_probabilities(bundle, nothing, compute, embed=embed).shape == (0, len(bundle.labels))
