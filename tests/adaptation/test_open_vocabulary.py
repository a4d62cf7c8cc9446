"""Base and novel classes: what is held out, what is measured, and which word follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clip_har.adaptation import METHODS
from clip_har.adaptation.base import AdaptationContext, AdaptedModel
from clip_har.adaptation.open_vocabulary import (
    OpenVocabularyConfig,
    harmonic_mean,
    hold_out,
    judge,
    measure_open_vocabulary,
    novel_labels,
    restricted,
)
from clip_har.adaptation.zero_shot import ZeroShot, ZeroShotConfig
from clip_har.component import validated
from clip_har.errors import ConfigError, DataError
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.embeddings import EmbeddingSet, preprocessing_hash
from clip_har.models.prompts import PromptConfig
from clip_har.training.embedding_cache import EmbeddingCache
from tests.adaptation.clouds import clouds
from tests.adaptation.tiny_study import LABELS, PROMPTS, Study

NOVEL = ("running", "sleeping")
BASE = ("dancing", "sitting")
CONFIG = OpenVocabularyConfig(novel_classes=NOVEL)


def keyed(context: AdaptationContext) -> AdaptationContext:
    """With embeddings that say they are of the context's encoder."""
    made, encoder = context.embeddings, context.encoder
    key = encoder.image_encoder_hash(), preprocessing_hash(encoder.preprocessing)
    return replace(context, embeddings=EmbeddingSet(made.ids, made.matrix, *key))


@pytest.mark.parametrize(("base", "novel"), [(0.8, 0.5), (0.3, 0.9), (1.0, 0.0)])
def test_the_harmonic_mean_is_the_inverse_of_the_mean_inverse(base: float, novel: float) -> None:
    with np.errstate(divide="ignore"):
        assert harmonic_mean(base, novel) == pytest.approx(1 / np.mean(1 / np.array([base, novel])))


def test_the_harmonic_mean_of_nothing_is_nothing() -> None:
    assert harmonic_mean(0.0, 0.0) == 0.0


def test_a_number_of_classes_is_drawn_by_the_seed() -> None:
    labels = tuple(f"class{number}" for number in range(10))
    drawn = {seed: novel_labels(labels, 3, seed) for seed in range(4)}
    assert all(len(set(chosen)) == 3 for chosen in drawn.values())
    assert len(set(drawn.values())) > 1
    assert novel_labels(labels, 3, 2) == drawn[2]


@pytest.mark.parametrize("wrong", [("running",), 0, 3, ("running", "sleeping", "sitting")])
def test_both_sides_need_two_classes(wrong) -> None:
    with pytest.raises(ConfigError, match="at least two classes must be held out and two must remain"):
        novel_labels(LABELS, wrong, seed=0)


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(ConfigError, match=r"novel_classes: unknown label 'runing'\. Did you mean 'running'\?"):
        novel_labels(LABELS, ("runing", "sleeping"), seed=0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (1, "at least two classes must be held out, got 1"),
        (-1, "at least two classes must be held out, got -1"),
        (["running"], r"at least two classes must be held out, got \['running'\]"),
        (["running", "sleeping", "running"], "'running' is listed twice"),
        ("running", "a list of classes, or a number of them, is wanted, got 'running'"),
        ([1, 2], "a list of classes, or a number of them, is wanted"),
        ([{"a": 1}, {"a": 1}], "a list of classes, or a number of them, is wanted"),
        (True, "a list of classes, or a number of them, is wanted"),
        (2.5, "a list of classes, or a number of them, is wanted"),
    ],
)
def test_what_can_be_no_choice_is_refused_before_the_data_are_known(wrong, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^novel_classes: {words}"):
        validated(OpenVocabularyConfig, {"novel_classes": wrong})


@pytest.mark.parametrize("kind", ["novel", "other"])
def test_both_kinds_need_photographs_in_the_split(kind: str, study: Study) -> None:
    chosen = NOVEL if kind == "novel" else BASE
    frame = study.manifest.frame
    without = replace(study.manifest, frame=frame[~((frame["split"] == "test") & frame["label"].isin(chosen))])
    with pytest.raises(DataError, match=f"the test split has no photograph of the {kind} classes"):
        hold_out(without, CONFIG, seed=0)
    assert hold_out(without, CONFIG.model_copy(update={"split": "validation"}), seed=0) == NOVEL


def test_the_method_never_sees_the_novel_classes(study: Study) -> None:
    seen = []

    class Watching(ZeroShot):
        def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
            seen.append(context)
            return super().fit(context, name)

    context = keyed(clouds(study.load()))
    prompts = PromptConfig(**PROMPTS.model_dump() | {"class_names": {"running": ("jogging",), "sitting": ("sat",)}})
    measure_open_vocabulary(Watching(ZeroShotConfig()), replace(context, prompts=prompts), CONFIG, "watching")
    assert seen[0].manifest.labels == BASE
    assert set(seen[0].manifest.frame["label"]) == set(BASE)
    assert set(seen[0].prompts.class_names) == {"sitting"}


def test_figures_are_among_the_own_classes(study: Study) -> None:
    context = keyed(clouds(study.load(), spread=1.5))
    report = measure_open_vocabulary(ZeroShot(ZeroShotConfig()), context, CONFIG, "zero_shot")
    test = context.manifest.split("test")
    matrix = context.encoder.class_matrix(PROMPTS.texts(LABELS, "ensemble"))
    cosines, truth = context.embeddings.of(test.ids) @ matrix.T, test.label_indices
    for labels, found in ((BASE, report.adapted.base), (NOVEL, report.adapted.novel)):
        columns = [LABELS.index(label) for label in labels]
        rows = np.isin(truth, columns)
        guessed = np.array(columns)[cosines[rows][:, columns].argmax(axis=1)]
        assert found == pytest.approx((guessed == truth[rows]).mean())
    assert report.adapted == report.zero_shot
    assert (report.word, report.base_classes, report.novel_classes) == ("kept", BASE, NOVEL)
    assert report.base_samples + report.novel_samples == len(test)


def test_the_bundles_word_carries_the_figures(study: Study) -> None:
    report = measure_open_vocabulary(ZeroShot(ZeroShotConfig()), keyed(clouds(study.load())), CONFIG, "zero_shot")
    verdict = report.verdict()
    assert verdict.word == report.word
    assert verdict.novel_classes == NOVEL
    assert (verdict.base_accuracy, verdict.novel_accuracy) == (report.adapted.base, report.adapted.novel)
    assert verdict.harmonic_mean == pytest.approx(harmonic_mean(report.adapted.base, report.adapted.novel))
    assert verdict.zero_shot_novel_accuracy == report.zero_shot.novel
    assert "running, sleeping" in verdict.basis
    assert (verdict.split, verdict.base_samples, verdict.novel_samples) == (
        "test",
        report.base_samples,
        report.novel_samples,
    )
    assert verdict.measured
    assert not OpenVocabulary(word="kept", basis="nothing was adapted").measured


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_changed_encoder_is_measured_with_its_own_embeddings(split: str, study: Study, tmp_path: Path) -> None:
    """An encoder ruined by its method: novel classes fall to chance, which is what `lost` says."""

    class Ruinous(ZeroShot):
        def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
            adapted = super().fit(context, name)
            with torch.no_grad():
                context.encoder.model.visual_projection.weight.neg_()
            return replace(adapted, encoder=context.encoder)

    report = measure_open_vocabulary(Ruinous(ZeroShotConfig()), study.context(), CONFIG, "ruinous", split)
    assert report.adapted.novel == pytest.approx(1 - report.zero_shot.novel)
    assert report.adapted.base == pytest.approx(1 - report.zero_shot.base)
    assert report.zero_shot.novel > 0.7
    assert report.word == report.verdict().word == "lost"
    cache = EmbeddingCache(tmp_path)
    for _ in range(2):
        context = replace(study.context(), embedding_cache=cache)
        assert measure_open_vocabulary(Ruinous(ZeroShotConfig()), context, CONFIG, "ruinous", split) == report
    assert cache.read == cache.encoded == len(context.manifest.split(split))


@pytest.mark.parametrize(
    ("novel", "word"), [(0.90, "kept"), (0.79, "kept"), (0.75, "degraded"), (0.60, "degraded"), (0.49, "lost")]
)
def test_the_word_follows_from_the_distance_to_zero_shot(novel: float, word: str) -> None:
    assert judge(novel, zero_shot=0.80, classes=5, config=CONFIG) == word


@pytest.mark.parametrize("name", [name for name in METHODS if name != "lora"])
def test_every_method_can_be_measured(name: str, study: Study) -> None:
    method = METHODS.get(name)
    settings = {"training": {"max_steps": 2}} if "training" in method.Config.model_fields else {}
    report = measure_open_vocabulary(method(method.Config(**settings)), study.context(), CONFIG, name)
    assert 0 <= report.adapted.harmonic_mean <= 1
    if name not in ("projection_tuning", "full_fine_tuning"):
        assert report.adapted.novel == report.zero_shot.novel, "the encoders are unchanged"


def test_a_restricted_context_leaves_the_other_classes_rows_out(study: Study) -> None:
    whole = replace(study.context(), key="of the fit on all classes")
    context = restricted(whole, BASE)
    assert set(context.train.frame["label"]) == set(context.validation.frame["label"]) == set(BASE)
    assert context.train.label_indices.max() == 1
    others = restricted(whole, NOVEL)
    assert len({whole.key, context.key, others.key}) == 3, "a fit on other classes goes on from no other's checkpoint"
    assert restricted(study.context(), BASE).key == ""
