"""Dual encoders of several kinds against transformers itself."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoProcessor, BertConfig, BertModel, pipeline
from transformers.utils import logging as transformers_logging

from clip_har.errors import ModelError
from clip_har.models.backbone import ModelConfig
from clip_har.models.dual_encoder import DualEncoder, resolve_device
from clip_har.models.head import TextHead, softmax
from clip_har.models.preprocessing import Preprocessor
from tests.models.conftest import KINDS, LABELS

kinds = pytest.mark.parametrize("kind", KINDS)
TEMPLATE = "a photo of a person {}."


def pixels_of(encoder: DualEncoder, paths) -> np.ndarray:
    preprocessor = Preprocessor(encoder.preprocessing)
    return preprocessor.batch(preprocessor.decode(path) for path in paths)


def own_scores(encoder: DualEncoder, paths, labels) -> np.ndarray:
    texts = {label: [TEMPLATE.format(label)] for label in labels}
    embeddings = encoder.encode_images(pixels_of(encoder, paths))
    logits = TextHead(encoder.logit_scale, encoder.logit_bias).score(embeddings, encoder.class_matrix(texts))
    return softmax(logits) if encoder.activation == "softmax" else 1 / (1 + np.exp(-logits))


def pipeline_scores(folder, paths, labels) -> np.ndarray:
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)  # it does not list VisionTextDualEncoderModel
    try:
        classify = pipeline("zero-shot-image-classification", model=str(folder), device="cpu", dtype=torch.float32)
    finally:
        transformers_logging.set_verbosity(level)
    answers = classify([str(path) for path in paths], candidate_labels=list(labels), hypothesis_template=TEMPLATE)
    return np.array([[{row["label"]: row["score"] for row in answer}[label] for label in labels] for answer in answers])


def reference_embeddings(folder, paths, texts) -> tuple[np.ndarray, np.ndarray]:
    """Image and text embeddings by plain transformers, one picture at a time."""
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder)
    padding = {"padding": "max_length", "max_length": 64} if "siglip" in model.config.model_type else {"padding": True}
    with torch.inference_mode():
        images = []
        for path in paths:
            inputs = processor(images=Image.open(path).convert("RGB"), return_tensors="pt")
            images.append(model.get_image_features(pixel_values=inputs["pixel_values"]).pooler_output)
        tokens = processor(text=list(texts), return_tensors="pt", **padding)
        both = torch.cat(images), model.get_text_features(**tokens).pooler_output
    return tuple((rows / rows.norm(dim=-1, keepdim=True)).numpy() for rows in both)


@kinds
def test_zero_shot_scores_equal_the_pipeline_of_transformers(encoders, backbones, photos, kind):
    expected = pipeline_scores(backbones[kind], photos, LABELS)
    found = own_scores(encoders[kind], photos, LABELS)
    assert found == pytest.approx(expected, abs=1e-4)
    assert np.ptp(expected) > 0.01  # or equality would say little


@kinds
def test_embeddings_equal_those_of_transformers(encoders, backbones, photos, kind):
    texts = [TEMPLATE.format(label) for label in LABELS]
    images, of_texts = reference_embeddings(backbones[kind], photos, texts)
    assert encoders[kind].encode_images(pixels_of(encoders[kind], photos)) == pytest.approx(images, abs=1e-4)
    assert encoders[kind].encode_texts(texts) == pytest.approx(of_texts, abs=1e-4)


@pytest.mark.slow
def test_the_real_encoder_equals_transformers_on_photographs(har_dual_encoder, har_folder):
    paths = sorted((har_folder / "train").iterdir())[::100]
    labels = ["running", "sitting", "sleeping", "using laptop", "calling", "cycling", "dancing"]
    encoder = DualEncoder.load(ModelConfig(backbone=str(har_dual_encoder)))
    assert own_scores(encoder, paths, labels) == pytest.approx(
        pipeline_scores(har_dual_encoder, paths, labels), abs=1e-4
    )
    images, texts = reference_embeddings(har_dual_encoder, paths, labels)
    assert encoder.encode_images(pixels_of(encoder, paths)) == pytest.approx(images, abs=1e-4)
    assert encoder.encode_texts(labels) == pytest.approx(texts, abs=1e-4)
    alone = np.concatenate([encoder.encode_images(pixels_of(encoder, [path])) for path in paths[:8]])
    assert alone == pytest.approx(images[:8], abs=1e-5)


@kinds
def test_an_embedding_does_not_depend_on_its_batch(encoders, photos, kind):
    encoder = encoders[kind]
    pixels = pixels_of(encoder, photos)
    together = encoder.encode_images(pixels)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)
    for part in (slice(0, 1), slice(3, 8), slice(11, None)):
        assert encoder.encode_images(pixels[part]) == pytest.approx(together[part], abs=1e-5)
    strange = np.concatenate([pixels[:1], np.full_like(pixels[:3], 5.0), pixels[1:2] * -1])
    assert encoder.encode_images(strange)[:1] == pytest.approx(together[:1], abs=1e-5)


@kinds
def test_a_text_does_not_depend_on_the_texts_beside_it(encoders, kind):
    encoder = encoders[kind]
    texts = ["running", "a photo of a person who is listening to music and using a laptop", "sitting."]
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts])
    assert encoder.encode_texts(texts) == pytest.approx(alone, abs=1e-5)
    many = [f"person {number}" for number in range(300)]  # more than are encoded at one time
    encoded = encoder.encode_texts(many)
    assert encoded.shape == (300, 16 if kind != "siglip" else 32)
    assert encoded[[0, 299]] == pytest.approx(encoder.encode_texts([many[0], many[299]]), abs=1e-5)


@kinds
def test_a_long_text_is_cut(encoders, kind):
    long = encoders[kind].encode_texts(["a photo of a person " * 100])
    assert np.isfinite(long).all()


def test_what_the_models_themselves_know(encoders):
    assert encoders["clip"].activation == encoders["vision_text"].activation == "softmax"
    assert encoders["siglip"].activation == "sigmoid"
    assert encoders["siglip"].logit_bias == pytest.approx(-3)
    assert encoders["siglip"].logit_scale == pytest.approx(np.exp(2), rel=1e-6)
    assert encoders["clip"].logit_bias == 0
    assert encoders["clip"].logit_scale == pytest.approx(np.exp(2.6592), rel=1e-6)


def test_a_class_is_the_mean_of_its_texts(encoders):
    encoder = encoders["clip"]
    texts = {"a": ["running", "a person running"], "b": ["sitting"], "c": ["running", "sitting", "sitting"]}
    matrix = encoder.class_matrix(texts)
    for row, of_class in zip(matrix, texts.values(), strict=True):
        mean = encoder.encode_texts(of_class).mean(axis=0)
        assert row == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert matrix.dtype == np.float32


def in_float16(source, target):
    shutil.copytree(source, target)
    weights = {name: tensor.half() for name, tensor in load_file(target / "model.safetensors").items()}
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    return target


@kinds
def test_a_float16_checkpoint_loads_as_float32(backbones, tmp_path, kind):
    folder = in_float16(backbones[kind], tmp_path / "half")
    assert next(AutoModel.from_pretrained(folder).parameters()).dtype == torch.float16  # what transformers does
    encoder = DualEncoder.load(ModelConfig(backbone=str(folder)))
    floating = {tensor.dtype for tensor in encoder.model.state_dict().values() if tensor.is_floating_point()}
    assert floating == {torch.float32}
    other = DualEncoder.load(ModelConfig(backbone=str(folder), dtype="bfloat16"))
    assert other.dtype == torch.bfloat16
    assert other.encode_texts(["running"]).dtype == np.float32


@kinds
def test_what_is_saved_is_the_same_encoder(encoders, photos, tmp_path, kind):
    encoder = encoders[kind]
    encoder.save(tmp_path)
    again = DualEncoder.load(ModelConfig(backbone=str(tmp_path)))
    pixels = pixels_of(encoder, photos)
    assert np.array_equal(again.encode_images(pixels), encoder.encode_images(pixels))
    assert np.array_equal(again.encode_texts(LABELS), encoder.encode_texts(LABELS))
    assert again.preprocessing == encoder.preprocessing
    assert again.image_encoder_hash() == encoder.image_encoder_hash()
    assert again.text_encoder_hash() == encoder.text_encoder_hash()


@kinds
def test_hashes_tell_the_towers_apart(backbones, kind):
    def hashes_after(change: str | None) -> tuple[str, str]:
        encoder = DualEncoder.load(ModelConfig(backbone=str(backbones[kind])))
        if change:
            weights = {name: tensor for name, tensor in encoder.model.named_parameters() if name.startswith(change)}
            with torch.no_grad():
                next(iter(weights.values())).add_(1e-3)
        return encoder.image_encoder_hash(), encoder.text_encoder_hash()

    image, text = hashes_after(None)
    assert image != text
    image_changed, same_text = hashes_after("vision_model")
    assert image_changed != image
    assert same_text == text
    same_image, text_changed = hashes_after("text_model")
    assert same_image == image
    assert text_changed != text
    assert hashes_after("logit_scale") == (image, text)


def test_what_is_no_dual_encoder_is_refused(backbones, tmp_path):
    other = tmp_path / "bert"
    shutil.copytree(backbones["clip"], other)
    tiny = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 9}
    (other / "config.json").unlink()
    (other / "model.safetensors").unlink()
    BertModel(BertConfig(**tiny)).save_pretrained(other)
    with pytest.raises(
        ModelError, match=r"is a BertModel, which is not a dual encoder \(it has no get_image_features\)"
    ):
        DualEncoder.load(ModelConfig(backbone=str(other)))


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json"])
@kinds
def test_a_folder_that_lacks_a_file_is_told(backbones, tmp_path, kind, missing):
    broken = tmp_path / "broken"
    shutil.copytree(backbones[kind], broken)
    (broken / missing).unlink()
    with pytest.raises(ModelError, match=r"model\.backbone: .*broken.* cannot be loaded"):
        DualEncoder.load(ModelConfig(backbone=str(broken)))


def spoilt(folder, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


SPOILT_WEIGHTS = {
    "cut": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000]),
        "cannot be loaded",
    ),
    "a missing array": (
        lambda folder: spoilt(folder, lambda weights: weights.pop("visual_projection.weight")),
        r"lack 1 of the model's arrays \(visual_projection\.weight\)",
    ),
    "another model's": (
        lambda folder: spoilt(folder, lambda weights: weights.update({"visual_projection.weight": torch.zeros(3, 3)})),
        "cannot be loaded",
    ),
}


@pytest.mark.parametrize("how", SPOILT_WEIGHTS)
def test_weights_that_are_not_whole_are_told(backbones, tmp_path, how):
    """transformers itself would go on with random numbers for what is missing."""
    spoil, message = SPOILT_WEIGHTS[how]
    broken = tmp_path / "broken"
    shutil.copytree(backbones["clip"], broken)
    spoil(broken)
    with pytest.raises(ModelError, match=rf"(?s)model\.backbone: .*broken.*{message}"):
        DualEncoder.load(ModelConfig(backbone=str(broken)))


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ModelError, match=r"compute\.device: 'cuda:1' was asked for, but torch sees no CUDA"):
        resolve_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")
