"""LoRA for three architectures: what it changes, what it leaves alone, and that merging changes no number."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import peft
import pytest
import torch

from clip_har.adaptation import METHODS
from clip_har.adaptation.base import AdaptationContext
from clip_har.adaptation.embedding_task import balanced_weights
from clip_har.adaptation.lora import Lora, LoraConfig, _build, build_task, find_targets
from clip_har.adaptation.wise_ft import WiseFtConfig
from clip_har.data.augmentation import AugmentationConfig
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.errors import ImageError, ModelError
from clip_har.hashing import sha256_folder
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.bundle import ModelBundle
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.embeddings import embed_manifest
from clip_har.models.head import TextHead, softmax
from clip_har.models.preprocessing import Preprocessor
from clip_har.training.scores import validation_scores
from clip_har.training.trainer import TrainerConfig
from tests.adaptation.tiny_study import ARCHITECTURES, LABELS, PROMPTS, Study, tiny_study

# Strong enough that something is learned in a few steps; a CPU's own arithmetic, so that merging is all that differs.
STRONG = LoraConfig(
    rank=4,
    alpha=8.0,
    dropout=0.1,
    augmentation=AugmentationConfig(crop_scale=(0.9, 1.0)),
    training=TrainerConfig(epochs=4, learning_rate=1e-2, batch_size=16, precision="fp32", select_by="log_loss"),
)
WISE = WiseFtConfig(alphas=(0.4, 0.7))


@dataclass
class Fitted:
    """A fit, with the model as it was before the updates were merged."""

    study: Study
    result: DualEncoder
    logits: np.ndarray
    remarks: list[str]
    history: list[dict[str, float]]
    trainable: dict[str, int]
    trained_parameters: int
    unmerged: tuple[np.ndarray, np.ndarray]


def probes(encoder: DualEncoder) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of fixed random pictures and of the classes' texts."""
    pixels = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)
    return encoder.encode_images(pixels), encoder.class_matrix(PROMPTS.texts(LABELS, "ensemble"))


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    study = tiny_study(tmp_path_factory.mktemp(request.param), request.param)
    context = study.context()
    seen = {}

    def spied(model: torch.nn.Module, *arguments, **options):
        wrapped = get_peft_model(model, *arguments, **options)
        merge = wrapped.merge_and_unload
        parameters = wrapped.named_parameters()
        seen["trainable"] = {name: weights.numel() for name, weights in parameters if weights.requires_grad}

        def merge_and_unload(*more, **others):
            seen["unmerged"] = probes(context.encoder)
            return merge(*more, **others)

        wrapped.merge_and_unload = merge_and_unload
        return wrapped

    get_peft_model = peft.get_peft_model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peft, "get_peft_model", spied)
        adapted = Lora(STRONG).fit(context, "lora")
    return Fitted(
        study=study,
        result=adapted.encoder,
        logits=adapted.validation_logits,
        remarks=adapted.remarks,
        history=adapted.history,
        trained_parameters=adapted.trained_parameters,
        **seen,
    )


def test_merging_changes_no_embedding(fitted: Fitted) -> None:
    for before, after in zip(fitted.unmerged, probes(fitted.result), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-5)


@dataclass(frozen=True)
class Photographs:
    """Pictures as an encoder takes them, and the texts of the classes."""

    encoder: DualEncoder
    context: AdaptationContext

    def probabilities(self) -> np.ndarray:
        preprocessor = Preprocessor(self.encoder.preprocessing)
        pixels = np.stack([preprocessor(preprocessor.decode(path)) for path in self.context.manifest.paths])
        class_matrix = self.encoder.class_matrix(self.context.texts("ensemble"))
        head = TextHead(self.encoder.logit_scale, self.encoder.logit_bias)
        return softmax(head.score(self.encoder.encode_images(pixels), class_matrix))


@pytest.fixture(params=["har_dual_encoder", "tiny-clip"])
def real(request: pytest.FixtureRequest) -> Photographs:
    """A real backbone and a few photographs of it: HAR's, or drawn ones for the one that comes with the package."""
    if request.param == "tiny-clip":
        backbone, manifest = request.param, request.getfixturevalue("study").manifest
    else:
        backbone, folder = str(request.getfixturevalue(request.param)), request.getfixturevalue("har_folder")
        rows = [line.split(",")[:2] for line in (folder / "Training_set.csv").read_text().splitlines()[1:17]]
        labels = tuple(sorted({label for _, label in rows}))
        named = [
            (name, f"train/{name}", label, ("train", "validation")[number % 2], name, 240, 160, "JPEG", "csv", "")
            for number, (name, label) in enumerate(rows)
        ]
        manifest = Manifest(pd.DataFrame(named, columns=list(COLUMNS)), labels, str(folder))
    encoder = DualEncoder.load(ModelConfig(backbone=backbone))
    few = replace(manifest, frame=manifest.frame.iloc[:: max(1, len(manifest) // 16)].reset_index(drop=True))
    embeddings = embed_manifest(few, encoder.encode_images, "", encoder.preprocessing)
    return Photographs(encoder, AdaptationContext(encoder, few, embeddings, PROMPTS, ComputeConfig(device="cpu")))


def test_merging_changes_no_probability_of_a_real_backbone(real: Photographs) -> None:
    before = real.probabilities()
    task, wrapped = _build(real.context, LoraConfig(rank=8, alpha=8.0))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weights in real.encoder.model.named_parameters():
            if "lora_B" in name:  # as large as the other factor, so that much is added
                weights.copy_(0.05 * torch.randn(weights.shape, generator=generator))
    task.train_mode(False)
    unmerged = real.probabilities()
    real.encoder.model = wrapped.merge_and_unload().eval()
    assert np.abs(unmerged - before).max() > 0.01, "the updates change something"
    np.testing.assert_allclose(real.probabilities(), unmerged, atol=1e-5, rtol=0)


def test_wise_ft_mixes_the_merged_weights(study: Study) -> None:
    tuned, mixed = (study.fit(STRONG.model_copy(update={"wise_ft": wise})) for wise in (None, WISE))
    assert mixed.history[: len(tuned.history)] == tuned.history
    tried = mixed.history[len(tuned.history) :]
    assert [row["alpha"] for row in tried] == [0.4, 0.7]
    best = max(tried, key=lambda row: (row["accuracy"], -row["log_loss"]))
    scores = validation_scores(mixed.validation_logits, study.validation.label_indices)
    assert scores == pytest.approx({name: best[name] for name in scores}, abs=1e-4)
    assert f"WiSE-FT: {best['alpha']:g} of the tuned weights" in " ".join(mixed.remarks)
    states = [encoder.model.state_dict() for encoder in (study.load(), tuned.encoder, mixed.encoder)]
    for name in states[0]:
        start, end, found = (state[name].numpy() for state in states)
        expected = (1 - best["alpha"]) * start + best["alpha"] * end
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=name)


def test_rare_classes_weigh_more(study: Study) -> None:
    """The loss on a batch of one class is the plain one times that class's weight."""
    frame = study.manifest.frame
    rank = frame.groupby(["split", "label"]).cumcount()
    kept = frame[(frame["split"] != "train") | (frame["label"] == LABELS[0]) | (rank < 4)].reset_index(drop=True)
    uneven = replace(study, manifest=replace(study.manifest, frame=kept))
    plain, weighed = (
        build_task(uneven.context(), LoraConfig(balance=balance, augmentation="none")) for balance in ("none", "loss")
    )
    weights = balanced_weights(uneven.context().train.label_indices, len(LABELS))
    for order in (np.arange(3), np.arange(13, 16)):
        (batch,) = plain.batches(order, 0, 3)
        expected = float(plain.loss(batch).detach()) * weights[order[0]]
        assert float(weighed.loss(batch).detach()) == pytest.approx(expected, rel=1e-5)
    sampled = build_task(uneven.context(), LoraConfig(balance="sampling"))
    labels = torch.cat([labels for labels, _ in sampled.batches(sampled.order(0, np.arange(24)), 0, 8)])
    assert np.bincount(labels.numpy()).tolist() == [6] * 4


def test_the_published_recipe_is_clip_loras() -> None:
    config = LoraConfig(preset="published")
    assert (config.rank, config.alpha, config.dropout, config.towers) == (2, 1.0, 0.25, ("image", "text"))
    training = config.training
    assert (training.learning_rate, training.batch_size, training.max_steps) == (2e-4, 32, 500 * 16)


def test_something_was_learned(fitted: Fitted) -> None:
    start, best = fitted.history[0], min(fitted.history, key=lambda row: row["log_loss"])
    assert best["step"] > 0
    assert best["log_loss"] < start["log_loss"]
    scores = validation_scores(fitted.logits, fitted.study.validation.label_indices)
    assert scores == pytest.approx({name: best[name] for name in scores}, abs=1e-5), "the best state is what was kept"
    changed = [
        np.abs(after - before).max()
        for before, after in zip(probes(fitted.study.load()), probes(fitted.result), strict=True)
    ]
    assert changed[1] > 1e-3, "the text encoder"
    assert (changed[0] > 1e-3) == (not fitted.remarks), "the image encoder, where it has targets"


def test_only_the_updates_are_trained(fitted: Fitted) -> None:
    assert fitted.trainable
    assert all("lora_" in name for name in fitted.trainable)
    assert fitted.trained_parameters == sum(fitted.trainable.values())
    before, after = fitted.study.load().model.state_dict(), fitted.result.model.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    targets = find_targets(fitted.study.load().model, ("image", "text"))
    assert changed == {f"{target}.weight" for found in targets.values() for target in found}


def test_a_tower_without_targets_says_so(fitted: Fitted) -> None:
    targets = find_targets(fitted.study.load().model, ("image", "text"))
    convolutional = fitted.study.load().model_type == "vision-text-dual-encoder"
    # query, key and value of two layers
    assert {tower: len(names) for tower, names in targets.items()} == {"image": 0 if convolutional else 6, "text": 6}
    assert all("vision_model" in name for name in targets["image"])
    assert all("text_model" in name for name in targets["text"])
    assert len(fitted.remarks) == (1 if convolutional else 0)
    assert all("image encoder" in remark for remark in fitted.remarks)


def test_the_backbones_folder_is_left_alone(fitted: Fitted, tmp_path: Path) -> None:
    folder = Path(fitted.study.model.backbone)
    before = sha256_folder(folder)
    adapted = fitted.study.fit(LoraConfig(training=TrainerConfig(max_steps=1)))
    assert isinstance(fitted.study.assemble(tmp_path / "bundle", adapted), ModelBundle)
    assert sha256_folder(folder) == before


@pytest.mark.parametrize("tower", ["image", "text"])
def test_one_tower_alone(tower: str, study: Study) -> None:
    result = study.fit(STRONG.model_copy(update={"towers": (tower,)})).encoder
    backbone = study.load()
    assert (result.image_encoder_hash() == backbone.image_encoder_hash()) == (tower == "text")
    assert (result.text_encoder_hash() == backbone.text_encoder_hash()) == (tower == "image")


@pytest.mark.parametrize("fitted", ["vision_text"], indirect=True)
def test_no_tower_with_targets_is_an_error_that_names_the_candidate(fitted: Fitted) -> None:
    with pytest.raises(ModelError, match=r"adaptation\.lora: neither encoder of .*backbone.*attention"):
        fitted.study.fit(LoraConfig(towers=("image",)))


def test_no_better_step_leaves_the_encoders_as_they_were(study: Study) -> None:
    ruinous = TrainerConfig(epochs=1, learning_rate=10.0, batch_size=48)
    adapted = study.fit(LoraConfig(alpha=100.0, training=ruinous))
    assert any("No step improved" in remark for remark in adapted.remarks)
    assert (adapted.encoder, adapted.open_vocabulary.word) == (None, "kept")
    zero_shot = study.fit(METHODS.get("zero_shot").Config(prompts="single"))
    np.testing.assert_allclose(adapted.validation_logits, zero_shot.validation_logits, atol=1e-4)


def test_an_ensemble_is_trained_as_it_is_scored(study: Study) -> None:
    adapted = study.fit(STRONG.model_copy(update={"prompts": "ensemble"}))
    zero_shot = study.fit(METHODS.get("zero_shot").Config(prompts="ensemble"))
    labels = study.validation.label_indices
    start = {name: adapted.history[0][name] for name in ("accuracy", "log_loss")}
    assert validation_scores(zero_shot.validation_logits, labels) == pytest.approx(start, abs=1e-5)
    best = min(adapted.history, key=lambda row: row["log_loss"])
    end = {name: best[name] for name in start}
    assert best["step"] > 0
    assert validation_scores(adapted.validation_logits, labels) == pytest.approx(end, abs=1e-5)


def test_adapted_encoders_are_not_said_to_have_kept_the_vocabulary(study: Study) -> None:
    promise = study.fit(LoraConfig(training=TrainerConfig(max_steps=1))).open_vocabulary
    assert promise.word == "degraded"
    assert "no held-out classes were measured" in promise.basis


def test_only_linear_layers_are_targets() -> None:
    def tower() -> torch.nn.ModuleDict:
        layers = {"query": torch.nn.Linear(2, 2), "key": torch.nn.Conv2d(2, 2, 1), "dense": torch.nn.Linear(2, 2)}
        return torch.nn.ModuleDict(layers)

    towers = {name: tower() for name in ("vision_model", "text_model", "other")}
    found = find_targets(torch.nn.ModuleDict(towers), ("image", "text"))
    assert found == {"image": ["vision_model.query"], "text": ["text_model.query"]}


def test_pefts_warning_is_silenced(study: Study) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        study.fit(LoraConfig(training=TrainerConfig(max_steps=1)))
    assert not [str(warning.message) for warning in seen if "is_gradient_checkpointing" in str(warning.message)]


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_as_on_the_cpu(study: Study) -> None:
    from dataclasses import replace

    from clip_har.adaptation.lora import Lora

    config = STRONG.model_copy(update={"dropout": 0.0})
    context = replace(study.context(), encoder=study.load().to("cuda"))
    there, here = Lora(config).fit(context, "lora"), study.fit(config)
    np.testing.assert_allclose(there.validation_logits, here.validation_logits, atol=0.1)


def test_the_limits_of_the_run_are_kept_to(study: Study) -> None:
    """A picture that validation let through under wider limits must not be refused here, and the other way about."""
    config = LoraConfig(training=TrainerConfig(max_steps=1))
    context = replace(study.context(), limits=ImageLimits(max_pixels=1000))
    with pytest.raises(ImageError, match="at most 1,000 are allowed"):
        Lora(config).fit(context, "lora")


def test_a_policys_name_is_a_config(study: Study) -> None:
    config = LoraConfig.model_validate(
        {"augmentation": {"policy": "strong", "mixup": 0.3, "cutmix": 0.5}, "training": {"max_steps": 3}}
    )
    adapted = study.fit(config)
    assert adapted.augmentation == config.augmentation.model_dump(mode="json")
    assert np.isfinite([row["loss"] for row in adapted.history[1:]]).all()
    assert LoraConfig(augmentation="medium").augmentation == AugmentationConfig(policy="medium")
    for nothing in (None, "none"):
        assert study.fit(LoraConfig(augmentation=nothing, training={"max_steps": 1})).augmentation is None
    untouched = study.fit(LoraConfig(towers=("text",), training={"max_steps": 1}))
    assert untouched.augmentation is None, "the pictures' embeddings are read from the cache"


def test_soft_labels_are_the_mean_of_two_losses(study: Study) -> None:
    task = build_task(study.context(), LoraConfig(augmentation="none"))
    (labels, pixels), *_ = task.batches(np.arange(8), 0, 8)
    other = labels.flip(0)
    shares = torch.nn.functional.one_hot(labels, 4) * 0.3 + torch.nn.functional.one_hot(other, 4) * 0.7
    one, two = (float(task.loss((target, pixels)).detach()) for target in (labels, other))
    assert float(task.loss((shares.float(), pixels)).detach()) == pytest.approx(0.3 * one + 0.7 * two, abs=1e-4)


def test_the_pixel_cache_changes_no_number(study: Study, tmp_path: Path) -> None:
    config = LoraConfig(training=TrainerConfig(epochs=2, batch_size=24, learning_rate=1e-2), augmentation="none")
    plain = Lora(config).fit(study.context(), "lora")
    cache = PixelCache(tmp_path / "pixels", PixelCacheConfig(enabled="always"))
    for _ in range(2):
        cached = Lora(config).fit(replace(study.context(), cache=cache), "lora")
        assert cached.history == plain.history
        np.testing.assert_array_equal(cached.validation_logits, plain.validation_logits)
    assert cache.bytes() > 0
