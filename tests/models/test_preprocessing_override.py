"""A data set's own preprocessing: transformers reads the same from the folder, and what cannot be is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from transformers import CLIPImageProcessorPil, MobileNetV2ImageProcessorPil, SiglipImageProcessorPil

from clip_har.component import validated
from clip_har.errors import ConfigError, ModelError
from clip_har.models.backbone import ModelConfig
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor
from clip_har.models.preprocessing_override import PreprocessingOverride
from tests.models.test_preprocessing import TWO_LEVELS, difference, drawn

PROCESSORS = {
    "clip": CLIPImageProcessorPil,
    "mobilenet": MobileNetV2ImageProcessorPil,
    "siglip": SiglipImageProcessorPil,
}
OVERRIDES = {
    "squash": {"mode": "squash"},
    "pad": {"mode": "pad", "size": (90, 120)},
    "centre crop": {"mode": "centre_crop", "size": 96, "resize_shortest_edge": 110},
    "size alone": {"size": 64},
    "filter": {"resample": "lanczos"},
    "colours": {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "scale": 1 / 127.5},
}


@pytest.mark.parametrize("kind", PROCESSORS)
@pytest.mark.parametrize("name", OVERRIDES)
def test_plain_transformers_sees_the_same(kind, name):
    processor = PROCESSORS[kind]()
    changed = type(processor).from_dict(PreprocessingOverride(**OVERRIDES[name]).applied(processor.to_dict()))
    before, after = (PreprocessingConfig.from_huggingface(each.to_dict()) for each in (processor, changed))
    assert (before != after) or (kind, name) == ("siglip", "squash"), "which squashes anyway"
    # a level of a pixel is 1/255 whatever it is scaled by
    spread = 2 if name == "colours" else 1
    assert difference(changed, (drawn(number) for number in range(60))) <= spread * TWO_LEVELS


@pytest.mark.parametrize("kind", PROCESSORS)
@pytest.mark.parametrize("name", OVERRIDES)
def test_applied_twice_it_is_as_applied_once(kind, name):
    override = PreprocessingOverride(**OVERRIDES[name])
    once = override.applied(PROCESSORS[kind]().to_dict())
    assert override.applied(once) == once


def test_what_is_not_given_stays():
    processor = MobileNetV2ImageProcessorPil().to_dict()
    assert PreprocessingOverride().applied(processor) == processor
    own = PreprocessingConfig.from_huggingface(processor)
    filtered = PreprocessingConfig.from_huggingface(PreprocessingOverride(resample="box").applied(processor))
    assert filtered == own.model_copy(update={"resample": 4})
    smaller = PreprocessingConfig.from_huggingface(PreprocessingOverride(size=112).applied(processor))
    assert (smaller.resize_shortest_edge, smaller.crop) == (128, (112, 112)), "256 to 224, as the backbone's own"


def test_padding_keeps_all_of_the_picture():
    override = PreprocessingOverride(mode="pad", size=60, mean=(0, 0, 0), std=(1, 1, 1))
    config = PreprocessingConfig.from_huggingface(override.applied(CLIPImageProcessorPil().to_dict()))
    wide = np.full((50, 200, 3), 200, dtype=np.uint8)
    wide[:, :20], wide[:, -20:] = (255, 0, 0), (0, 0, 255)
    pixels = Preprocessor(config).resize_and_crop(Preprocessor(config).decode(wide))
    assert pixels.shape == (60, 60, 3)
    kept = np.flatnonzero(pixels.any(axis=(1, 2)))
    assert (len(kept), kept[0]) == (15, 23), "a quarter of the height, in the middle; zeros above and below"
    assert pixels[30, 0].tolist() == [255, 0, 0]
    assert pixels[30, -1].tolist() == [0, 0, 255]


def test_the_folder_says_what_is_done(backbones, tmp_path):
    """As a bundle does: saved encoders carry the override, and load with it and without being told."""
    override = {"mode": "squash", "resample": "bilinear", "mean": (0.2, 0.3, 0.4), "decoder_reduction": True}
    model = ModelConfig(backbone=str(backbones["clip"]), preprocessing=override)
    encoder = DualEncoder.load(model)
    assert encoder.preprocessing.resize_to == encoder.preprocessing.output_size
    assert encoder.preprocessing.decoder_reduction
    encoder.save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "preprocessor_config.json").read_text())
    assert (saved["resample"], saved["image_mean"]) == (2, [0.2, 0.3, 0.4])
    for config in (
        ModelConfig(backbone=str(tmp_path / "saved"), decoder_reduction=True),
        model.model_copy(update={"backbone": str(tmp_path / "saved")}),
    ):
        assert DualEncoder.load(config).preprocessing == encoder.preprocessing
    assert PreprocessingConfig.read(tmp_path / "saved", decoder_reduction=True) == encoder.preprocessing
    processor = CLIPImageProcessorPil.from_pretrained(tmp_path / "saved")
    assert difference(processor, (drawn(number) for number in range(30))) <= TWO_LEVELS


def test_embeddings_are_those_of_the_override(backbones, photos):
    plain, squashed = (
        DualEncoder.load(ModelConfig(backbone=str(backbones["clip"]), preprocessing=override))
        for override in (None, {"mode": "squash"})
    )
    one, other = (
        encoder.encode_images(
            np.stack(
                [
                    Preprocessor(encoder.preprocessing)(Preprocessor(encoder.preprocessing).decode(path))
                    for path in photos
                ]
            )
        )
        for encoder in (plain, squashed)
    )
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"mode": "sqash"}, r"preprocessing\.mode: wanted: 'centre_crop', 'squash' or 'pad', got 'sqash'"),
        ({"crop": 224}, r"preprocessing\.crop: unknown key"),
        ({"resamlpe": "box"}, "Did you mean 'resample'"),
        ({"size": 0}, r"preprocessing\.size: a height and a width of at least one pixel"),
        ({"std": [0.2, 0, 0.2]}, "standard deviations above 0"),
        ({"mean": [0.2, 0.2]}, r"preprocessing\.mean"),
        ({"mode": "pad", "resize_shortest_edge": 256}, "belongs to mode centre_crop; with mode pad leave it out"),
    ],
)
def test_a_mistake_in_the_config_is_named(override, message):
    with pytest.raises(ConfigError, match=message):
        validated(ModelConfig, {"backbone": "b", "preprocessing": override}, "model")


@pytest.mark.parametrize(
    ("kind", "override", "message"),
    [
        ("clip", {"size": 50}, r"preprocessing\.size: the image encoder of .*clip.* does not take pictures of 50 × 50"),
        ("clip", {"resize_shortest_edge": 8}, "8 is less than the input's 32 pixels, so that zeros would surround"),
        ("siglip", {"resize_shortest_edge": 40}, "pictures are made by squash; give .*mode: centre_crop"),
    ],
)
def test_what_the_backbone_cannot_do_is_said_when_it_is_loaded(backbones, kind, override, message):
    with pytest.raises(ModelError, match=message):
        DualEncoder.load(ModelConfig(backbone=str(backbones[kind]), preprocessing=override))


def test_a_convolutional_encoder_takes_other_sizes(backbones):
    encoder = DualEncoder.load(ModelConfig(backbone=str(backbones["vision_text"]), preprocessing={"size": 48}))
    assert encoder.preprocessing.output_size == (48, 48)
    assert encoder.preprocessing.resize_shortest_edge == 54
