"""The Predictor: one picture, one answer, whatever it comes as and with."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clip_har.adaptation import METHODS
from clip_har.data.image import ImageLimits
from clip_har.errors import BundleError, ConfigError, ImageError
from clip_har.inference.predictor import Prediction, Predictor
from clip_har.models.bundle import ModelBundle, OpenVocabulary
from clip_har.models.head import softmax
from tests.adaptation.tiny_study import ARCHITECTURES, LABELS, Study, tiny_study

OTHER_LABELS = ("cycling", "texting", "running")


@pytest.fixture(scope="module")
def bundle(study: Study, tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    adapted = study.fit(METHODS.get("linear_probe").Config())
    return study.assemble(tmp_path_factory.mktemp("probe") / "bundle", adapted)


@pytest.fixture(scope="module")
def predictor(bundle: ModelBundle) -> Predictor:
    return Predictor.load(bundle, device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def photos(study: Study) -> list[Path]:
    return study.manifest.split("test").paths


def scores_of(answer: Prediction) -> dict[str, float]:
    return dict(zip(answer.labels, answer.scores, strict=True))


def with_open_vocabulary(bundle: ModelBundle, word: str, basis: str) -> ModelBundle:
    promise = OpenVocabulary(word=word, basis=basis)
    return replace(bundle, info=bundle.info.model_copy(update={"open_vocabulary": promise}))


def _rotated(path: Path, mode: str) -> bytes:
    """A PNG of another mode, and lying on its side as its EXIF says."""
    buffer = io.BytesIO()
    image = Image.open(path).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_a_path_bytes_and_an_opened_image_give_the_same(
    predictor: Predictor, photos: list[Path], tmp_path: Path, mode: str
) -> None:
    data = _rotated(photos[0], mode)
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    forms = [path, str(path), data, Image.open(path)]
    first, *others = predictor.embed_images(forms)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-6)


def test_an_array_is_the_same_picture(predictor: Predictor, photos: list[Path]) -> None:
    image = Image.open(photos[0]).convert("RGB")
    grey = image.convert("L")
    embeddings = predictor.embed_images([photos[0], np.asarray(image), grey, np.asarray(grey)])
    np.testing.assert_allclose(embeddings[1], embeddings[0], atol=1e-6)
    np.testing.assert_allclose(embeddings[3], embeddings[2], atol=1e-6)


def test_answers_are_calibrated_probabilities(predictor: Predictor, study: Study) -> None:
    paths = study.validation.paths
    logits = predictor.logits(predictor.embed_images(paths))
    expected = softmax(logits, predictor.bundle.calibration.temperature)
    assert predictor.bundle.calibration.temperature != pytest.approx(1, abs=0.05), "nothing to see"
    answers = predictor.predict(paths, top_k=len(LABELS))
    for answer, row in zip(answers, expected, strict=True):
        assert answer.calibrated
        assert answer.error is None
        assert answer.label == LABELS[row.argmax()]
        assert list(answer.scores) == sorted(answer.scores, reverse=True)
        assert scores_of(answer) == pytest.approx(dict(zip(LABELS, row.tolist(), strict=True)), abs=1e-5)
        assert sum(answer.scores) == pytest.approx(1, abs=1e-5)


def test_other_labels_are_scored_as_zero_shot(predictor: Predictor, photos: list[Path]) -> None:
    templates = ("a photo of {}.", "a person {}.")
    answers = predictor.predict(photos[:4], labels=OTHER_LABELS, templates=templates, top_k=3)
    rows = []
    for label in OTHER_LABELS:
        mean = predictor.embed_texts([template.format(label) for template in templates]).mean(axis=0)
        rows.append(mean / np.linalg.norm(mean))
    logits = predictor.text_head.scale * predictor.embed_images(photos[:4]) @ np.stack(rows).T
    for answer, row in zip(answers, softmax(logits), strict=True):
        assert not answer.calibrated
        assert scores_of(answer) == pytest.approx(dict(zip(OTHER_LABELS, row.tolist(), strict=True)), abs=1e-5)


def test_the_order_of_labels_means_nothing(predictor: Predictor, photos: list[Path]) -> None:
    first = predictor.predict(photos[:3], labels=OTHER_LABELS)
    second = predictor.predict(photos[:3], labels=OTHER_LABELS[::-1])
    for a, b in zip(first, second, strict=True):
        assert scores_of(a) == pytest.approx(scores_of(b), abs=1e-6)


def test_templates_alone_are_for_the_bundles_own_labels(predictor: Predictor, photos: list[Path]) -> None:
    (answer,) = predictor.predict(photos[:1], templates=["a photo of {}."], top_k=10)
    (named,) = predictor.predict(photos[:1], labels=LABELS, templates=["a photo of {}."], top_k=10)
    assert set(answer.labels) == set(LABELS)
    assert scores_of(answer) == pytest.approx(scores_of(named))
    assert not answer.calibrated


def test_the_bundles_templates_are_used_where_none_are_given(predictor: Predictor, photos: list[Path]) -> None:
    stored = predictor.bundle.prompts["templates"]
    (answer,) = predictor.predict(photos[:1], labels=OTHER_LABELS)
    (named,) = predictor.predict(photos[:1], labels=OTHER_LABELS, templates=stored)
    (other,) = predictor.predict(photos[:1], labels=OTHER_LABELS, templates=["running {}"])
    assert scores_of(answer) == pytest.approx(scores_of(named))
    assert scores_of(answer) != pytest.approx(scores_of(other), abs=1e-3)


@pytest.mark.parametrize("word", ["kept", "degraded"])
def test_kept_and_degraded_answer(bundle: ModelBundle, photos: list[Path], word: str) -> None:
    predictor = Predictor.load(with_open_vocabulary(bundle, word, "measured"), device="cpu")
    (answer,) = predictor.predict(photos[:1], labels=OTHER_LABELS)
    assert set(answer.labels) == set(OTHER_LABELS)


@pytest.mark.parametrize("request_", [{"labels": OTHER_LABELS}, {"templates": ["a {}"]}, {"labels": LABELS}])
def test_lost_refuses_with_the_reason_and_answers_its_own(
    bundle: ModelBundle, photos: list[Path], request_: dict
) -> None:
    predictor = Predictor.load(with_open_vocabulary(bundle, "lost", "the text tower was dropped"), device="cpu")
    with pytest.raises(BundleError, match=r"only for its own labels.*the text tower was dropped"):
        predictor.predict(photos[:1], **request_)
    assert predictor.predict(photos[:1])[0].calibrated


@pytest.mark.parametrize(("top_k", "number"), [(1, 1), (3, 3), (4, 4), (5, 4), (1000, 4)])
def test_top_k(predictor: Predictor, photos: list[Path], top_k: int, number: int) -> None:
    whole = predictor.predict(photos[:2], top_k=4)
    for answer, all_labels in zip(predictor.predict(photos[:2], top_k=top_k), whole, strict=True):
        assert answer.labels == all_labels.labels[:number]
        assert answer.scores == all_labels.scores[:number]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_k": -3}, "top_k must be at least 1, got -3"),
        ({"labels": []}, "labels: at least one"),
        ({"labels": ["running", "  "]}, "labels: .*none may be empty"),
        ({"labels": ["running", "running"]}, "labels: one is given twice .*running, running"),
        ({"templates": ["no place"]}, r"templates: .*'no place' needs the place for the action, \{\}"),
        ({"labels": ["a"], "templates": ["{} and {}"]}, "templates: .*exactly once"),
    ],
)
def test_a_request_that_cannot_be_answered_says_why(predictor: Predictor, request_: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        predictor.predict([], **request_)


def test_a_bad_picture_has_its_error_and_spoils_no_other(
    predictor: Predictor, photos: list[Path], tmp_path: Path
) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("not a picture")
    cut = photos[1].read_bytes()
    opened = Image.open(io.BytesIO(cut[: len(cut) // 2]))
    bad = {
        1: (text, "not_an_image"),
        2: (tmp_path / "gone.jpg", "missing_file"),
        4: (cut[: len(cut) // 2], "truncated"),
        5: (b"", "empty_file"),
        6: (np.zeros((4, 4, 2), np.uint8), "not_an_image"),
        7: (np.zeros((4, 4, 3), np.float32), "not_an_image"),
        9: (opened, "truncated"),
    }
    images = [bad[number][0] if number in bad else photos[number] for number in range(11)]
    answers = predictor.predict(images)
    clean = predictor.predict([photos[number] for number in range(11) if number not in bad])
    assert len(answers) == len(images)
    for number, (_, reason) in bad.items():
        assert isinstance(answers[number].error, ImageError), number
        assert answers[number].error.reason == reason
        assert answers[number].label is None
        assert not answers[number].scores
    assert str(tmp_path / "gone.jpg") in str(answers[2].error)
    good = [answer for number, answer in enumerate(answers) if number not in bad]
    for answer, expected in zip(good, clean, strict=True):
        assert scores_of(answer) == pytest.approx(scores_of(expected), abs=1e-5)
    with pytest.raises(ImageError, match=r"text\.jpg"):
        predictor.embed_images(images)


def test_limits_are_kept_to(bundle: ModelBundle, photos: list[Path]) -> None:
    predictor = Predictor.load(bundle, device="cpu", limits=ImageLimits(max_pixels=100))
    assert predictor.predict(photos[:1])[0].error.reason == "too_many_pixels"


def test_no_pictures_no_answers(predictor: Predictor) -> None:
    assert predictor.predict([]) == []
    assert predictor.embed_images([]).shape == (0, predictor.bundle.class_matrix.shape[1])


def test_several_threads_get_the_same(predictor: Predictor, photos: list[Path]) -> None:
    expected = predictor.predict(photos[:5], labels=OTHER_LABELS)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: predictor.predict(photos[:5], labels=OTHER_LABELS), range(8)))
    for answer in answers:
        for one, wanted in zip(answer, expected, strict=True):
            assert scores_of(one) == pytest.approx(scores_of(wanted), abs=1e-5)


def test_an_unknown_runtime_names_the_nearest(bundle: ModelBundle) -> None:
    with pytest.raises(ConfigError, match=r"no runtime 'torhc'\. Did you mean 'torch'"):
        Predictor.load(bundle, "torhc")


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_agrees_with_transformers_zero_shot_pipeline(
    architecture: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from transformers import pipeline

    folder = tmp_path_factory.mktemp(architecture)
    study = tiny_study(folder, architecture)
    bundle = study.assemble(folder / "bundle", study.fit(METHODS.get("zero_shot").Config()))
    predictor = Predictor.load(bundle, device="cpu")
    paths = study.validation.paths[::3]
    reference = pipeline("zero-shot-image-classification", model=str(bundle.path), device="cpu")
    theirs = reference(
        [Image.open(path) for path in paths], candidate_labels=list(LABELS), hypothesis_template="a picture of {}."
    )
    if architecture == "siglip":  # scores every label by itself
        matrix = predictor.embed_texts([f"a picture of {label}." for label in LABELS])
        logits = predictor.text_head.score(predictor.embed_images(paths), matrix)
        ours = [dict(zip(LABELS, row, strict=True)) for row in (1 / (1 + np.exp(-logits))).tolist()]
    else:
        answers = predictor.predict(paths, labels=LABELS, templates=["a picture of {}."], top_k=4)
        ours = [scores_of(answer) for answer in answers]
    for found, expected in zip(ours, theirs, strict=True):
        assert found == pytest.approx({row["label"]: row["score"] for row in expected}, abs=1e-4)


def test_labels_of_ones_own_do_not_wait_for_a_heat_map(predictor: Predictor, photos: list[Path]) -> None:
    with predictor._gradients, ThreadPoolExecutor(1) as pool:  # as while one is drawn
        asked = pool.submit(predictor.predict, photos[:1], labels=("cycling", "waiting for a heat map"))
        assert asked.result(timeout=20)[0].labels
