"""A whole tiny study: photographs, their splits, and a backbone that knows a little of them, for three architectures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from clip_har.adaptation import METHODS
from clip_har.adaptation.assembly import assemble_bundle
from clip_har.adaptation.base import AdaptationContext, AdaptedModel, MethodConfig
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.hashing import sha256_file
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.bundle import ModelBundle
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.embeddings import EmbeddingSet, embed_manifest
from clip_har.models.preprocessing import Preprocessor
from clip_har.models.prompts import PromptConfig
from tests.tiny_models import colour_photos, tiny_clip, tiny_siglip

LABELS = ("dancing", "running", "sitting", "sleeping")
PROMPTS = PromptConfig(templates=("a photo of a person {}.", "a picture of someone {}."))
_SHARES = {"train": 12, "validation": 6, "calibration": 6, "test": 6}
_ALIGNING_STEPS = {"clip": 6, "siglip": 6, "vision_text": 20}


def tiny_vision_text(folder: Path) -> Path:
    """A `VisionTextDualEncoderModel`: a convolutional image tower (ConvNeXt) beside a text tower of two layers (BERT)."""
    from transformers import (
        BertConfig,
        BertTokenizer,
        ConvNextConfig,
        VisionTextDualEncoderConfig,
        VisionTextDualEncoderModel,
    )

    words = ("a", "photo", "picture", "of", "person", "someone", ".", *LABELS)
    letters = [mark + letter for letter in "abcdefghijklmnopqrstuvwxyz" for mark in ("", "##")]
    tokens = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters])
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(tokens)}, model_max_length=32)
    vision = ConvNextConfig(image_size=32, hidden_sizes=[16, 16, 24, 32], depths=[1, 1, 1, 1])
    vision.hidden_size = 32  # what VisionTextDualEncoderModel asks for
    text = BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
    )
    torch.manual_seed(0)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=16)
    VisionTextDualEncoderModel(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor = {
        "image_processor_type": "MobileNetV2ImageProcessor",
        "size": {"shortest_edge": 36},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


ARCHITECTURES: dict[str, Callable[[Path], Path]] = {
    "clip": tiny_clip,
    "siglip": tiny_siglip,
    "vision_text": tiny_vision_text,
}


@dataclass(frozen=True)
class Study:
    """What a method is given; `context()` has an encoder of its own, since methods may change it."""

    model: ModelConfig
    manifest: Manifest
    embeddings: EmbeddingSet
    compute: ComputeConfig

    def context(self, seed: int = 0) -> AdaptationContext:
        return AdaptationContext(self.load(), self.manifest, self.embeddings, PROMPTS, self.compute, seed)

    def load(self) -> DualEncoder:
        return DualEncoder.load(self.model)

    def fit(self, config: MethodConfig, seed: int = 0) -> AdaptedModel:
        return METHODS.get(config.method)(config).adapt(self.context(seed), config.method)

    def assemble(self, target: Path, adapted: AdaptedModel) -> ModelBundle:
        return assemble_bundle(
            target, adapted, self.manifest, self.embeddings, self.model, PROMPTS, self.compute, {"accuracy": 0.5}
        )

    @cached_property
    def validation(self) -> Manifest:
        return self.manifest.split("validation")


def tiny_study(folder: Path, architecture: str = "clip") -> Study:
    """Make photographs and a backbone in a folder.

    The backbone has learned for a few steps, on photographs of its own, which word goes with which colour: enough that
    zero-shot beats chance, and little enough that adaptation has something to gain.
    """
    others = photographs(colour_photos(folder / "others", LABELS, 12, seed=1))
    model = ModelConfig(backbone=str(ARCHITECTURES[architecture](folder / "backbone")))
    _align(DualEncoder.load(model), others, _ALIGNING_STEPS[architecture]).save(folder / "backbone")
    manifest = photographs(colour_photos(folder / "photos", LABELS, sum(_SHARES.values())))
    encoder = DualEncoder.load(model)
    embeddings = embed_manifest(manifest, encoder.encode_images, encoder.image_encoder_hash(), encoder.preprocessing)
    return Study(model, manifest, embeddings, ComputeConfig(device="cpu", batch_size=8))


def photographs(folder: Path) -> Manifest:
    """The Manifest of a folder a class, each class spread over the splits in the same shares."""
    splits = [split for split, number in _SHARES.items() for _ in range(number)]
    rows = []
    for label in LABELS:
        for number, path in enumerate(sorted((folder / label).iterdir())):
            identity, (width, height) = sha256_file(path), Image.open(path).size
            uri = path.relative_to(folder).as_posix()
            rows.append((identity, uri, label, splits[number], identity, width, height, "JPEG", "folder", "tiny"))
    return Manifest(pd.DataFrame(rows, columns=list(COLUMNS)), LABELS, str(folder))


def _align(encoder: DualEncoder, manifest: Manifest, steps: int) -> DualEncoder:
    """Some steps of cross-entropy over the classes' prompts, on all weights."""
    preprocessor = Preprocessor(encoder.preprocessing)
    pixels = torch.from_numpy(np.stack([preprocessor(preprocessor.decode(path)) for path in manifest.paths]))
    labels = torch.from_numpy(manifest.label_indices)
    tokens = encoder.tokenize([text for (text,) in PROMPTS.texts(LABELS, "single").values()])
    torch.manual_seed(0)
    optimiser = torch.optim.AdamW(encoder.model.parameters(), lr=2e-3)
    encoder.model.train()
    for _ in range(steps):
        logits = 10 * encoder.image_features(pixels) @ encoder.text_features(tokens).T
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits, labels).backward()
        optimiser.step()
    encoder.model.eval()
    return encoder
