"""Projection tuning: the layer is found, the objective is the paper's, nothing else changes; and WiSE-FT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clip_har.adaptation.projection import PooledFeatures, embed_pooled, embed_with_pooled, find_projection
from clip_har.adaptation.projection_tuning import ProjectionTuning, ProjectionTuningConfig
from clip_har.adaptation.wise_ft import WiseFtConfig, choose_alpha, interpolate
from clip_har.adaptation.zero_shot import ZeroShot, ZeroShotConfig
from clip_har.errors import ModelError
from clip_har.models.embeddings import embed_manifest
from clip_har.models.preprocessing import Preprocessor
from clip_har.training.embedding_cache import EmbeddingCache
from clip_har.training.scores import validation_scores
from tests.adaptation.tiny_study import ARCHITECTURES, Study, tiny_study

NAMES = {"clip": "visual_projection", "siglip": "vision_model.head.mlp.fc2", "vision_text": "visual_projection"}


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def each(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Study]:
    return request.param, tiny_study(tmp_path_factory.mktemp(request.param), request.param)


def test_the_layer_is_found_and_left_as_it_was(each: tuple[str, Study]) -> None:
    architecture, study = each
    encoder = study.load()
    before = encoder.image_encoder_hash()
    assert find_projection(encoder) == NAMES[architecture]
    assert encoder.image_encoder_hash() == before


def test_pooled_features_give_the_embeddings_again(each: tuple[str, Study]) -> None:
    architecture, study = each
    encoder = study.load()
    part = study.manifest.split("validation")
    pooled = embed_pooled(part, encoder, batch_size=5)
    inputs, rest = pooled.of(part.ids)
    assert (rest is not None) == (architecture == "siglip")
    layer = encoder.model.get_submodule(NAMES[architecture])
    features = inputs @ layer.weight.detach().numpy().T + (0 if rest is None else rest)
    features += 0 if layer.bias is None else layer.bias.detach().numpy()
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(features, study.embeddings.of(part.ids), atol=1e-5)


def test_one_pass_gives_the_embeddings_too_to_the_last_bit(each: tuple[str, Study], tmp_path: Path) -> None:
    architecture, study = each
    encoder, cache = study.load(), EmbeddingCache(tmp_path)
    plain = embed_manifest(study.manifest, encoder.encode_images, "", encoder.preprocessing, batch_size=8)
    for _ in range(2):
        embeddings, pooled = embed_with_pooled(study.manifest, encoder, batch_size=8, embedding_cache=cache)
        np.testing.assert_array_equal(embeddings.matrix, plain.matrix)
        assert (pooled.rest is not None) == (architecture == "siglip")
    alone = embed_pooled(study.manifest, encoder, batch_size=8)
    assert alone.content_hash == pooled.content_hash
    assert embed_pooled(study.manifest, encoder, batch_size=8, embedding_cache=cache).content_hash == alone.content_hash
    cache.embed(study.manifest, encoder, batch_size=8)
    assert cache.encoded == len(study.manifest), "all four from one pass"
    pooled.write(tmp_path / "pooled")
    assert PooledFeatures.read(tmp_path / "pooled").content_hash == pooled.content_hash


def test_pooled_features_are_told_apart(study: Study) -> None:
    matrix = study.embeddings
    moved = replace(matrix, matrix=matrix.matrix + 1)
    features = [
        PooledFeatures(matrix),
        PooledFeatures(matrix, matrix),
        PooledFeatures(moved),
        PooledFeatures(matrix, moved),
    ]
    assert len({pooled.content_hash for pooled in features}) == 4


def test_a_fit_takes_its_features_from_the_cache(study: Study, tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    config = ProjectionTuningConfig(training={"max_steps": 3})
    expected = ProjectionTuning(config).fit(study.context(), "projection").validation_logits
    for _ in range(2):
        context = replace(study.context(), embedding_cache=cache)
        np.testing.assert_array_equal(ProjectionTuning(config).fit(context, "projection").validation_logits, expected)
    assert cache.read == cache.encoded == len(context.train) + len(context.validation)


def test_only_the_projection_changes_and_the_scores_are_the_encoders(each: tuple[str, Study]) -> None:
    architecture, study = each
    config = ProjectionTuningConfig(training={"learning_rate": 3e-2, "select_by": "log_loss"}, wise_ft=None)
    adapted = study.fit(config)
    before, after = study.load().model.state_dict(), adapted.encoder.model.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {f"{NAMES[architecture]}.weight"}
    preprocessor = Preprocessor(adapted.encoder.preprocessing)
    pixels = np.stack([preprocessor(preprocessor.decode(path)) for path in study.validation.paths])
    logits = adapted.head.score(adapted.encoder.encode_images(pixels), adapted.class_matrix)
    np.testing.assert_allclose(logits, adapted.validation_logits, atol=1e-4, rtol=1e-4)
    start = validation_scores(study.fit(ZeroShotConfig()).validation_logits, study.validation.label_indices)
    assert validation_scores(adapted.validation_logits, study.validation.label_indices)["log_loss"] < start["log_loss"]


def test_an_encoder_without_a_projection_says_so(study: Study) -> None:
    encoder = study.load()
    encoder.model.visual_projection = torch.nn.Sequential(encoder.model.visual_projection)
    with pytest.raises(ModelError, match=r"has no linear projection at its end.*visual_projection"):
        find_projection(encoder)


def test_a_layer_that_embeddings_are_not_linear_in_is_refused(study: Study) -> None:
    encoder = study.load()
    encoder.model.visual_projection.register_forward_hook(lambda module, given, output: torch.tanh(output))
    with pytest.raises(ModelError, match="not linear in visual_projection"):
        find_projection(encoder)


def test_the_gradient_is_that_of_the_papers_objective(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against central differences of an independent float64 version, away from the start."""
    context, seen = study.context(), {}
    pooled = embed_pooled(study.manifest, context.encoder)
    start = context.encoder.model.visual_projection.weight.detach().numpy().astype(np.float64)
    moved = start + 0.1 * np.random.default_rng(0).normal(size=start.shape)

    def watching(context, config, training, task, **options):
        from clip_har.training.task import TrainingResult

        (weight,) = task.parameters()
        with torch.no_grad():
            weight.copy_(torch.from_numpy(moved))
        loss = task.loss(torch.arange(task.sample_count))
        loss.backward()
        seen.update(loss=loss.item(), gradient=weight.grad.numpy().copy())
        return TrainingResult()

    monkeypatch.setattr("clip_har.adaptation.projection_tuning.fit_task", watching)
    config = ProjectionTuningConfig(penalties=(0.7,), wise_ft=None, prompts="single")
    adapted = ProjectionTuning(config).fit(replace(context, pooled=pooled), "projection")
    inputs, labels = pooled.inputs.of(context.train.ids).astype(np.float64), context.train.label_indices

    def objective(weight: np.ndarray) -> float:
        features = inputs @ weight.T
        features /= np.sqrt((features**2).sum(axis=1, keepdims=True))
        logits = context.encoder.logit_scale * features @ adapted.class_matrix.T.astype(np.float64)
        return validation_scores(logits, labels)["log_loss"] + 0.7 * ((weight - start) ** 2).sum()

    assert seen["loss"] == pytest.approx(objective(moved), rel=1e-5)
    for row, column in [(0, 0), (3, 7), (15, 31), (8, 20)]:
        step = np.zeros_like(moved)
        step[row, column] = 1e-5
        difference = (objective(moved + step) - objective(moved - step)) / 2e-5
        assert seen["gradient"][row, column] == pytest.approx(difference, rel=1e-3, abs=1e-4)


def test_a_penalty_holds_the_projection_near(study: Study) -> None:
    start = study.load().model.visual_projection.weight.detach()

    def distance(penalty) -> float:
        training = {"learning_rate": 1e-2, "select_by": "log_loss", "patience": None, "evaluate_every": 1000}
        config = ProjectionTuningConfig(penalties=(penalty,), wise_ft=None, training=training)
        return float((study.fit(config).encoder.model.visual_projection.weight.detach() - start).norm())

    assert distance(10.0) < 0.5 * distance(0.0)
    assert distance("one_over_shots") < distance(0.0)


def test_the_published_penalty_is_one_over_the_shots(study: Study) -> None:
    config = ProjectionTuningConfig(preset="published", shots=5, training={"epochs": 1})
    adapted = ProjectionTuning(config).adapt(study.context(), "projection")
    assert adapted.history[0]["penalty"] == pytest.approx(1 / 5)


def test_given_features_are_used_and_no_photograph_is_read(study: Study, tmp_path: Path) -> None:
    context = study.context()
    pooled = embed_pooled(study.manifest, context.encoder)
    config = ProjectionTuningConfig(training={"max_steps": 3})
    expected = ProjectionTuning(config).fit(study.context(), "projection").validation_logits
    elsewhere = replace(context, manifest=replace(context.manifest, root=str(tmp_path)), pooled=pooled)
    found = ProjectionTuning(config).fit(elsewhere, "projection").validation_logits
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_no_better_step_leaves_the_encoder_as_it_was(study: Study) -> None:
    adapted = study.fit(ProjectionTuningConfig(training={"learning_rate": 1e3, "max_steps": 2}, penalties=(0.0,)))
    assert adapted.encoder is None
    assert adapted.open_vocabulary.word == "kept"
    zero_shot = ZeroShot(ZeroShotConfig()).fit(study.context(), "zero_shot")
    np.testing.assert_allclose(adapted.validation_logits, zero_shot.validation_logits, atol=1e-4)


def test_wise_ft_keeps_the_best_mixture(study: Study) -> None:
    training = {"learning_rate": 3e-2, "select_by": "log_loss"}
    alphas = (0.25, 0.5, 1.0)
    adapted = study.fit(
        ProjectionTuningConfig(penalties=(0.0,), training=training, wise_ft=WiseFtConfig(alphas=alphas))
    )
    tried = [row for row in adapted.history if "alpha" in row]
    assert [row["alpha"] for row in tried] == list(alphas)
    best = max(tried, key=lambda row: (row["accuracy"], -row["log_loss"]))
    scores = validation_scores(adapted.validation_logits, study.validation.label_indices)
    assert scores == pytest.approx({name: best[name] for name in scores}, abs=1e-5)
    whole = study.fit(ProjectionTuningConfig(penalties=(0.0,), training=training, wise_ft=None))
    weights = [
        encoder.model.visual_projection.weight.detach().numpy()
        for encoder in (study.load(), whole.encoder, adapted.encoder)
    ]
    expected = (1 - best["alpha"]) * weights[0] + best["alpha"] * weights[1]
    np.testing.assert_allclose(weights[2], expected, atol=1e-6)


def test_interpolation_is_linear_and_leaves_counters_alone() -> None:
    generator = np.random.default_rng(0)
    start, end = (generator.normal(size=(3, 4)).astype(np.float32) for _ in range(2))
    original = {"weight": torch.from_numpy(start), "half": torch.tensor([1.0]).half(), "positions": torch.arange(3)}
    tuned = {"weight": torch.from_numpy(end), "half": torch.tensor([2.0]).half(), "positions": torch.arange(3) + 1}
    mixed = interpolate(original, tuned, 0.3)
    np.testing.assert_allclose(mixed["weight"].numpy(), 0.7 * start + 0.3 * end, atol=1e-6)
    assert mixed["half"].dtype == torch.float16
    assert mixed["half"].item() == pytest.approx(1.3, abs=1e-3)
    assert mixed["positions"].tolist() == [1, 2, 3]
    mixed["weight"].zero_()
    assert tuned["weight"].abs().sum() > 0, "a new state"


def test_a_whole_encoder_can_be_interpolated(study: Study) -> None:
    original, tuned = study.load(), study.load()
    with torch.no_grad():
        tuned.model.visual_projection.weight.mul_(-1)
    target = study.load()
    seen = []

    def measure(state: dict[str, torch.Tensor]) -> dict[str, float]:
        target.model.load_state_dict(state)
        seen.append(float((target.model.visual_projection.weight / original.model.visual_projection.weight).mean()))
        return {"accuracy": -abs(seen[-1] - 0.2), "log_loss": 0.0}

    alpha, state, history = choose_alpha(
        original.model.state_dict(), tuned.model.state_dict(), measure, (0.0, 0.4, 1.0)
    )
    assert seen == pytest.approx([1.0, 0.2, -1.0], abs=1e-4)
    assert alpha == 0.4
    assert len(history) == 3
    torch.testing.assert_close(
        state["visual_projection.weight"], 0.2 * original.model.visual_projection.weight.detach()
    )


@pytest.mark.parametrize("wrong", [{"other": torch.ones(2)}, {"weight": torch.ones(3)}])
def test_states_of_different_models_are_refused(wrong: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ModelError, match=r"differ in '(other|weight)'"):
        interpolate({"weight": torch.ones(2)}, wrong, 0.5)
