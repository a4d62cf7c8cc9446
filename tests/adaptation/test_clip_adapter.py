"""CLIP-Adapter: what is minimised, what is kept, and what it gains."""

from __future__ import annotations

import numpy as np
import pytest

from clip_har.adaptation.clip_adapter import ClipAdapter, ClipAdapterConfig
from clip_har.adaptation.zero_shot import ZeroShot, ZeroShotConfig
from clip_har.training.scores import validation_scores
from tests.adaptation.clouds import accuracy, clouds
from tests.adaptation.tiny_study import Study


@pytest.mark.slow
def test_it_beats_zero_shot(study: Study) -> None:
    context = clouds(study.load(), spread=1.2, shift=1.5)
    zero_shot = accuracy(context, ZeroShot(ZeroShotConfig()).fit(context, "zero_shot"))
    assert accuracy(context, ClipAdapter(ClipAdapterConfig()).fit(context, "adapter")) > zero_shot + 0.05


def test_the_best_ratio_is_kept(study: Study) -> None:
    context = clouds(study.load(), spread=1.2, shift=1.5)
    training = {"epochs": 10, "patience": None, "learning_rate": 1e-2}
    adapted = ClipAdapter(ClipAdapterConfig(ratios=(0.01, 0.7), training=training)).fit(context, "adapter")
    best = {
        ratio: max((row["accuracy"], -row["log_loss"]) for row in adapted.history if row["ratio"] == ratio)
        for ratio in (0.01, 0.7)
    }
    assert adapted.head.ratio == max(best, key=best.get)
    scores = validation_scores(adapted.validation_logits, context.validation.label_indices)
    assert scores["accuracy"] == pytest.approx(max(best.values())[0])
    assert scores["log_loss"] == pytest.approx(-max(best.values())[1], abs=1e-4)


def test_the_sizes_are_the_papers(study: Study) -> None:
    adapted = ClipAdapter(ClipAdapterConfig(training={"max_steps": 1})).fit(clouds(study.load()), "adapter")
    assert adapted.head.down.shape == (4, 16)
    assert adapted.head.up.shape == (16, 4)
    assert adapted.trained_parameters == 2 * 4 * 16
    assert adapted.encoder is None


def test_the_loss_is_that_of_the_head(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    context, seen = clouds(study.load()), []

    def watching(context, config, training, task, **options):
        import torch

        from clip_har.training.task import TrainingResult

        loss = task.loss(torch.arange(8))
        loss.backward()
        seen.append((loss.item(), [float(parameter.grad.abs().sum()) for parameter in task.parameters()]))
        return TrainingResult()

    monkeypatch.setattr("clip_har.adaptation.clip_adapter.fit_task", watching)
    adapted = ClipAdapter(ClipAdapterConfig(ratios=(0.4,))).fit(context, "adapter")
    logits = adapted.head.score(context.embeddings.of(context.train.ids)[:8], adapted.class_matrix)
    loss, gradients = seen[0]
    assert loss == pytest.approx(validation_scores(logits, context.train.label_indices[:8])["log_loss"], rel=1e-4)
    assert np.all(np.array(gradients) > 0)
