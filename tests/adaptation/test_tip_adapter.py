"""Tip-Adapter: what is in the cache, what the search keeps, and what fitting the keys changes."""

from __future__ import annotations

import numpy as np
import pytest

from clip_har.adaptation.tip_adapter import (
    GridConfig,
    TipAdapter,
    TipAdapterConfig,
    TipAdapterF,
    TipAdapterFConfig,
)
from clip_har.adaptation.zero_shot import ZeroShot, ZeroShotConfig
from clip_har.training.scores import validation_scores
from tests.adaptation.clouds import COUNTS, accuracy, clouds
from tests.adaptation.tiny_study import LABELS, Study

TRAINING = {"epochs": 30, "patience": None, "select_by": "log_loss"}


def test_the_cache_is_the_train_split(study: Study) -> None:
    context = clouds(study.load())
    head = TipAdapter(TipAdapterConfig()).fit(context, "tip").head
    np.testing.assert_array_equal(head.keys, context.embeddings.of(context.train.ids))
    np.testing.assert_array_equal(head.values.argmax(axis=1), context.train.label_indices)
    assert (head.values.sum(axis=1) == 1).all()
    assert (head.scale, head.bias) == (context.encoder.logit_scale, context.encoder.logit_bias)


def test_the_search_keeps_the_best_of_the_grid(study: Study) -> None:
    context = clouds(study.load())
    alphas, betas = np.linspace(1, 9, 3), np.geomspace(0.5, 8, 3)
    config = TipAdapterConfig(
        alphas=GridConfig(lowest=1, highest=9, steps=3, spacing="linear"),
        betas=GridConfig(lowest=0.5, highest=8, steps=3, spacing="geometric"),
    )
    adapted = TipAdapter(config).fit(context, "tip")
    keys, values = adapted.head.keys.astype(np.float64), adapted.head.values
    images, labels = context.embeddings.of(context.validation.ids), context.validation.label_indices
    text = context.encoder.logit_scale * images @ adapted.class_matrix.T
    found = {}
    for alpha in alphas * context.encoder.logit_scale / 100:
        for beta in betas:
            scores = validation_scores(text + alpha * np.exp(-beta * (1 - images @ keys.T)) @ values, labels)
            found[alpha, beta] = (scores["accuracy"], -scores["log_loss"])
    assert (adapted.head.alpha, adapted.head.beta) == pytest.approx(max(found, key=found.get))
    assert len(adapted.history) == len(betas)
    assert max(row["accuracy"] for row in adapted.history) == pytest.approx(max(found.values())[0])


def test_the_cache_beats_zero_shot_and_fitted_keys_the_cache(study: Study) -> None:
    context = clouds(study.load(), spread=1.6, shift=1.5)
    zero_shot = accuracy(context, ZeroShot(ZeroShotConfig()).fit(context, "zero_shot"))
    cache = accuracy(context, TipAdapter(TipAdapterConfig()).fit(context, "tip"))
    fitted = accuracy(context, TipAdapterF(TipAdapterFConfig(training=TRAINING)).fit(context, "tip_f"))
    assert cache > zero_shot + 0.05
    assert fitted > cache


@pytest.mark.parametrize("leave_own_out", [True, False])
def test_the_loss_is_that_of_the_head(leave_own_out: bool, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is minimised is the cross-entropy of the head's own logits, a sample's own key left out or not."""
    context, seen = clouds(study.load()), []

    def watching(context, config, training, task, **options):
        import torch

        from clip_har.training.task import TrainingResult

        seen.append((task.loss(torch.arange(8)).item(), task.validate()))
        return TrainingResult()

    monkeypatch.setattr("clip_har.adaptation.tip_adapter.fit_task", watching)
    config = TipAdapterFConfig(start="one", leave_own_out=leave_own_out)
    adapted = TipAdapterF(config).fit(context, "tip_f")
    (loss, validated), scale = seen[0], context.encoder.logit_scale
    keys = context.embeddings.of(context.train.ids).astype(np.float64)
    weights = np.exp(keys @ keys.T - 1)
    if leave_own_out:
        np.fill_diagonal(weights, 0)
    logits = (scale * keys @ adapted.class_matrix.T + scale / 100 * weights @ adapted.head.values)[:8]
    expected = validation_scores(logits, context.train.label_indices[:8])["log_loss"]
    assert loss == pytest.approx(expected, rel=1e-4)
    images = context.embeddings.of(context.validation.ids).astype(np.float64)
    logits = scale * images @ adapted.class_matrix.T + scale / 100 * np.exp(images @ keys.T - 1) @ adapted.head.values
    assert validated["log_loss"] == pytest.approx(
        validation_scores(logits, context.validation.label_indices)["log_loss"], rel=1e-4
    )


def test_only_the_keys_are_fitted(study: Study) -> None:
    context = clouds(study.load(), spread=1.6, shift=1.5)
    adapted = TipAdapterF(TipAdapterFConfig(training=TRAINING)).fit(context, "tip_f")
    assert adapted.encoder is None
    assert adapted.head.keys.shape == (COUNTS["train"], adapted.class_matrix.shape[1])
    assert adapted.trained_parameters == adapted.head.keys.size
    assert not np.allclose(adapted.head.keys, context.embeddings.of(context.train.ids), atol=1e-3)
    assert adapted.head.values.shape == (COUNTS["train"], len(LABELS))


def test_the_published_grid_is_the_papers() -> None:
    published = TipAdapterConfig(preset="published")
    assert len(published.betas.values()) == 200
    assert published.alphas.values()[[0, -1]].tolist() == [0.1, 3.0]


def test_an_upside_down_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"highest \(1\) is below lowest \(2\)"):
        GridConfig(lowest=2, highest=1, steps=3)
