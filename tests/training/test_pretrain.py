"""Pretraining as a whole, on pictures of coloured shapes: it learns, repeats itself, continues, and refuses in words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file

from clip_har.component import validated
from clip_har.data.pairs import ImageTextPairs
from clip_har.data.pairs.table import read_pairs
from clip_har.errors import ConfigError, DataError, ModelError, TrainingError
from clip_har.hashing import sha256_folder
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.dual_encoder import DualEncoder
from clip_har.training.contrastive import ContrastiveTask
from clip_har.training.pretrain import PretrainedBackbone, PretrainingConfig, pretrain
from clip_har.training.trainer import Trainer, TrainerConfig
from tests.tiny_models import tiny_clip

COLOURS = {"red": (220, 40, 30), "green": (40, 180, 60), "blue": (40, 60, 220), "yellow": (230, 210, 40)}
SHAPES = ("circle", "square", "triangle")
BATCH = 24
SETTINGS = {
    "architecture": {
        "image_size": 32,
        "patch_size": 8,
        "image": {"width": 32, "layers": 2, "heads": 2},
        "text": {"width": 32, "layers": 1, "heads": 2},
        "dimensions": 16,
    },
    "augmentation": {"crop_scale": [0.8, 1.0]},
    "training": {
        "optimiser": "muon",
        "epochs": 8,
        "batch_size": BATCH,
        "learning_rate": 5e-3,
        "patience": None,
        "precision": "fp32",
    },
    "validation": 48,
}


def draw(folder: Path, number: int, colour: str, shape: str, generator: np.random.Generator) -> None:
    image = Image.fromarray(generator.integers(90, 160, (40, 48, 3), dtype=np.uint8))
    pen, left, top = ImageDraw.Draw(image), int(generator.integers(4, 14)), int(generator.integers(2, 10))
    box, tint = (left, top, left + 26, top + 26), COLOURS[colour]
    if shape == "circle":
        pen.ellipse(box, tint)
    elif shape == "square":
        pen.rectangle(box, tint)
    else:
        pen.polygon([(left, top + 26), (left + 13, top), (left + 26, top + 26)], tint)
    image.save(folder / f"{number:03d}.png")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> ImageTextPairs:
    folder = tmp_path_factory.mktemp("shapes")
    generator = np.random.default_rng(0)
    rows = ["image,caption"]
    for number in range(480):
        colour, shape = list(COLOURS)[number % 4], SHAPES[number // 4 % 3]
        draw(folder, number, colour, shape, generator)
        rows += [f"{number:03d}.png,{text}" for text in (f"a {colour} {shape}", f"this shows a {shape} in {colour}")]
    (folder / "pairs.csv").write_text("\n".join(rows))
    return read_pairs(folder / "pairs.csv", "image", "caption")


def run(pairs: ImageTextPairs, folder: Path, seed: int = 0, **changes) -> PretrainedBackbone:
    config = validated(PretrainingConfig, SETTINGS | changes)
    return pretrain(config, pairs, folder, compute=ComputeConfig(device="cpu"), seed=seed)


@pytest.fixture(scope="module")
def learned(pairs: ImageTextPairs, tmp_path_factory: pytest.TempPathFactory) -> PretrainedBackbone:
    return run(pairs, tmp_path_factory.mktemp("learned"))


def test_it_learns(learned):
    first, last = learned.history[0], learned.history[-1]
    assert first["accuracy"] < 0.3  # two of 24 say the same: guessing finds one in twelve
    assert max(row["accuracy"] for row in learned.history) > 0.6
    assert last["log_loss"] < first["log_loss"] - 0.5
    assert last["loss"] < learned.history[1]["loss"] - 0.5


def test_it_knows_unseen_pictures_by_words(learned, tmp_path):
    from transformers import pipeline

    generator = np.random.default_rng(9)
    classify = pipeline("zero-shot-image-classification", model=str(learned.path), device="cpu")
    right = 0
    for number in range(12):
        colour, shape = list(COLOURS)[number % 4], SHAPES[number // 4]
        draw(tmp_path, number, colour, shape, generator)
        said = classify(
            Image.open(tmp_path / f"{number:03d}.png"),
            candidate_labels=list(COLOURS),
            hypothesis_template=f"a {{}} {shape}",
        )
        right += said[0]["label"] == colour
    assert right >= 9  # of 12, where guessing gives three


def test_the_same_again_gives_the_same_bytes(pairs, tmp_path):
    short = {"training": SETTINGS["training"] | {"epochs": 2}, "patch_dropout": 0.5}
    first, again, other = (run(pairs, tmp_path / name, seed, **short) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert first.history == again.history
    assert sha256_folder(first.path) == sha256_folder(again.path)
    assert sha256_folder(first.path) != sha256_folder(other.path)


@pytest.mark.slow
@pytest.mark.thorough
def test_two_processes_make_the_same_backbone(pairs, tmp_path):
    """The batch is the same whatever the number of processes: so is the loss, which meets all of it."""
    short = SETTINGS["training"] | {"max_steps": 20, "evaluate_every": 1, "optimiser": "adamw"}
    fewer = pairs.take(list(range(120)))
    made = [
        run(fewer, tmp_path / name, training=short | {"distributed": {"mode": name}}, patch_dropout=0.0)
        for name in ("single", "ddp")
    ]
    losses = [[row["loss"] for row in one.history if "loss" in row] for one in made]
    assert len(losses[0]) == 20
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert made[1].history[-1]["accuracy"] == pytest.approx(made[0].history[-1]["accuracy"], abs=0.005)
    encoders = [DualEncoder.load(ModelConfig(backbone=str(one.path))) for one in made]
    for name, tensor in encoders[0].model.state_dict().items():
        torch.testing.assert_close(encoders[1].model.state_dict()[name], tensor, atol=3e-3, rtol=0)


def test_it_goes_on_where_it_was_cut_off(pairs, tmp_path, monkeypatch):
    training = SETTINGS["training"] | {"epochs": 2, "checkpoint": {"every_steps": 2}}
    fewer = pairs.take(list(range(120)))

    def made(name: str) -> PretrainedBackbone:
        config = validated(PretrainingConfig, SETTINGS | {"training": training})
        options = {"compute": ComputeConfig(device="cpu"), "seed": 0, "key": "k", "workspace": tmp_path / name}
        return pretrain(config, fewer, tmp_path / "made" / name, **options)

    whole = made("whole")
    loss, steps = ContrastiveTask.loss, []

    def burn(self, batch):
        steps.append(1)
        if len(steps) == 6:
            raise RuntimeError("the disk burnt")
        return loss(self, batch)

    monkeypatch.setattr(ContrastiveTask, "loss", burn)
    with pytest.raises(RuntimeError, match="burnt"):
        made("cut")
    steps.clear()
    steps.extend([1] * 10)
    resumed = made("cut")
    assert len(steps) == 10 + whole.facts["steps"] - 4, "it went on after the fourth step"
    assert resumed.history == whole.history
    assert sha256_folder(resumed.path) == sha256_folder(whole.path)


def test_weights_are_stored_in_half_and_load_in_full(learned, pairs, tmp_path):
    from transformers import AutoModel

    stored = load_file(learned.path / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values() if tensor.ndim} == {torch.float16}
    assert AutoModel.from_pretrained(learned.path).dtype == torch.float32
    full = run(pairs, tmp_path, half_precision=False, training=SETTINGS["training"] | {"max_steps": 1})
    assert {tensor.dtype for tensor in load_file(full.path / "model.safetensors").values()} == {torch.float32}


def test_what_is_written_is_read_and_names_no_folder_of_the_machine(learned, pairs):
    assert PretrainedBackbone.read(learned.path) == learned
    assert learned.facts["trained_on"] == 432
    assert learned.facts["validated_on"] == 48
    for file in learned.path.glob("*.json"):
        assert str(pairs.root.parent) not in file.read_text(encoding="utf-8")


def test_it_goes_on_from_another_backbone_with_its_vocabulary(pairs, tmp_path):
    start = tiny_clip(tmp_path / "start")
    training = SETTINGS["training"] | {"epochs": 2, "learning_rate": 1e-3, "optimiser": "adamw"}
    made = run(pairs, tmp_path / "made", backbone=str(start), training=training)
    assert made.facts["continued_from"] == str(start)
    assert (made.path / "tokenizer.json").read_text() == (start / "tokenizer.json").read_text()
    before, after = (DualEncoder.load(ModelConfig(backbone=str(path))) for path in (start, made.path))
    assert after.preprocessing == before.preprocessing
    assert after.image_encoder_hash() != before.image_encoder_hash()
    assert max(row["log_loss"] for row in made.history) == made.history[0]["log_loss"]


def test_broken_pictures_are_left_out_up_to_a_share(pairs, tmp_path):
    folder = tmp_path / "spoilt"
    folder.mkdir()
    for path in pairs.paths[:100]:
        (folder / path.name).write_bytes(path.read_bytes())
    for number in range(4):
        (folder / f"{number:03d}.png").write_text("no picture")
    spoilt = ImageTextPairs(pairs.uris[:100], pairs.captions[:100], folder)
    short = {"training": SETTINGS["training"] | {"max_steps": 1}}
    assert run(spoilt, tmp_path / "a", **short).facts["rejected"] == {"not_an_image": 4}
    with pytest.raises(DataError, match=r"4 of 100 pictures.*4 not_an_image.*3%.*000.png"):
        run(spoilt, tmp_path / "b", unusable=0.03, **short)
    with pytest.raises(DataError, match=r"least four"):
        run(pairs.take([0, 1, 2]), tmp_path / "c", **short)


def test_patches_cannot_be_left_out_of_what_has_none(pairs, har_dual_encoder, tmp_path):
    with pytest.raises(ModelError, match=r"pretraining.patch_dropout.*Set it to 0"):
        run(pairs.take(list(range(20))), tmp_path, backbone=str(har_dual_encoder), patch_dropout=0.5)


def test_muon_is_refused_where_no_task_has_hidden_matrices():
    class Task:
        sample_count = 1

        def parameters(self) -> list[torch.nn.Parameter]:
            return [torch.nn.Parameter(torch.ones(2, 2))]

    with pytest.raises(TrainingError, match="muon"):
        Trainer(TrainerConfig(optimiser="muon"), torch.device("cpu"), 0).fit(Task())


def test_muon_takes_the_hidden_matrices_and_adamw_the_rest():
    class Task:
        sample_count = 4

        def __init__(self) -> None:
            self.hidden, self.rest = (torch.nn.Parameter(torch.randn(3, 3)) for _ in range(2))
            self.seen: list[torch.Tensor] = []

        def parameters(self) -> list[torch.nn.Parameter]:
            return [self.hidden, self.rest]

        def hidden_matrices(self) -> list[torch.nn.Parameter]:
            return [self.hidden]

        def batches(self, order, epoch, size):
            yield order

        def loss(self, batch):
            return (self.hidden * torch.outer(torch.arange(3.0), torch.ones(3))).sum() + self.rest.sum()

        def validate(self):
            self.seen.append(torch.stack([self.hidden.detach().clone(), self.rest.detach().clone()]))
            return {"accuracy": float(len(self.seen)), "log_loss": 0.0}

        def train_mode(self, training):
            return

    torch.manual_seed(0)
    task = Task()
    settings = {"epochs": 2, "batch_size": 4, "learning_rate": 0.1, "weight_decay": 0.0, "warmup_share": 0.5}
    Trainer(TrainerConfig(optimiser="muon", **settings), torch.device("cpu"), 0).fit(task)
    hidden, rest = task.seen[1] - task.seen[0]
    assert torch.allclose(rest, torch.full((3, 3), -0.1), atol=1e-6)  # AdamW's first step: the sign, times the rate
    singular = torch.linalg.svdvals(hidden)
    assert singular[1] < 0.05 * singular[0]  # Muon's keeps the direction of a gradient of rank one
    whole = 0.1 * 0.2 * 3**0.5  # an orthogonal matrix would get the root mean square that AdamW's updates have
    assert 0.6 < hidden.norm() / whole < 1.3
    assert not torch.equal(task.seen[2], task.seen[1])


def test_facts_are_json_for_people(learned):
    about = json.loads((learned.path / "pretraining.json").read_text())
    assert about["facts"]["steps"] == 8 * 18
    assert about["facts"]["logit_scale"] <= 100


@pytest.mark.parametrize("asked", [{"mixup": 0.5}, {"cutmix": 0.5}, {"forbidden": {"red": ["flip"]}}])
def test_what_needs_labels_is_refused(asked: dict) -> None:
    with pytest.raises(ConfigError, match="those of pretraining have none"):
        validated(PretrainingConfig, SETTINGS | {"augmentation": asked})
    assert validated(PretrainingConfig, SETTINGS | {"augmentation": "medium"}).augmentation.policy == "medium"
