"""The contrastive loss against its formula, and what the task feeds it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clip_har.component import validated
from clip_har.data.augmentation import AugmentationConfig
from clip_har.errors import ModelError, TrainingError
from clip_har.models.backbone import ModelConfig
from clip_har.models.clip import ClipConfig, new_clip
from clip_har.models.dual_encoder import DualEncoder
from clip_har.training.contrastive import (
    ContrastiveTask,
    PatchDropout,
    caption_numbers,
    contrastive_loss,
    matches,
    sigmoid_loss,
)
from clip_har.training.pictures import StoredPictures
from clip_har.training.trainer import Trainer, TrainerConfig
from tests.tiny_models import tiny_siglip

SMALL = {
    "image_size": 32,
    "patch_size": 8,
    "image": {"width": 16, "layers": 1, "heads": 2},
    "text": {"width": 16, "layers": 1, "heads": 2},
    "dimensions": 8,
}
CAPTIONS = [(f"picture {number}", f"Picture {number}, again", "a picture") for number in range(10)]


@pytest.fixture
def encoder() -> DualEncoder:
    torch.manual_seed(0)
    return new_clip(validated(ClipConfig, SMALL), [text for texts in CAPTIONS for text in texts])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> StoredPictures:
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    paths = []
    for number in range(10):
        paths.append(folder / f"{number}.png")
        Image.fromarray(generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(paths[-1])
    return StoredPictures.decode(paths, 40, folder)


def task_of(encoder: DualEncoder, pictures: StoredPictures, **settings) -> ContrastiveTask:
    options = {"augmentation": AugmentationConfig(), "batch_size": 4, "seed": 0} | settings
    names = [f"{number}.png" for number in range(10)]
    return ContrastiveTask(encoder, pictures, CAPTIONS, names, range(2, 10), [0, 1], **options)


def test_the_loss_is_the_mean_of_both_cross_entropies():
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.5, 1.0, -1.0], [0.0, 3.0, 0.0]])
    rows = [math.exp(row[i]) / sum(map(math.exp, row)) for i, row in enumerate(logits.tolist())]
    columns = [math.exp(row[i]) / sum(map(math.exp, row)) for i, row in enumerate(logits.T.tolist())]
    expected = -sum(map(math.log, rows + columns)) / 6
    assert float(contrastive_loss(logits, torch.eye(3, dtype=torch.bool))) == pytest.approx(expected, abs=1e-6)


def test_captions_that_say_the_same_are_no_negatives():
    captions = ["A man  reading.", "a man reading", "a woman reading", "a man reading!"]
    positive = matches(captions)
    assert positive.int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    certain = torch.where(positive, 50.0, 0.0)
    assert float(contrastive_loss(certain, positive)) == pytest.approx(math.log(2) / 2, abs=1e-5)  # two share a target
    assert float(contrastive_loss(certain, torch.eye(4, dtype=torch.bool))) == pytest.approx(math.log(2) / 2, abs=1e-5)
    torn = certain.clone()
    torn[0, 1] = torn[1, 0] = 0.0  # told apart though they say the same: only an identity target is content with that
    assert float(contrastive_loss(torn, torch.eye(4, dtype=torch.bool))) < 1e-5
    assert float(contrastive_loss(torn, positive)) > 10


def test_numbers_of_captions_are_the_same_in_every_batch():
    first, second = caption_numbers(["a man reading", "a dog"]), caption_numbers(["A cat", "A man  reading."])
    assert first[0] == second[1]
    assert len({*first.tolist(), *second.tolist()}) == 3


def test_a_batch_cannot_be_cut_into_parts(encoder, pictures):
    config = TrainerConfig(epochs=1, batch_size=4, accumulate=2)
    with pytest.raises(
        TrainingError, match=r"training\.accumulate: in this loss every sample of a batch meets every other"
    ):
        Trainer(config, torch.device("cpu"), 0).fit(task_of(encoder, pictures))


def test_the_sigmoid_loss_judges_every_pair_by_itself():
    logits = torch.tensor([[3.0, -1.0], [0.5, 2.0]])
    pairs = [(3.0, 1), (-1.0, -1), (0.5, -1), (2.0, 1)]
    expected = sum(math.log(1 + math.exp(-sign * value)) for value, sign in pairs) / 2
    assert float(sigmoid_loss(logits, torch.eye(2, dtype=torch.bool))) == pytest.approx(expected, abs=1e-6)


def test_a_view_depends_on_name_seed_and_epoch_only(encoder, pictures):
    task = task_of(encoder, pictures)

    def views(order: list[int], epoch: int, task: ContrastiveTask = task) -> dict[int, tuple[torch.Tensor, list[int]]]:
        seen: dict[int, tuple[torch.Tensor, list[int]]] = {}
        batches = task.batches(np.array(order), epoch, 4)
        for number, (pixels, tokens, numbers) in enumerate(batches):
            assert pixels.shape[1:] == (3, 32, 32)
            assert numbers.shape == (len(pixels),)
            for row in range(len(pixels)):
                text = [token for token in tokens["input_ids"][row].tolist() if token != encoder.tokenizer.eos_token_id]
                seen[order[4 * number + row]] = (pixels[row], text)
        return seen

    first, turned, later = views(list(range(8)), 0), views(list(range(8))[::-1], 0), views(list(range(8)), 1)
    assert first.keys() == turned.keys() == set(range(8))
    assert all(torch.equal(first[n][0], turned[n][0]) and first[n][1] == turned[n][1] for n in range(8))
    assert not any(torch.equal(first[n][0], later[n][0]) for n in range(8))
    assert any(first[n][1] != later[n][1] for n in range(8))
    other = views(list(range(8)), 0, task_of(encoder, pictures, seed=1))
    assert not any(torch.equal(first[n][0], other[n][0]) for n in range(8))


def test_each_picture_comes_once_an_epoch_and_validation_pictures_never(encoder, pictures):
    task = task_of(encoder, pictures, augmentation=None)
    assert task.sample_count == 8
    sizes = [len(pixels) for pixels, _, _ in task.batches(np.arange(8), 0, 3)]
    assert sizes == [3, 3, 2]
    pixels = torch.cat([pixels for pixels, _, _ in task.batches(np.arange(8), 0, 3)])
    own = torch.from_numpy(task._preprocessor.batch(pictures[number] for number in range(2, 10)))
    assert torch.equal(pixels, own)


def test_validation_counts_both_directions(encoder, pictures, monkeypatch):
    task = task_of(encoder, pictures)
    logits = torch.tensor([[2.0, 1.0], [3.0, 0.0]])  # picture 0 → 0, 1 → 0; captions 0 → 1, 1 → 0
    monkeypatch.setattr(task, "_logits", lambda images, texts: logits)
    figures = task.validate()
    assert figures["accuracy"] == pytest.approx(1 / 4)
    assert figures["log_loss"] == pytest.approx(float(contrastive_loss(logits, torch.eye(2, dtype=torch.bool))))


def test_the_scale_is_bounded(encoder, pictures):
    task = task_of(encoder, pictures)
    batch = next(task.batches(np.arange(8), 0, 8))
    with torch.no_grad():
        encoder.model.logit_scale.fill_(math.log(100))
        bounded = float(task.loss(batch))
        encoder.model.logit_scale.fill_(20.0)
        assert float(task.loss(batch)) == pytest.approx(bounded, rel=1e-4)


def test_siglip_is_trained_with_its_own_loss_and_bias(tmp_path: Path, pictures):
    encoder = DualEncoder.load(ModelConfig(backbone=str(tiny_siglip(tmp_path / "siglip"))))
    task = task_of(encoder, pictures)
    pixels, tokens, numbers = next(task.batches(np.arange(8), 0, 8))
    logits = task._logits(*task._features(pixels, tokens))
    positive = numbers[:, None] == numbers[None, :]
    with torch.no_grad():
        cosines = encoder.image_features(pixels) @ encoder.text_features(tokens).T
    assert torch.allclose(logits, cosines * encoder.logit_scale + encoder.logit_bias, atol=1e-4)
    with torch.no_grad():
        assert float(task.loss((pixels, tokens, numbers))) == pytest.approx(
            float(sigmoid_loss(logits, positive)), rel=1e-4
        )
    with pytest.raises(ModelError, match="patch_dropout"):
        PatchDropout(encoder, 0.5)


def test_patches_are_left_out_while_training_until_the_last_epochs(encoder, pictures):
    task = task_of(encoder, pictures, patch_dropout=0.75, whole_from=2)
    lengths: list[int] = []
    layer = encoder.model.vision_model.encoder.layers[0]
    layer.register_forward_pre_hook(lambda module, inputs: lengths.append(inputs[0].shape[1]))
    task.train_mode(True)
    for epoch in range(3):
        task.loss(next(task.batches(np.arange(8), epoch, 4)))
    assert lengths == [5, 5, 17]  # a quarter of 16 patches and the class token; then all
    next(task.batches(np.arange(8), 0, 4))
    task.train_mode(False)
    task.validate()
    assert lengths[3:] == [17]


def test_hidden_matrices_are_the_layers_own(encoder, pictures):
    matrices = task_of(encoder, pictures).hidden_matrices()
    assert len(matrices) == 2 * 6  # four of attention and two of the perceptron, in one layer of each encoder
    outside = {
        id(encoder.model.visual_projection.weight),
        id(encoder.model.text_model.embeddings.token_embedding.weight),
    }
    assert not outside & {id(weight) for weight in matrices}


def test_batch_statistics_stay_as_they_came(encoder, pictures):
    encoder.model.add_module("norm", torch.nn.BatchNorm2d(3))
    task_of(encoder, pictures).train_mode(True)
    assert encoder.model.training
    assert not encoder.model.norm.training
