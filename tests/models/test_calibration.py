"""Temperature scaling finds the temperature that there is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from clip_har.adaptation.assembly import assemble_bundle
from clip_har.adaptation.base import AdaptedModel
from clip_har.data.manifest import Manifest
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.calibration import Calibration, fit_temperature
from clip_har.models.embeddings import EmbeddingSet, preprocessing_hash
from clip_har.models.head import TextHead, softmax
from clip_har.models.preprocessing import Preprocessor
from clip_har.models.prompts import PromptConfig
from tests.models.conftest import LABELS


def drawn(temperature: float, samples: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times what the labels were drawn from."""
    generator = np.random.default_rng(0)
    true_logits = generator.normal(0, 2, (samples, 5))
    probabilities = softmax(true_logits)
    labels = (probabilities.cumsum(axis=1) < generator.uniform(size=(samples, 1))).sum(axis=1)
    return (true_logits * temperature).astype(np.float32), labels


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 3.0, 40.0])
def test_a_known_temperature_is_found(temperature):
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.03)


def test_it_is_the_minimum_of_the_loss():
    logits, labels = drawn(2.5, 500)

    def loss(temperature: float) -> float:
        return -float(np.log(softmax(logits.astype(np.float64), temperature)[np.arange(500), labels]).mean())

    found = fit_temperature(logits, labels)
    assert loss(found) <= min(loss(found * factor) for factor in (0.9, 0.99, 1.01, 1.1)) < loss(1.0)


def test_it_stays_in_bounds_and_finite_where_there_is_no_minimum():
    logits = np.float32([[100, 0], [0, 100]] * 5)
    right, wrong = np.array([0, 1] * 5), np.array([1, 0] * 5)
    assert 0.01 <= fit_temperature(logits, right) < 20  # all right: the surer the better, until float64 sees no gain
    assert fit_temperature(logits, wrong) == pytest.approx(100, rel=0.01)
    assert np.isfinite(fit_temperature(logits * 1e4, right))


def test_a_calibration_says_where_it_comes_from():
    calibration = Calibration(temperature=1.5, split="calibration", samples=3, data_hash="x")
    assert Calibration.model_validate(calibration.model_dump(mode="json")) == calibration
    with pytest.raises(ValidationError):
        Calibration(temperature=0, split="calibration", samples=3, data_hash="x")


def test_a_bundles_temperature_comes_from_the_calibration_split_alone(encoders, backbones, photos, tmp_path):
    encoder = encoders["clip"]
    splits = ["calibration", "test", "train", "validation"] * 3  # one of each for each class
    hashes = encoder.image_encoder_hash(), preprocessing_hash(encoder.preprocessing)
    preprocessor = Preprocessor(encoder.preprocessing)
    pixels = preprocessor.batch(preprocessor.decode(path) for path in photos)
    embeddings = EmbeddingSet(tuple(path.stem for path in photos), encoder.encode_images(pixels), *hashes)

    def temperature(name: str, turned: str | None = None) -> float:
        labels = [
            LABELS[(LABELS.index(path.parent.name) + (split == turned)) % 3]
            for path, split in zip(photos, splits, strict=True)
        ]
        rows = {"id": embeddings.ids, "uri": [str(path) for path in photos], "label": labels, "split": splits}
        frame = pd.DataFrame(rows | dict.fromkeys(("group", "format", "source", "data_revision"), ""))
        adapted = AdaptedModel(
            name="zero_shot",
            method="zero_shot",
            recipe={},
            head=TextHead(encoder.logit_scale),
            class_matrix=encoder.encode_texts(LABELS),
            texts={label: [label] for label in LABELS},
            open_vocabulary=OpenVocabulary(word="kept", basis="nothing was adapted"),
            validation_ids=(),
            validation_logits=np.empty((0, 3), dtype=np.float32),
            trained_parameters=0,
        )
        manifest = Manifest(frame.assign(width=60, height=60), LABELS, "")
        model, settings = ModelConfig(backbone=str(backbones["clip"])), (PromptConfig(), ComputeConfig(device="cpu"))
        calibration = assemble_bundle(tmp_path / name, adapted, manifest, embeddings, model, *settings, {}).calibration
        assert (calibration.split, calibration.samples, calibration.data_hash) == (
            "calibration",
            3,
            manifest.content_hash,
        )
        return calibration.temperature

    expected = temperature("as_it_is")
    assert [temperature(split, split) for split in ("train", "validation", "test")] == [expected] * 3
    assert temperature("calibration", "calibration") != expected
