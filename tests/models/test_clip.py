"""A new CLIP: its vocabulary, its first layer, and that plain transformers understands it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clip_har.component import validated
from clip_har.errors import ConfigError
from clip_har.models.backbone import ModelConfig
from clip_har.models.clip import ClipConfig, fit_first_layer, learn_tokenizer, new_clip
from clip_har.models.dual_encoder import DualEncoder

CAPTIONS = ["A man's reading a book.", "a woman walking in the park", "two people walking", "a man walking"] * 5
SMALL = {
    "image_size": 32,
    "patch_size": 8,
    "image": {"width": 32, "layers": 2, "heads": 2},
    "text": {"width": 32, "layers": 2, "heads": 2},
    "dimensions": 16,
    "longest_text": 12,
}


@pytest.fixture
def encoder() -> DualEncoder:
    torch.manual_seed(0)
    return new_clip(validated(ClipConfig, SMALL), CAPTIONS)


def test_known_words_are_few_tokens_and_no_text_is_unknown():
    tokenizer = learn_tokenizer(CAPTIONS, 1000, 12)
    assert len(tokenizer.tokenize("a WOMAN   walking")) == 3
    for text in ("a man's book.", "zebra ünïcode 😀 7", "naïve façade"):
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True).replace(
            " ", ""
        ) == text.replace(" ", "")


def test_the_vocabulary_has_its_bound_and_special_tokens_last():
    tokenizer = learn_tokenizer(CAPTIONS, 520, 12)
    assert len(tokenizer) == 520  # 512 forms of bytes, six merges, two special tokens
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (518, 519, 519)
    assert len(learn_tokenizer(CAPTIONS, 100_000, 12)) < 600
    assert learn_tokenizer(CAPTIONS, 540, 12).get_vocab() == learn_tokenizer(CAPTIONS, 540, 12).get_vocab()


def test_long_texts_keep_their_end(encoder):
    tokens = encoder.tokenize(["walking " * 40])
    assert tokens["input_ids"].shape == (1, 12)
    assert tokens["input_ids"][0, -1] == encoder.tokenizer.eos_token_id


def test_a_text_is_embedded_at_its_own_end_whatever_it_is_padded_to(encoder):
    alone = encoder.encode_texts(["a man walking"])[0]
    padded, other = encoder.encode_texts(["a man walking", "a woman walking in the park"])
    assert np.abs(alone - padded).max() < 1e-5
    assert np.abs(alone - other).max() > 1e-3


def test_plain_transformers_loads_what_is_saved(encoder, tmp_path: Path):
    from transformers import AutoModel, AutoProcessor, CLIPModel, CLIPTokenizerFast

    encoder.save(tmp_path)
    model, processor = AutoModel.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(model, CLIPModel)
    inputs = processor(text=["a man walking", "two people"], return_tensors="pt", padding=True)
    with torch.inference_mode():
        theirs = model.get_text_features(**inputs).pooler_output
    theirs = (theirs / theirs.norm(dim=-1, keepdim=True)).numpy()
    ours = DualEncoder.load(ModelConfig(backbone=str(tmp_path))).encode_texts(["a man walking", "two people"])
    assert np.abs(theirs - ours).max() < 1e-6
    assert CLIPTokenizerFast.from_pretrained(tmp_path)("a man").input_ids == encoder.tokenizer("a man").input_ids


def test_the_first_layer_makes_patches_equally_loud_in_all_directions(encoder):
    generator = torch.Generator().manual_seed(1)
    smooth = torch.nn.functional.interpolate(
        torch.randn(200, 3, 4, 4, generator=generator), size=(32, 32), mode="bilinear"
    )
    pictures = 2 + 3 * smooth + 0.05 * torch.randn(200, 3, 32, 32, generator=generator)

    def spread() -> torch.Tensor:
        with torch.no_grad():
            features = encoder.model.vision_model.embeddings.patch_embedding(pictures).flatten(2).transpose(1, 2)
        return torch.linalg.eigvalsh(torch.cov(features.reshape(-1, 32).T))

    before = spread()
    assert before[-1] / before[-16] > 50  # as it comes, few directions drown the others
    fit_first_layer(encoder, pictures)
    after = spread()
    assert after[-16] > 0.5
    assert after[-1] < 2


def test_the_first_layer_tells_places_apart(encoder):
    fit_first_layer(encoder, torch.randn(50, 3, 32, 32))
    places = encoder.model.vision_model.embeddings.position_embedding.weight[1:].detach()
    cosines = torch.nn.functional.normalize(places, dim=1) @ torch.nn.functional.normalize(places, dim=1).T
    grid = cosines[5].reshape(4, 4)  # of the patch in row 1, column 1
    assert grid.argmax() == 5
    assert grid[1, 2] > grid[1, 3]
    assert grid[2, 1] > grid[3, 1]
    assert 0.1 < places.pow(2).mean() < 1  # beside patches of 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patch_size": 10}, ["image_size 32", "patch_size 10"]),
        ({"image": {"width": 32, "layers": 1, "heads": 3}}, ["width 32", "3 heads"]),
        ({"image": {"width": 30, "layers": 1, "heads": 3}}, ["no multiple of 4"]),
        ({"vocabulary": 100}, ["vocabulary", "514"]),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ConfigError) as refused:
        validated(ClipConfig, SMALL | change)
    assert all(word in str(refused.value) for word in words), refused.value
