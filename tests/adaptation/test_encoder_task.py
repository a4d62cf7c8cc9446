"""Losses through encoders against small numpy versions; what is trained, drawn and shared out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clip_har.adaptation.embedding_task import balanced_weights
from clip_har.adaptation.encoder_task import ContrastiveEncoderTask, EncoderTask
from clip_har.adaptation.full_fine_tuning import FullFineTuningConfig, build_task
from clip_har.models.dual_encoder import DualEncoder
from tests.adaptation.tiny_study import ARCHITECTURES, LABELS, Study, tiny_study


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def any_study(request: pytest.FixtureRequest, study: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Of each architecture."""
    return study if request.param == "clip" else tiny_study(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def uneven(study: Study) -> Study:
    """Twelve photographs of one class to train on, and three of each other."""
    frame = study.manifest.frame
    first = frame["label"] == LABELS[0]
    rank = frame.groupby(["split", "label"]).cumcount()
    kept = frame[(frame["split"] != "train") | first | (rank < 3)].reset_index(drop=True)
    return replace(study, manifest=replace(study.manifest, frame=kept))


def task_of(study: Study, **settings) -> EncoderTask:
    return build_task(study.context(), FullFineTuningConfig(**settings))


def first_batch(task: EncoderTask, size: int = 16, order: np.ndarray | None = None):
    order = np.arange(0, task.sample_count)[:: task.sample_count // size][:size] if order is None else order
    return next(iter(task.batches(order, 0, size)))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return (
        logits
        - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        - logits.max(1, keepdims=True)
    )


def contrastive(cosines: np.ndarray, labels: np.ndarray, scale: float, weights: np.ndarray) -> float:
    """Both directions, pair by pair."""
    losses = []
    for logits in (scale * cosines, scale * cosines.T):
        rows = log_softmax(logits)
        for one, row in enumerate(rows):
            same = [other for other in range(len(labels)) if labels[other] == labels[one]]
            losses.append(-weights[one] * sum(row[other] for other in same) / len(same))
    return float(np.sum(losses) / len(losses))


def pairwise(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    total = 0.0
    for one in range(len(labels)):
        for other in range(len(labels)):
            sign = 1 if labels[one] == labels[other] else -1
            total += weights[one] * np.log1p(np.exp(-sign * logits[one, other]))
    return total / len(labels)


@pytest.mark.parametrize("prompts", ["single", "ensemble"])
def test_cross_entropy_is_its_formula(any_study: Study, prompts: str) -> None:
    task, encoder = task_of(any_study, prompts=prompts, loss="cross_entropy"), any_study.load()
    labels, pixels = first_batch(task)
    images = encoder.encode_images(pixels.numpy()).astype(np.float64)
    texts = encoder.class_matrix(task.texts).astype(np.float64)
    rows = log_softmax(encoder.logit_scale * images @ texts.T + encoder.logit_bias)
    expected = -np.mean([row[label] for row, label in zip(rows, labels.tolist(), strict=True)])
    assert float(task.loss((labels, pixels)).detach()) == pytest.approx(expected, abs=1e-4)


def test_the_contrastive_loss_is_its_formula(any_study: Study) -> None:
    task, encoder = task_of(any_study, prompts="ensemble", loss="contrastive"), any_study.load()
    assert isinstance(task, ContrastiveEncoderTask)
    labels, pixels, drawn = first_batch(task)
    assert len(set(labels.tolist())) < len(labels), "several pictures of a class"
    flat = [text for texts in task.texts.values() for text in texts]
    images = encoder.encode_images(pixels.numpy()).astype(np.float64)
    cosines = images @ encoder.encode_texts([flat[number] for number in drawn.tolist()]).T.astype(np.float64)
    ones = np.ones(len(labels))
    if encoder.activation == "sigmoid":
        expected = pairwise(encoder.logit_scale * cosines + encoder.logit_bias, labels.numpy(), ones)
    else:
        expected = contrastive(cosines, labels.numpy(), encoder.logit_scale, ones)
    assert float(task.loss((labels, pixels, drawn)).detach()) == pytest.approx(expected, rel=1e-4)


def test_rare_classes_weigh_more(uneven: Study) -> None:
    encoder = uneven.load()
    weights = balanced_weights(uneven.context().train.label_indices, len(LABELS))
    for loss in ("cross_entropy", "contrastive"):
        task = task_of(uneven, prompts="single", loss=loss, balance="loss", augmentation=None)
        order = np.array([0, 1, 12, 13, 15, 18, 20])
        labels, pixels, *drawn = first_batch(task, len(order), order)
        images, texts = encoder.encode_images(pixels.numpy()), encoder.class_matrix(task.texts)
        if loss == "contrastive":
            expected = contrastive(images @ texts[labels].T, labels.numpy(), encoder.logit_scale, weights[order])
        else:
            rows = log_softmax(encoder.logit_scale * images @ texts.T)
            expected = -np.mean(weights[order] * rows[np.arange(len(order)), labels.numpy()])
        assert float(task.loss((labels, pixels, *drawn)).detach()) == pytest.approx(expected, rel=1e-4), loss


@pytest.mark.parametrize("loss", ["cross_entropy", "contrastive"])
@pytest.mark.parametrize("towers", ["visual", "text", "both"])
def test_gradients_flow_into_what_is_trained_and_nowhere_else(any_study: Study, towers: str, loss: str) -> None:
    context = any_study.context()
    task = build_task(context, FullFineTuningConfig(towers=towers, loss=loss))
    task.loss(first_batch(task)).backward()
    stays = {"visual": "text_", "text": "vision_", "both": "nothing"}[towers]
    trained = {name for name, weights in context.encoder.model.named_parameters() if weights.requires_grad}
    assert not [name for name in trained if name.startswith(stays)], "nothing that is shared out or counted for nothing"
    for tower, wanted in (("vision_model.", "visual"), ("text_model.", "text")):
        found = [weights.grad for name, weights in context.encoder.model.named_parameters() if name.startswith(tower)]
        if towers in (wanted, "both"):
            reached = sum(gradient is not None and float(gradient.abs().sum()) > 0 for gradient in found)
            assert reached > 0.8 * len(found), tower  # BERT's masks of types, a key's bias
        else:
            assert all(gradient is None for gradient in found), tower
    scale = context.encoder.model.logit_scale.grad
    assert (scale is not None and float(scale.abs()) > 0) == (loss == "contrastive")


def test_an_encoder_that_stays_is_computed_once(study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context = study.context()
    elsewhere = replace(context, manifest=replace(context.manifest, root=str(tmp_path)))
    for loss in ("cross_entropy", "contrastive"):
        config = FullFineTuningConfig(towers="text", loss=loss, augmentation=None)
        images_stay = build_task(elsewhere, config)  # no photograph is read
        whole = build_task(study.context(), config.model_copy(update={"towers": "both"}))
        expected = float(whole.loss(first_batch(whole)).detach())
        assert float(images_stay.loss(first_batch(images_stay)).detach()) == pytest.approx(expected, rel=1e-4)
        texts_stay = build_task(study.context(), config.model_copy(update={"towers": "visual"}))
        monkeypatch.setattr(texts_stay._encoder.model, "get_text_features", None)
        assert float(texts_stay.loss(first_batch(texts_stay)).detach()) == pytest.approx(expected, rel=1e-4)


def test_prompts_are_drawn_from_the_class_and_anew_in_each_epoch(study: Study) -> None:
    task = task_of(study, loss="contrastive", prompts="ensemble", augmentation=None)
    order = np.arange(task.sample_count)

    def drawn(epoch: int, order: np.ndarray) -> list[int]:
        return [number for *_, numbers in task.batches(order, epoch, 8) for number in numbers.tolist()]

    templates = len(next(iter(task.texts.values())))
    first = drawn(0, order)
    assert [number // templates for number in first] == study.context().train.label_indices.tolist()
    assert {number % templates for number in first} == set(range(templates))
    assert drawn(1, order) != first
    assert drawn(0, order[::-1]) == first[::-1]


def test_balanced_sampling_draws_the_classes_equally_often_and_parts_see_the_same(uneven: Study) -> None:
    task = task_of(uneven, loss="contrastive", prompts="ensemble", balance="sampling")
    order = task.order(2, np.arange(task.sample_count))
    assert len(order) == len(set(order.tolist())) == task.sample_count == 21
    whole = list(task.batches(order, 2, 7))
    labels = torch.cat([batch[0] for batch in whole])
    assert sorted(np.bincount(labels.numpy()).tolist()) == [5, 5, 5, 6]
    views = torch.cat([batch[1] for batch in whole])
    assert len({view.numpy().tobytes() for view in views}) == len(views), "a picture drawn again is seen differently"
    rest = list(task.batches(order[14:], 2, 7))  # as after a checkpoint
    assert len(rest) == 1
    for found, expected in zip(rest[0], whole[2], strict=True):
        assert torch.equal(found, expected)


def test_a_tower_that_stays_keeps_out_of_training_mode(any_study: Study) -> None:
    context = any_study.context()
    model = context.encoder.model
    task = build_task(context, FullFineTuningConfig(towers="text"))
    task.train_mode(True)
    assert all(module.training for module in model.text_model.modules())
    assert not any(module.training for module in model.vision_model.modules())
    task.train_mode(False)
    assert not any(module.training for module in model.modules())


def test_validation_is_what_the_encoder_gives(study: Study) -> None:
    context = study.context()
    task = build_task(context, FullFineTuningConfig())
    expected = study.embeddings.of(study.validation.ids)
    np.testing.assert_allclose(task.validation_embeddings(), expected, atol=1e-6)
    encoder: DualEncoder = context.encoder
    logits = encoder.logit_scale * expected @ encoder.class_matrix(task.texts).T
    scores = task.validate()
    assert scores["accuracy"] == pytest.approx((logits.argmax(1) == study.validation.label_indices).mean())
    rows = log_softmax(logits.astype(np.float64))
    assert scores["log_loss"] == pytest.approx(
        -rows[np.arange(len(rows)), study.validation.label_indices].mean(), abs=1e-4
    )
