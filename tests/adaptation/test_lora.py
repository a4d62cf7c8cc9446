"""LoRA for three architectures: what it changes, what it leaves alone, and that merging changes no number."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import peft
import pytest
import torch

from clip_har.adaptation import METHODS
from clip_har.adaptation.lora import Lora, LoraConfig, find_targets
from clip_har.data.augmentation import AugmentationConfig
from clip_har.data.image import ImageLimits
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.errors import ImageError, ModelError
from clip_har.hashing import sha256_folder
from clip_har.models.bundle import ModelBundle
from clip_har.models.dual_encoder import DualEncoder
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
    for before, after in zip(probes(study.load()), probes(adapted.encoder), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-5)


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
    from clip_har.adaptation.lora import _LoraTask

    config = LoraConfig(augmentation="none")
    task = _LoraTask(study.context(), config, adapts_image=True, adapts_text=False)
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
