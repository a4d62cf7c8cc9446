"""One matrix over the registry: whatever the method, its result keeps these promises."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from clip_har.adaptation import METHODS, parse_method_config
from clip_har.adaptation.base import AdaptedModel, MethodConfig
from clip_har.errors import BundleError
from clip_har.hashing import sha256_folder
from clip_har.inference.predictor import Predictor
from clip_har.models.bundle import ModelBundle
from clip_har.models.calibration import fit_temperature
from clip_har.models.head import softmax
from tests.adaptation.tiny_study import LABELS, Study


@dataclass(frozen=True)
class Case:
    """A method with its default settings, fitted, and the bundle made of it."""

    config: MethodConfig
    adapted: AdaptedModel
    bundle: ModelBundle


@pytest.fixture(scope="module", params=list(METHODS))
def case(request: pytest.FixtureRequest, study: Study, tmp_path_factory: pytest.TempPathFactory) -> Case:
    config = METHODS.get(request.param).Config()
    adapted = study.fit(config)
    return Case(config, adapted, study.assemble(tmp_path_factory.mktemp(request.param) / "bundle", adapted))


def test_beats_chance_on_validation(case: Case, study: Study) -> None:
    right = (case.adapted.validation_logits.argmax(axis=1) == study.validation.label_indices).sum()
    assert binom.sf(right - 1, len(study.validation), 1 / len(LABELS)) < 1e-3


def test_scores_are_of_the_validation_split(case: Case, study: Study) -> None:
    assert case.adapted.validation_ids == tuple(study.validation.ids)
    assert case.adapted.validation_logits.shape == (len(study.validation), len(LABELS))


def test_the_same_seed_gives_the_same_bytes(case: Case, study: Study, tmp_path: Path) -> None:
    again = study.fit(case.config)
    case.adapted.write(tmp_path / "first")
    again.write(tmp_path / "second")
    assert sha256_folder(tmp_path / "first") == sha256_folder(tmp_path / "second")


def test_round_trip(case: Case, tmp_path: Path) -> None:
    case.adapted.write(tmp_path)
    read = AdaptedModel.read(tmp_path)
    assert read.content_hash(tmp_path) == case.adapted.content_hash(tmp_path)
    assert parse_method_config(read.recipe) == case.config
    for name in ("name", "method", "texts", "open_vocabulary", "validation_ids", "history", "remarks"):
        assert getattr(read, name) == getattr(case.adapted, name), name
    assert read.trained_parameters == case.adapted.trained_parameters
    np.testing.assert_array_equal(read.class_matrix, case.adapted.class_matrix)
    np.testing.assert_array_equal(read.validation_logits, case.adapted.validation_logits)
    assert type(read.head) is type(case.adapted.head)
    for name, array in case.adapted.head.arrays().items():
        np.testing.assert_array_equal(read.head.arrays()[name], array)


def test_what_was_read_back_gives_the_same_model_id(case: Case, study: Study, tmp_path: Path) -> None:
    case.adapted.write(tmp_path / "stored")
    read = AdaptedModel.read(tmp_path / "stored")
    assert study.assemble(tmp_path / "bundle", read).model_id == case.bundle.model_id


def test_the_content_hash_covers_changed_encoders(case: Case, tmp_path: Path) -> None:
    case.adapted.write(tmp_path)
    before = case.adapted.content_hash(tmp_path)
    assert (tmp_path / "encoder").exists() == (case.adapted.encoder is not None)
    if case.adapted.encoder is not None:
        weights = tmp_path / "encoder" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        assert case.adapted.content_hash(tmp_path) != before


def test_the_temperature_is_fitted_on_the_calibration_split(case: Case, study: Study) -> None:
    held_out = study.manifest.split("calibration")
    predictor = Predictor.load(case.bundle, device="cpu")
    expected = fit_temperature(predictor.logits(predictor.embed_images(held_out.paths)), held_out.label_indices)
    calibration = case.bundle.calibration
    assert calibration.temperature == pytest.approx(expected, rel=1e-3)
    assert (calibration.split, calibration.samples) == ("calibration", len(held_out))
    assert calibration.data_hash == case.bundle.info.data_hash == study.manifest.content_hash


def test_embeddings_of_another_encoder_are_not_used(case: Case, study: Study, tmp_path: Path) -> None:
    foreign = replace(study.embeddings, matrix=-study.embeddings.matrix, encoder_hash="another")
    bundle = replace(study, embeddings=foreign).assemble(tmp_path / "bundle", case.adapted)
    assert bundle.calibration.temperature == pytest.approx(case.bundle.calibration.temperature, rel=1e-3)


def test_the_bundle_names_no_place_of_this_machine(case: Case, study: Study) -> None:
    for file in (path for path in case.bundle.path.rglob("*.json") if path.is_file()):
        assert str(Path(study.model.backbone).parent) not in file.read_text(), file.name


def test_the_bundle_gives_the_methods_own_scores(case: Case, study: Study) -> None:
    predictor = Predictor.load(case.bundle.path, device="cpu")
    logits = predictor.logits(predictor.embed_images(study.validation.paths))
    np.testing.assert_allclose(logits, case.adapted.validation_logits, atol=1e-4, rtol=1e-5)
    expected = softmax(case.adapted.validation_logits, case.bundle.calibration.temperature)
    answers = predictor.predict(study.validation.paths, top_k=len(LABELS))
    found = [[dict(zip(answer.labels, answer.scores, strict=True))[label] for label in LABELS] for answer in answers]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_open_vocabulary_is_recorded_and_kept_to(case: Case, study: Study) -> None:
    promise = case.bundle.info.open_vocabulary
    assert promise == case.adapted.open_vocabulary
    assert promise.basis
    predictor = Predictor.load(case.bundle, device="cpu")
    if promise.word == "lost":
        with pytest.raises(BundleError, match="only for its own labels"):
            predictor.predict(study.validation.paths[:1], labels=["cycling", "texting"])
    else:
        (answer,) = predictor.predict(study.validation.paths[:1], labels=["cycling", "texting"])
        assert set(answer.labels) == {"cycling", "texting"}
        assert not answer.calibrated


def test_an_unchanged_encoder_is_the_backbone(case: Case, study: Study) -> None:
    backbone, encoder = study.load(), case.bundle.load_encoder()
    unchanged = (
        encoder.image_encoder_hash() == backbone.image_encoder_hash()
        and encoder.text_encoder_hash() == backbone.text_encoder_hash()
    )
    assert unchanged == (case.adapted.encoder is None)
    assert case.bundle.info.encoder_hash == encoder.image_encoder_hash()
    assert case.bundle.info.backbone_hash == f"{backbone.image_encoder_hash()}+{backbone.text_encoder_hash()}"


def test_the_test_and_calibration_splits_are_not_looked_at(case: Case, study: Study) -> None:
    frame = study.manifest.frame
    shown = frame[frame["split"].isin(["train", "validation"])].reset_index(drop=True)
    rows = [identity in set(shown["id"]) for identity in study.embeddings.ids]
    less = replace(
        study,
        manifest=replace(study.manifest, frame=shown),
        embeddings=replace(
            study.embeddings,
            ids=tuple(identity for identity, kept in zip(study.embeddings.ids, rows, strict=True) if kept),
            matrix=study.embeddings.matrix[rows],
        ),
    )
    np.testing.assert_array_equal(less.fit(case.config).validation_logits, case.adapted.validation_logits)
