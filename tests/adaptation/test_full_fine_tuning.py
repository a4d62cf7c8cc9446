"""Full fine-tuning: which weights move and how fast, what normalisation keeps, and what is left at the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clip_har.adaptation import METHODS, parse_method_config
from clip_har.adaptation.base import AdaptedModel
from clip_har.adaptation.encoder_task import EncoderTask
from clip_har.adaptation.full_fine_tuning import FullFineTuning, FullFineTuningConfig, build_task, layers_above
from clip_har.errors import ConfigError, ModelError
from clip_har.models.backbone import ModelConfig
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.embeddings import embed_manifest
from clip_har.training.config import TrainerConfig
from clip_har.training.optimisers import build_optimisers, set_learning_rate
from clip_har.training.scores import validation_scores
from tests.adaptation.tiny_study import Study, tiny_study
from tests.tiny_models import tiny_vision_text

QUICK = {"epochs": 2, "batch_size": 24, "learning_rate": 3e-3, "select_by": "log_loss"}


@pytest.fixture(scope="module")
def mobile_net(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The same photographs for a convolutional image encoder with batch normalisation."""
    model = ModelConfig(backbone=str(tiny_vision_text(tmp_path_factory.mktemp("mobile_net"))))
    encoder = DualEncoder.load(model)
    embeddings = embed_manifest(
        study.manifest, encoder.encode_images, encoder.image_encoder_hash(), encoder.preprocessing
    )
    return replace(study, model=model, embeddings=embeddings)


def fit(study: Study, **settings) -> AdaptedModel:
    return study.fit(FullFineTuningConfig(**{"training": QUICK, "wise_ft": None} | settings))


def statistics(encoder: DualEncoder) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in encoder.model.named_buffers() if "running" in name}


@pytest.mark.parametrize("loss", ["cross_entropy", "contrastive"])
def test_something_is_learned_and_the_best_state_is_left(study: Study, loss: str) -> None:
    adapted = fit(study, loss=loss)
    start, best = adapted.history[0], min(adapted.history, key=lambda row: row["log_loss"])
    assert best["step"] > 0
    assert best["log_loss"] < start["log_loss"]
    scores = validation_scores(adapted.validation_logits, study.validation.label_indices)
    assert scores == pytest.approx({name: best[name] for name in scores}, abs=1e-4)
    trained = [weights for weights in study.load().model.parameters() if weights.numel() > 1 or loss == "contrastive"]
    assert adapted.trained_parameters == sum(weights.numel() for weights in trained)
    assert adapted.open_vocabulary.word == "degraded"
    assert all(weights.requires_grad for weights in adapted.encoder.model.parameters())


@pytest.mark.parametrize("towers", ["visual", "text"])
def test_one_tower_alone(towers: str, study: Study) -> None:
    result, backbone = fit(study, towers=towers, training=QUICK | {"learning_rate": 5e-4}).encoder, study.load()
    assert (result.image_encoder_hash() == backbone.image_encoder_hash()) == (towers == "text")
    assert (result.text_encoder_hash() == backbone.text_encoder_hash()) == (towers == "visual")
    assert result.logit_scale == backbone.logit_scale


def test_a_backbone_without_the_tower_is_refused(study: Study) -> None:
    context = study.context()
    context.encoder.model.vision_model = torch.nn.Identity()
    context.encoder.model.visual_projection = torch.nn.Identity()
    with pytest.raises(ModelError, match=r"no image encoder was found in .*vision_model\. or visual_projection"):
        build_task(context, FullFineTuningConfig(towers="visual"))


# Layers: what is below the first block, the blocks, what is above the last. Decay ½.
SHARES: dict[str, dict[str, float]] = {
    "clip": {
        "vision_model.embeddings.class_embedding": 1 / 8,
        "vision_model.pre_layrnorm.weight": 1 / 8,
        "vision_model.encoder.layers.0.mlp.fc1.weight": 1 / 4,
        "vision_model.encoder.layers.1.mlp.fc1.weight": 1 / 2,
        "vision_model.post_layernorm.bias": 1,
        "visual_projection.weight": 1,
        "text_model.embeddings.token_embedding.weight": 1 / 8,
        "text_model.encoder.layers.1.self_attn.q_proj.weight": 1 / 2,
        "text_model.final_layer_norm.weight": 1,
        "text_projection.weight": 1,
        "logit_scale": 1,
    },
    "siglip": {
        "vision_model.embeddings.patch_embedding.weight": 1 / 8,
        "vision_model.encoder.layers.0.self_attn.v_proj.weight": 1 / 4,
        "vision_model.encoder.layers.1.self_attn.v_proj.weight": 1 / 2,
        "vision_model.head.probe": 1,
        "text_model.embeddings.position_embedding.weight": 1 / 8,
        "text_model.head.weight": 1,
        "logit_bias": 1,
    },
    "vision_text": {  # four stages; two layers of BERT
        "vision_model.embeddings.patch_embeddings.weight": 1 / 32,
        "vision_model.encoder.stages.0.layers.0.dwconv.weight": 1 / 16,
        "vision_model.encoder.stages.3.downsampling_layer.1.weight": 1 / 2,
        "vision_model.layernorm.weight": 1,
        "text_model.embeddings.word_embeddings.weight": 1 / 8,
        "text_model.encoder.layer.0.attention.self.query.weight": 1 / 4,
        "text_model.encoder.layer.1.output.dense.weight": 1 / 2,
        "text_model.pooler.dense.weight": 1,
        "visual_projection.weight": 1,
    },
    "mobile_net": {  # sixteen inverted residuals
        "vision_model.conv_stem.first_conv.convolution.weight": 2.0**-17,
        "vision_model.layer.0.conv_3x3.convolution.weight": 2.0**-16,
        "vision_model.layer.15.reduce_1x1.normalization.weight": 1 / 2,
        "vision_model.conv_1x1.convolution.weight": 1,
        "text_model.encoder.layer.0.output.dense.weight": 1 / 4,
    },
}


@pytest.fixture(scope="module")
def model_of(study: Study, mobile_net: Study, tmp_path_factory) -> Callable[[str], torch.nn.Module]:
    def load(architecture: str) -> torch.nn.Module:
        if architecture in ("clip", "mobile_net"):
            return (study if architecture == "clip" else mobile_net).load().model
        return tiny_study(tmp_path_factory.mktemp(architecture), architecture).load().model

    return load


@pytest.mark.parametrize("architecture", list(SHARES))
def test_each_layer_learns_slower_than_the_one_above(architecture: str, model_of) -> None:
    model = model_of(architecture)
    shares = {name: 0.5**number for name, number in layers_above(model).items()}
    assert shares.keys() == dict(model.named_parameters()).keys()
    assert {name: shares[name] for name in SHARES[architecture]} == SHARES[architecture]


def test_a_tower_without_blocks_is_one_layer() -> None:
    model = torch.nn.ModuleDict({"vision_model": torch.nn.Linear(2, 2), "text_model": torch.nn.Linear(2, 2)})
    assert set(layers_above(model).values()) == {0}


def test_only_the_topmost_layers_are_trained_if_asked_for(study: Study) -> None:
    context = study.context()
    above = layers_above(context.encoder.model)
    for layers in (1, 2):
        build_task(context, FullFineTuningConfig(layers=layers))
        trained = {name for name, one in context.encoder.model.named_parameters() if one.requires_grad}
        towers = ("vision_model.", "visual_projection", "text_model.", "text_projection")
        assert trained == {name for name in above if name.startswith(towers) and above[name] < layers}
        assert any("layers.1." in name for name in trained) == (layers == 2)
        assert not any("embeddings" in name for name in trained)


def test_label_smoothing_shares_the_target_out(study: Study) -> None:
    losses = []
    for smoothing in (0.0, 0.2):
        context = study.context()
        task = build_task(context, FullFineTuningConfig(label_smoothing=smoothing, augmentation=None))
        batch = next(iter(task.batches(np.arange(6), 0, 6)))
        with torch.no_grad():
            losses.append(float(task.loss(batch)))
            logits = task._logits(task._image_features(batch[1]), task._class_features())
    everywhere = float(-logits.log_softmax(dim=1).mean())
    assert losses[1] == pytest.approx(0.8 * losses[0] + 0.2 * everywhere, abs=1e-5)


def test_the_optimiser_goes_by_the_shares(study: Study) -> None:
    context = study.context()
    model = context.encoder.model
    config = FullFineTuningConfig(layer_decay=0.5, towers="visual", augmentation=None)
    task = build_task(context, config)
    trained = {name: weights for name, weights in model.named_parameters() if weights.requires_grad}
    before = {name: weights.detach().clone() for name, weights in trained.items()}
    training = TrainerConfig(optimiser="sgd", weight_decay=0.0)
    optimisers = build_optimisers(task, training)
    task.loss(next(iter(task.batches(np.arange(8), 0, 8)))).backward()
    set_learning_rate(optimisers, 0.1)
    optimisers[0].step()
    assert len(trained) == len(task.learning_rate_shares()) > 20
    shares = SHARES["clip"]
    for name in ("vision_model.embeddings.class_embedding", "vision_model.encoder.layers.1.mlp.fc1.weight"):
        moved = (before[name] - trained[name].detach()) / trained[name].grad
        assert float(moved.median()) == pytest.approx(0.1 * shares[name], rel=0.01), name


def test_batch_norm_keeps_its_statistics_unless_asked(mobile_net: Study) -> None:
    before = statistics(mobile_net.load())
    assert len(before) > 50
    training = QUICK | {"epochs": 5, "learning_rate": 1e-2}
    frozen = fit(mobile_net, training=training)
    assert frozen.encoder is not None
    for name, value in statistics(frozen.encoder).items():
        assert torch.equal(value, before[name]), name
    weight = "vision_model.layer.3.conv_3x3.normalization.weight"
    assert not torch.equal(frozen.encoder.model.get_parameter(weight), mobile_net.load().model.get_parameter(weight))
    trained = fit(mobile_net, batch_norm="trained", training=training)
    changed = [not torch.equal(value, before[name]) for name, value in statistics(trained.encoder).items()]
    assert all(changed)
    scores = validation_scores(trained.validation_logits, mobile_net.validation.label_indices)
    best = min(trained.history, key=lambda row: row["log_loss"])
    assert scores == pytest.approx({name: best[name] for name in scores}, abs=1e-4), "the best state's statistics"


def test_statistics_go_back_with_the_weights(mobile_net: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    context, seen = mobile_net.context(), []

    def worse_and_worse(task: EncoderTask) -> dict[str, float]:
        seen.append(statistics(context.encoder))
        return {"accuracy": 0.5, "log_loss": float(len(seen))}

    monkeypatch.setattr(EncoderTask, "validate", worse_and_worse)
    config = FullFineTuningConfig(batch_norm="trained", training=QUICK)
    adapted = FullFineTuning(config).fit(context, "tuned")
    assert any("No step improved" in remark for remark in adapted.remarks)
    assert (adapted.encoder, adapted.open_vocabulary.word) == (None, "kept")
    assert not all(torch.equal(value, seen[0][name]) for name, value in seen[-1].items()), "they had moved"
    before = mobile_net.load()
    for name, value in context.encoder.model.state_dict().items():
        assert torch.equal(value, before.model.state_dict()[name]), name


def test_batch_norm_that_is_not_there_is_said(study: Study) -> None:
    assert any("no batch normalisation" in remark for remark in fit(study, batch_norm="trained").remarks)


def test_the_scale_stays_within_its_bound(study: Study) -> None:
    context = study.context()
    with torch.no_grad():
        context.encoder.model.logit_scale.fill_(math.log(99.9))
    training = QUICK | {"learning_rate": 0.01, "weight_decay": 0.0, "select_by": "log_loss"}
    config = FullFineTuningConfig(loss="contrastive", training=training, wise_ft=None)
    adapted = FullFineTuning(config).fit(context, "tuned")
    assert adapted.encoder is not None
    assert adapted.encoder.logit_scale != pytest.approx(99.9, abs=1e-3), "it is trained"
    assert adapted.encoder.logit_scale <= 100 * (1 + 1e-5)


def test_wise_ft_keeps_the_best_mixture(study: Study) -> None:
    alphas = (0.0, 0.5, 1.0)
    tuned, mixed = (fit(study, wise_ft=wise) for wise in (None, {"alphas": alphas}))
    tried = [row for row in mixed.history if "alpha" in row]
    assert [row["alpha"] for row in tried] == list(alphas)
    assert mixed.history[: -len(alphas)] == tuned.history
    labels = study.validation.label_indices
    best = max(tried, key=lambda row: (row["accuracy"], -row["log_loss"]))
    scores = validation_scores(mixed.validation_logits, labels)
    assert scores == pytest.approx({name: best[name] for name in scores}, abs=1e-4)
    whole = validation_scores(tuned.validation_logits, labels)
    assert {name: tried[-1][name] for name in whole} == pytest.approx(whole, abs=1e-4)
    assert f"WiSE-FT: {best['alpha']:g} of the tuned weights" in " ".join(mixed.remarks)


def test_the_mixed_weights_are_the_numpy_mixture(study: Study) -> None:
    tuned, mixed = (fit(study, wise_ft=wise) for wise in (None, {"alphas": [0.3]}))
    states = [encoder.model.state_dict() for encoder in (study.load(), tuned.encoder, mixed.encoder)]
    for name in states[0]:
        start, end, found = (state[name].numpy() for state in states)
        np.testing.assert_allclose(found, 0.7 * start + 0.3 * end, atol=1e-6, err_msg=name)


def test_a_mixture_of_nothing_leaves_the_backbone(study: Study) -> None:
    adapted = fit(study, wise_ft={"alphas": [0.0]})
    assert (adapted.encoder, adapted.open_vocabulary.word) == (None, "kept")
    zero_shot = study.fit(METHODS.get("zero_shot").Config(prompts="single"))
    np.testing.assert_allclose(adapted.validation_logits, zero_shot.validation_logits, atol=1e-4)


def test_the_published_preset_is_flyp(study: Study) -> None:
    config = FullFineTuningConfig(preset="published")
    assert (config.loss, config.towers, config.layer_decay, config.prompts) == ("contrastive", "both", 1.0, "ensemble")
    training = config.training
    assert (training.learning_rate, training.weight_decay, training.batch_size, training.epochs) == (1e-5, 0.2, 256, 20)
    assert config.augmentation.acting() == ["crop"]
    assert config.augmentation.crop.scale == (0.9, 1.0)
    assert config.wise_ft is not None
    assert FullFineTuningConfig().wise_ft is not None
    assert FullFineTuningConfig(wise_ft=None).wise_ft is None
    adapted = study.fit(FullFineTuningConfig(preset="published", training={"epochs": 1}))
    assert adapted.augmentation == config.augmentation.model_dump(mode="json")


def test_mixed_pictures_have_no_prompt() -> None:
    mixed = {"method": "full_fine_tuning", "augmentation": {"mixup": 0.5}}
    assert parse_method_config(mixed | {"loss": "cross_entropy"}).augmentation.mixes
    with pytest.raises(
        ConfigError, match=r"mixup and cutmix make pictures of two classes.*wanted: loss: cross_entropy"
    ):
        parse_method_config(mixed | {"loss": "contrastive"})


def test_mixed_labels_weigh_as_their_classes_do(study: Study) -> None:
    adapted = fit(study, balance="loss", augmentation={"policy": "medium", "mixup": 0.5, "cutmix": 0.5})
    assert np.isfinite([row["loss"] for row in adapted.history[1:]]).all()


@pytest.mark.slow
@pytest.mark.thorough
def test_contrastive_steps_of_two_processes_are_those_of_one(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=":")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    training = {"epochs": 3, "batch_size": 10, "learning_rate": 1e-3, "evaluate_every": 1, "patience": None}

    def losses(distributed: dict) -> list[float]:
        config = FullFineTuningConfig(
            loss="contrastive", balance="loss", wise_ft=None, training=training | {"distributed": distributed}
        )
        rows = FullFineTuning(config).adapt(study.context(), "tuned").history
        return [row[name] for row in rows for name in ("loss", "log_loss") if name in row]

    expected = losses({"mode": "single"})
    assert len(expected) == 31
    assert losses({"mode": "fsdp", "processes": 2}) == pytest.approx(expected, abs=2e-4)
