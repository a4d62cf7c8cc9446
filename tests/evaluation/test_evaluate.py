"""A bundle measured on a split, from its folder to the report's figures."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import log_loss

from clip_har.adaptation import METHODS
from clip_har.adaptation.base import AdaptedModel
from clip_har.adaptation.lora import LoraConfig
from clip_har.data.manifest import Manifest
from clip_har.errors import ConfigError, DataError
from clip_har.evaluation.evaluate import EvaluationConfig, EvaluationReport, evaluate, evaluate_bundle, thumbnail
from clip_har.evaluation.metrics import reliability
from clip_har.inference.predictor import Predictor
from clip_har.models.bundle import ModelBundle
from clip_har.models.embeddings import EmbeddingSet
from clip_har.models.head import softmax
from clip_har.training.trainer import TrainerConfig
from tests.adaptation.tiny_study import LABELS, Study

CONFIG = EvaluationConfig(resamples=200, examples=5)


@pytest.fixture(scope="module")
def probe(study: Study) -> AdaptedModel:
    return study.fit(METHODS.get("linear_probe").Config())


@pytest.fixture(scope="module")
def bundle(study: Study, probe: AdaptedModel, tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return study.assemble(tmp_path_factory.mktemp("probe") / "bundle", probe)


@pytest.fixture(scope="module")
def zero_shot(study: Study) -> AdaptedModel:
    return study.fit(METHODS.get("zero_shot").Config())


def measure(study: Study, bundle: ModelBundle, **options) -> EvaluationReport:
    config = options.pop("config", CONFIG)
    manifest = options.pop("manifest", study.manifest)
    return evaluate_bundle(bundle, manifest, config, study.compute, **options)


def figures(report: EvaluationReport) -> str:
    return json.dumps(report.figures(), sort_keys=True, allow_nan=False)


def test_a_bundle_is_measured_on_its_split(
    study: Study, bundle: ModelBundle, probe: AdaptedModel, zero_shot: AdaptedModel
) -> None:
    test = study.manifest.split("test")
    embeddings = study.embeddings.of(test.ids)
    report = measure(study, bundle, embeddings=study.embeddings, zero_shot=(zero_shot.head, zero_shot.class_matrix))
    right = probe.head.score(embeddings).argmax(axis=1) == test.label_indices
    before = zero_shot.head.score(embeddings, zero_shot.class_matrix).argmax(axis=1) == test.label_indices
    assert report.samples == len(test)
    assert report.labels == LABELS
    assert report.metrics["accuracy"].value == pytest.approx(right.mean())
    assert np.trace(np.array(report.confusion)) == right.sum()
    assert np.array(report.confusion).sum() == len(test)
    assert report.baseline.metrics["accuracy"].value == pytest.approx(before.mean())
    assert report.baseline.gain.value == pytest.approx(right.mean() - before.mean())
    assert report.temperature == bundle.calibration.temperature
    assert set(report.curves) == set(LABELS)
    assert EvaluationReport.model_validate_json(report.model_dump_json()) == report


def test_figures_are_of_calibrated_probabilities(study: Study, zero_shot: AdaptedModel, tmp_path: Path) -> None:
    bundle = study.assemble(tmp_path / "bundle", zero_shot)
    bundle = replace(bundle, calibration=bundle.calibration.model_copy(update={"temperature": 3.0}))
    report = measure(study, bundle, embeddings=study.embeddings)
    test = study.manifest.split("test")
    logits = zero_shot.head.score(study.embeddings.of(test.ids), zero_shot.class_matrix).astype(np.float64)
    plain, calibrated = softmax(logits), softmax(logits, 3.0)
    losses = [log_loss(test.label_indices, probabilities) for probabilities in (plain, calibrated)]
    errors = [reliability(probabilities, test.label_indices)["ece"] for probabilities in (plain, calibrated)]
    assert min(abs(losses[0] - losses[1]), abs(errors[0] - errors[1])) > 0.01, "the temperature is to be seen"
    assert report.metrics["log_loss"].value == pytest.approx(losses[1], abs=1e-4)
    assert [report.uncalibrated["ece"], report.calibrated["ece"]] == pytest.approx(errors, abs=1e-4)


def test_embeddings_given_or_made_give_the_same_figures(study: Study, bundle: ModelBundle) -> None:
    given, made = measure(study, bundle, embeddings=study.embeddings), measure(study, bundle)
    assert given.metrics["log_loss"].value == pytest.approx(made.metrics["log_loss"].value, abs=1e-4)
    assert given.confusion == made.confusion
    assert given.baseline is not None, "an unchanged encoder is its own baseline"
    assert made.baseline is not None


def test_embeddings_that_are_known_already_are_asked_for(study: Study, bundle: ModelBundle) -> None:
    asked = []

    def known(samples: Manifest, predictor: Predictor) -> EmbeddingSet:
        asked.append((list(samples.ids), predictor.runtime.name))
        return replace(study.embeddings, matrix=-study.embeddings.matrix)

    turned = measure(study, bundle, embed=known)
    assert asked == [(study.manifest.split("test").ids, "torch")]
    assert turned.confusion != measure(study, bundle).confusion, "they are what is measured"
    assert measure(study, bundle, embed=lambda samples, predictor: None).confusion == measure(study, bundle).confusion
    assert (
        measure(study, bundle, embed=known, embeddings=study.embeddings).confusion == measure(study, bundle).confusion
    )
    assert len(asked) == 1, "not where the backbone's are the bundle's"


def test_embeddings_of_another_encoder_are_not_used(study: Study, bundle: ModelBundle) -> None:
    foreign = replace(study.embeddings, matrix=-study.embeddings.matrix, encoder_hash="another")
    assert measure(study, bundle, embeddings=foreign).confusion == measure(study, bundle).confusion


def test_zero_shot_has_no_baseline_and_changed_encoders_need_one_given(
    study: Study, zero_shot: AdaptedModel, tmp_path: Path
) -> None:
    assert measure(study, study.assemble(tmp_path / "zero_shot", zero_shot)).baseline is None
    lora = study.fit(LoraConfig(training=TrainerConfig(max_steps=4, learning_rate=1e-2, select_by="log_loss")))
    assert lora.encoder is not None
    changed = study.assemble(tmp_path / "lora", lora)
    assert measure(study, changed, embeddings=study.embeddings).baseline is None
    given = (zero_shot.head, zero_shot.class_matrix)
    beside = measure(study, changed, embeddings=study.embeddings, zero_shot=given).baseline
    test = study.manifest.split("test")
    expected = zero_shot.head.score(study.embeddings.of(test.ids), zero_shot.class_matrix).argmax(axis=1)
    assert beside.metrics["accuracy"].value == pytest.approx((expected == test.label_indices).mean())


def test_classes_come_in_the_bundles_order(study: Study, bundle: ModelBundle) -> None:
    shuffled = Manifest(study.manifest.frame, LABELS[::-1], study.manifest.root)
    assert measure(study, bundle, manifest=shuffled).confusion == measure(study, bundle).confusion


def test_some_of_the_classes_are_enough(study: Study, bundle: ModelBundle) -> None:
    frame = study.manifest.frame[study.manifest.frame["label"] != "sleeping"].reset_index(drop=True)
    report = measure(study, bundle, manifest=Manifest(frame, LABELS[:3], study.manifest.root))
    assert report.labels == LABELS
    assert "sleeping" not in report.curves
    assert report.samples == 18


def test_a_class_that_the_model_does_not_know_is_named(study: Study, bundle: ModelBundle) -> None:
    frame = study.manifest.frame.replace({"label": {"running": "runing"}})
    stranger = Manifest(frame, ("dancing", "runing", "sitting", "sleeping"), study.manifest.root)
    with pytest.raises(DataError, match=r"does not know: runing\. Did you mean 'running'\?.*data\.labels"):
        measure(study, bundle, manifest=stranger)


def test_the_model_itself_is_measured_unless_a_form_is_named(study: Study, bundle: ModelBundle) -> None:
    """Not whatever runs fastest on this machine: figures would depend on it."""
    assert EvaluationConfig().runtime == "torch"
    with pytest.raises(ConfigError, match="'onnx' wants the image encoder as ONNX"):
        measure(study, bundle, config=EvaluationConfig(runtime="onnx"))
    with pytest.raises(ValueError, match=r"there is no runtime 'onx'\. Did you mean 'onnx'"):
        EvaluationConfig(runtime="onx")


@pytest.mark.parametrize("split", ["train", "validation", "calibration", "test"])
def test_each_split_can_be_measured_on(study: Study, bundle: ModelBundle, split: str) -> None:
    report = measure(study, bundle, config=CONFIG.model_copy(update={"split": split}), embeddings=study.embeddings)
    assert (report.split, report.samples) == (split, len(study.manifest.split(split)))


def test_figures_are_the_same_bytes_and_name_no_time_id_or_place(
    study: Study, bundle: ModelBundle, probe: AdaptedModel, tmp_path: Path
) -> None:
    first = figures(measure(study, bundle, embeddings=study.embeddings))
    other = study.assemble(tmp_path / "elsewhere", probe)
    assert figures(measure(study, other, embeddings=study.embeddings)) == first
    for identity in (bundle.model_id, *study.manifest.ids, str(study.manifest.root), study.model.backbone):
        assert identity not in first
    keys = {key for key in _keys(json.loads(first)) if key not in LABELS}
    assert not {key for key in keys if any(word in key.lower() for word in ("time", "date", "id", "path", "second"))}
    assert {
        "accuracy",
        "macro_f1",
        "weighted_f1",
        "top3_accuracy",
        "balanced_accuracy",
        "per_class",
        "zero_shot",
    } <= keys


def _keys(value: object) -> set[str]:
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(_keys(item) for item in value.values()))


def predictions(study: Study, **options) -> EvaluationReport:
    """Scripted scores on the test split: sure where the sample's number is small; every third is wrong."""
    test = study.manifest.split("test")
    number = np.arange(len(test))
    predicted = np.where(number % 3 == 0, (test.label_indices + 1) % 4, test.label_indices)
    logits = np.eye(4)[predicted] * (8 - 0.2 * number)[:, None]
    probabilities = softmax(logits)
    return evaluate(
        model_id="m",
        method="scripted",
        manifest=test,
        probabilities=probabilities,
        uncalibrated=probabilities,
        temperature=1.0,
        config=CONFIG.model_copy(update=options),
    )


def test_examples_are_the_most_confident_with_two_of_a_class(study: Study) -> None:
    report = predictions(study, examples=5)
    ids = study.manifest.split("test").ids
    # six photographs a class in order: 0, 3, 6, … are wrong; each class shows its first two
    assert [example.id for example in report.right] == [ids[number] for number in (1, 2, 7, 8, 13)]
    assert [example.id for example in report.wrong] == [ids[number] for number in (0, 3, 6, 9, 12)]
    for example in (*report.right, *report.wrong):
        assert example.confidence == pytest.approx(softmax(np.eye(4)[0] * (8 - 0.2 * ids.index(example.id))).max())
    assert all(example.label == example.predicted for example in report.right)
    assert all(example.label != example.predicted for example in report.wrong)


def test_no_examples_are_shown_where_none_are_wanted(study: Study) -> None:
    report = predictions(study, examples=0)
    assert report.right == report.wrong == ()


def test_a_thumbnail_is_a_small_jpeg_of_the_same_picture(tmp_path: Path) -> None:
    Image.new("RGB", (900, 300), (200, 30, 40)).save(tmp_path / "red.png")
    head, data = thumbnail(tmp_path / "red.png", size=120).split(",")
    assert head == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (image.format, image.size) == ("JPEG", (120, 40))
    assert np.abs(np.array(image.getpixel((60, 20))) - (200, 30, 40)).max() < 6
