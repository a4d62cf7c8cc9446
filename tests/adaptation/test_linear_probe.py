"""The probe against scikit-learn's own, tuned on the same features and splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from clip_har.adaptation import parse_method_config
from clip_har.adaptation.base import AdaptationContext
from clip_har.adaptation.linear_probe import LinearProbe, LinearProbeConfig
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.data.sources import build_source
from clip_har.data.sources.csv import CsvSourceConfig
from clip_har.data.splits import SplitConfig, split_manifest
from clip_har.data.validation import ValidationConfig, validate
from clip_har.errors import ConfigError
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.embeddings import EmbeddingSet, embed_manifest
from clip_har.models.head import softmax
from clip_har.models.prompts import PromptConfig
from tests.adaptation.tiny_study import Study

_COUNTS = {"train": 400, "validation": 500, "test": 3000}


def blobs(classes: int, spread: float, encoder: DualEncoder) -> AdaptationContext:
    """Embeddings on the sphere: overlapping clouds, one a class, on which the right L2 strength matters."""
    generator = np.random.default_rng(0)
    labels = tuple(f"class{number}" for number in range(classes))
    number = sum(_COUNTS.values())
    truth = generator.integers(0, classes, number)
    centres = generator.normal(size=(classes, 32))
    points = (centres[truth] + spread * generator.normal(size=(number, 32))).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    splits = np.repeat(list(_COUNTS), list(_COUNTS.values()))
    ids = [f"{row:064x}" for row in range(number)]
    rows = [
        (identity, identity, labels[index], split, identity, 64, 64, "JPEG", "folder", "")
        for identity, index, split in zip(ids, truth, splits, strict=True)
    ]
    manifest = Manifest(pd.DataFrame(rows, columns=list(COLUMNS)), labels, "")
    return AdaptationContext(encoder, manifest, EmbeddingSet(tuple(ids), points, "", ""), PromptConfig())


def accuracies(context: AdaptationContext, *, strengths: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """(ours, scikit-learn's) on validation and test; theirs is tuned over `strengths` on validation."""
    probe = LinearProbe(LinearProbeConfig()).fit(context, "probe").head
    inputs = {split: context.embeddings.of(context.manifest.split(split).ids) for split in _COUNTS}
    labels = {split: context.manifest.split(split).label_indices for split in _COUNTS}
    fitted = [LogisticRegression(C=c, max_iter=5000).fit(inputs["train"], labels["train"]) for c in strengths]
    theirs = max(fitted, key=lambda model: model.score(inputs["validation"], labels["validation"]))
    compared = ("validation", "test")
    ours = {split: float((probe.score(inputs[split]).argmax(1) == labels[split]).mean()) for split in compared}
    return ours, {split: theirs.score(inputs[split], labels[split]) for split in compared}


@pytest.mark.parametrize(("classes", "spread"), [(2, 2.0), (6, 1.5), (6, 4.0)])
def test_within_a_point_of_scikit_learn(classes: int, spread: float, study: Study) -> None:
    ours, theirs = accuracies(blobs(classes, spread, study.load()), strengths=np.logspace(-2, 4, 25))
    assert theirs["test"] < 0.99, "too easy to show anything"
    assert ours["validation"] >= theirs["validation"] - 0.01
    assert ours["test"] >= theirs["test"] - 0.01


@pytest.mark.slow
def test_within_a_point_of_scikit_learn_on_photographs(
    har_folder: Path, har_dual_encoder: Path, tmp_path: Path
) -> None:
    header, *rows = (har_folder / "Training_set.csv").read_text().splitlines()
    (tmp_path / "Training_set.csv").write_text("\n".join([header, *rows[::9]]))
    (tmp_path / "train").symlink_to(har_folder / "train")
    manifest, *_ = validate(build_source(CsvSourceConfig(path=str(tmp_path)), ""), ValidationConfig())
    manifest = split_manifest(manifest, SplitConfig(train=0.4, validation=0.25, calibration=0.05, test=0.3))
    encoder = DualEncoder.load(ModelConfig(backbone=str(har_dual_encoder)))
    embeddings = embed_manifest(manifest, encoder.encode_images, "", encoder.preprocessing)
    context = AdaptationContext(encoder, manifest, embeddings, PromptConfig(), ComputeConfig(device="cpu"))
    ours, theirs = accuracies(context, strengths=np.logspace(-0.5, 3, 10))
    # On the split that both are tuned on: a hundred photographs more or less make a point of noise on another.
    assert ours["validation"] >= theirs["validation"] - 0.01
    assert theirs["validation"] > 0.3


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_gives_the_solvers_probabilities(classes: int, study: Study) -> None:
    context = blobs(classes, 2.0, study.load())
    head = LinearProbe(LinearProbeConfig(inverse_strengths=(3.0,))).fit(context, "probe").head
    inputs = context.embeddings.of(context.train.ids)
    solver = LogisticRegression(C=3.0, tol=1e-8, max_iter=5000).fit(inputs, context.train.label_indices)
    np.testing.assert_allclose(softmax(head.score(inputs)), solver.predict_proba(inputs), atol=2e-3)


def test_the_best_setting_of_the_sweep_is_kept(study: Study) -> None:
    adapted = LinearProbe(LinearProbeConfig()).fit(blobs(6, 2.0, study.load()), "probe")
    best = max(adapted.history, key=lambda row: (row["accuracy"], -row["log_loss"]))
    only = LinearProbeConfig(inverse_strengths=(best["inverse_strength"],))
    alone = LinearProbe(only).fit(blobs(6, 2.0, study.load()), "probe")
    np.testing.assert_allclose(alone.validation_logits, adapted.validation_logits, atol=0.02)


def test_the_sweep_ends_when_the_loss_keeps_growing(study: Study) -> None:
    config = LinearProbeConfig(patience=2, refinements=0)
    rows = LinearProbe(config).fit(blobs(6, 4.0, study.load()), "probe").history
    losses = [row["log_loss"] for row in rows]
    assert 3 <= len(losses) < len(config.inverse_strengths)
    assert losses[-3] < losses[-2] < losses[-1]
    assert not any(a < b < c for a, b, c in zip(losses, losses[1:], losses[2:-1], strict=False))


def test_refinements_halve_the_interval_around_the_best(study: Study) -> None:
    config = LinearProbeConfig(inverse_strengths=(0.01, 1.0, 100.0), refinements=1)
    tried = [row["inverse_strength"] for row in LinearProbe(config).fit(blobs(6, 2.0, study.load()), "probe").history]
    assert tried == sorted(tried)
    added = sorted(set(tried) - {0.01, 1.0, 100.0})
    assert added in ([0.001, 0.1], [0.1, 10.0], [10.0, 1000.0])


def test_unchanged_encoders_keep_the_vocabulary_open(study: Study) -> None:
    adapted = study.fit(LinearProbeConfig())
    assert adapted.encoder is None
    assert adapted.open_vocabulary.word == "kept"
    assert adapted.trained_parameters == 4 * study.embeddings.matrix.shape[1] + 4


def test_balance_weighs_a_photograph_by_its_classs_size(study: Study) -> None:
    context = blobs(3, 2.0, study.load())
    frame, train = context.manifest.frame, context.manifest.frame["split"] == "train"
    kept = frame[~train | (frame["label"] != "class2") | (frame.groupby(["split", "label"]).cumcount() < 20)]
    uneven = replace(context, manifest=replace(context.manifest, frame=kept.reset_index(drop=True)))
    config = LinearProbeConfig(inverse_strengths=(3.0,), balance="loss")
    head = LinearProbe(config).fit(uneven, "probe").head
    inputs, labels = uneven.embeddings.of(uneven.train.ids), uneven.train.label_indices
    counts = np.bincount(labels)
    weights = len(labels) / (3 * counts[labels])
    solver = LogisticRegression(C=3.0, tol=1e-8, max_iter=5000).fit(inputs, labels, sample_weight=weights)
    np.testing.assert_allclose(softmax(head.score(inputs)), solver.predict_proba(inputs), atol=2e-3)
    plain = LinearProbe(config.model_copy(update={"balance": "none"})).fit(uneven, "probe").head
    recalls = [(one.score(inputs).argmax(1) == 2)[labels == 2].mean() for one in (plain, head)]
    assert recalls[1] > recalls[0]


def test_sampling_is_refused_where_nothing_is_drawn() -> None:
    with pytest.raises(
        ConfigError, match=r"balance.*fitted on all photographs at once.*weights do the same here: loss"
    ):
        parse_method_config({"method": "linear_probe", "balance": "sampling"})


def test_progress_counts_settings(study: Study) -> None:
    seen = []
    context = replace(
        blobs(2, 2.0, study.load()), progress=lambda done, total, note: seen.append((done, total, note.split("=")[0]))
    )
    LinearProbe(LinearProbeConfig(inverse_strengths=(1.0, 10.0), refinements=0)).fit(context, "probe")
    assert seen == [(1, 2, "C"), (2, 2, "C")]
