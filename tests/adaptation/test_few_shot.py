"""Shots and class balance: what is drawn, and how the classes are weighed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clip_har.adaptation import METHODS, parse_method_config
from clip_har.adaptation.embedding_task import EmbeddingTask, balanced_order, balanced_weights
from clip_har.adaptation.few_shot import draw_shots
from clip_har.errors import ConfigError
from tests.adaptation.clouds import clouds
from tests.adaptation.tiny_study import LABELS, Study

PRESETS = [name for name in METHODS if METHODS.get(name).Config.PRESETS]


def test_as_many_of_each_class_as_asked_for_and_the_other_splits_whole(study: Study) -> None:
    counts = draw_shots(study.manifest, 5, seed=0).counts()
    assert counts["train"].tolist() == [5] * len(LABELS)
    others = ["validation", "calibration", "test"]
    assert counts[others].equals(study.manifest.counts()[others])


def test_a_class_with_fewer_keeps_all(study: Study) -> None:
    assert draw_shots(study.manifest, 100, seed=0).frame.equals(study.manifest.frame)


def test_the_draw_is_the_seeds_not_the_orders(study: Study) -> None:
    drawn = {seed: set(draw_shots(study.manifest, 4, seed).split("train").ids) for seed in (0, 1)}
    assert drawn[0] != drawn[1]
    backwards = replace(study.manifest, frame=study.manifest.frame.iloc[::-1].reset_index(drop=True))
    assert set(draw_shots(backwards, 4, seed=0).split("train").ids) == drawn[0]
    assert drawn[0] < set(draw_shots(study.manifest, 8, seed=0).split("train").ids)


def test_a_method_is_fitted_on_its_shots_only(study: Study) -> None:
    config = METHODS.get("tip_adapter").Config(shots=2)
    adapted = METHODS.get("tip_adapter")(config).adapt(study.context(), "few")
    drawn = draw_shots(study.manifest, 2, seed=0).split("train")
    np.testing.assert_array_equal(adapted.head.keys, study.embeddings.of(drawn.ids))
    assert adapted.recipe["shots"] == 2


def test_weights_make_the_classes_equal() -> None:
    labels = np.array([0, 0, 0, 0, 0, 0, 2, 2])  # of class 1 there is none
    weights = balanced_weights(labels, 3)
    assert weights.mean() == pytest.approx(1)
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 2].sum())


def task(balance: str, kind: type[EmbeddingTask] = EmbeddingTask) -> EmbeddingTask:
    import torch

    labels = np.repeat([0, 1], [90, 10])
    inputs = np.eye(2, dtype=np.float32)[labels]
    offset = torch.nn.Parameter(torch.tensor([1.0, 0.0]))
    return kind(
        (inputs, labels),
        (inputs, labels),
        2,
        [offset],
        lambda parameters, images, positions: 0 * images + parameters[0],
        torch.device("cpu"),
        balance=balance,
    )


def test_the_loss_is_weighed_or_not() -> None:
    import torch

    everything = torch.arange(100)
    losses = np.log(1 + np.exp([-1.0, 1.0]))  # of the two classes, at logits 1 and 0
    assert task("none").loss(everything).item() == pytest.approx(losses @ [0.9, 0.1], abs=1e-6)
    assert task("loss").loss(everything).item() == pytest.approx(losses.mean(), abs=1e-6)


def test_balanced_sampling_draws_the_classes_equally_often() -> None:
    shuffled = np.random.default_rng(0).permutation(100)
    assert (task("none").order(0, shuffled) == shuffled).all()
    first, again, next_one = (task("sampling").order(epoch, shuffled) for epoch in (3, 3, 4))
    assert (first == again).all()
    assert (first != next_one).any()
    assert (first >= 90).sum() == 50
    assert np.bincount(first[first >= 90])[90:].tolist() == [5] * 10
    assert np.bincount(first, minlength=100)[:90].max() == 1
    assert 15 < (first[:50] >= 90).sum() < 35, "in no order"


def test_what_cannot_be_shared_out_equally_differs_by_one() -> None:
    labels = np.array([0] * 5 + [2] * 2 + [3])
    counts = np.bincount(labels[balanced_order(labels, seed=0, epoch=0)], minlength=4)
    assert counts[1] == 0
    assert sorted(counts[[0, 2, 3]].tolist()) == [2, 3, 3]
    assert len(balanced_order(np.array([4, 7]), seed=0, epoch=0)) == 2


def test_the_loop_goes_through_the_balanced_order() -> None:
    """Every class equally often in what the loss is computed on, over several epochs and where batches are cut."""
    import torch

    from clip_har.training.trainer import Trainer, TrainerConfig

    seen: list[torch.Tensor] = []

    class Watched(EmbeddingTask):
        def loss(self, batch: torch.Tensor) -> torch.Tensor:
            seen.append(batch)
            return super().loss(batch)

    config = TrainerConfig(epochs=3, batch_size=16, accumulate=2, patience=None)
    Trainer(config, torch.device("cpu"), 0).fit(task("sampling", Watched))
    drawn = torch.cat(seen).numpy()
    assert len(drawn) == 300
    assert (drawn >= 90).sum() == 150


@pytest.mark.slow
def test_balance_helps_the_rare_classes(study: Study) -> None:
    context = clouds(study.load(), spread=1.5, shift=2.0, shares=(0.85, 0.05, 0.05, 0.05))
    held_out = context.manifest.split("test")
    images, rare = context.embeddings.of(held_out.ids), held_out.label_indices > 0

    def recall(balance: str) -> float:
        training = {"select_by": "log_loss", "patience": None, "learning_rate": 1e-2, "evaluate_every": 1000}
        config = METHODS.get("clip_adapter").Config(ratios=(0.8,), training=training, balance=balance)
        adapted = METHODS.get("clip_adapter")(config).adapt(context, "adapter")
        right = adapted.head.score(images, adapted.class_matrix).argmax(axis=1) == held_out.label_indices
        return float(right[rare].mean())

    plain = recall("none")
    assert recall("loss") > plain + 0.05
    assert recall("sampling") > plain + 0.05


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fill_what_is_not_given(name: str) -> None:
    config = METHODS.get(name).Config
    assert set(config.PRESETS) == {"cpu", "published"}
    cpu, published = config(), config(preset="published")
    assert cpu.preset == "cpu"
    assert cpu.model_dump(exclude={"preset"}) != published.model_dump(exclude={"preset"})
    assert parse_method_config(published.model_dump(mode="json")) == published
    if "training" in config.model_fields:
        given = config(preset="published", training={"epochs": 3}).training
        assert given == published.training.model_copy(update={"epochs": 3})


@pytest.mark.parametrize("name", PRESETS)
def test_an_unknown_preset_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no preset 'gpu'; wanted: cpu, published"):
        parse_method_config({"method": name, "preset": "gpu"})
