"""The CLIP that comes with the package: small, loadable by anyone, and as good as its card says."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clip_har
from clip_har.models.backbone import ModelConfig, check_backbone, location
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.preprocessing import Preprocessor
from clip_har.models.prompts import PromptConfig
from clip_har.samples import HAR_ACTIONS
from clip_har.samples.describe import describe_scene
from clip_har.samples.drawing.render import encode_scene

ASSET = Path(clip_har.__file__).parent / "assets" / "tiny_clip"
UNSEEN = ("cycling", "sleeping", "texting")
ASKED = {"cycling": "on a bicycle", "sleeping": "on a bed", "texting": "looking at a phone"}
EACH = 16


@pytest.fixture(scope="module")
def encoder() -> DualEncoder:
    return DualEncoder.load(ModelConfig(backbone="tiny-clip"))


@pytest.fixture(scope="module")
def scores(encoder: DualEncoder) -> np.ndarray:
    """Cosines [15 * EACH, 15] of pictures that were drawn for nothing else, to the classes' prompts."""
    preprocessor = Preprocessor(encoder.preprocessing)
    pictures = [
        Image.open(io.BytesIO(encode_scene(describe_scene(action, 880_000 + number), 240, 160)))
        for action in HAR_ACTIONS
        for number in range(EACH)
    ]
    texts = PromptConfig(class_names={label: (words,) for label, words in ASKED.items()}).texts(HAR_ACTIONS, "ensemble")
    images = np.concatenate(
        [
            encoder.encode_images(preprocessor.batch(pictures[start : start + 60]))
            for start in range(0, len(pictures), 60)
        ]
    )
    return images @ encoder.class_matrix(texts).T


def card() -> str:
    return (ASSET / "README.md").read_text(encoding="utf-8")


def lower_end(group: str) -> float:
    """Low end of the interval, among themselves, that the card states for a group."""
    row = next(line for line in card().splitlines() if line.startswith(f"| {group}"))
    return float(re.findall(r"\((\d+\.\d) to", row)[0]) / 100


def accuracy(scores: np.ndarray, chosen: tuple[str, ...]) -> float:
    columns = [HAR_ACTIONS.index(label) for label in chosen]
    truth = np.repeat(np.arange(len(HAR_ACTIONS)), EACH)
    rows = np.isin(truth, columns)
    return float((np.array(columns)[scores[rows][:, columns].argmax(axis=1)] == truth[rows]).mean())


def test_it_is_small_and_complete():
    files = {path.name for path in ASSET.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json", "README.md"} <= files
    assert sum(path.stat().st_size for path in ASSET.rglob("*")) <= 8_000_000


def test_it_names_no_machine():
    for path in ASSET.iterdir():
        if path.suffix in (".json", ".md"):
            assert not re.search(r"/(home|root|work|tmp|Users)/", path.read_text(encoding="utf-8")), path.name


def test_it_is_found_by_its_name_and_in_the_wheel():
    assert Path(location("tiny-clip")) == ASSET
    check_backbone(ModelConfig(backbone="tiny-clip"))


def test_a_folder_of_the_same_name_goes_first(tmp_path, monkeypatch):
    (tmp_path / "tiny-clip").mkdir()
    monkeypatch.chdir(tmp_path)
    assert location("tiny-clip") == "tiny-clip"


def test_its_words_leave_out_what_it_never_saw(encoder):
    for word in ("cycling", "sleeping", "texting"):
        assert len(encoder.tokenizer.tokenize(word)) > 1
    for word in ("running", "phone", "bicycle", "bed"):
        assert len(encoder.tokenizer.tokenize(word)) == 1


def test_plain_transformers_gives_our_scores(encoder):
    from transformers import pipeline

    picture = Image.open(io.BytesIO(encode_scene(describe_scene("running", 5), 240, 160))).convert("RGB")
    classify = pipeline("zero-shot-image-classification", model=str(ASSET), device="cpu")
    labels = ["running", "reading", "hugging"]
    theirs = {
        row["label"]: row["score"]
        for row in classify(picture, candidate_labels=labels, hypothesis_template="a photo of a person {}.")
    }
    image = encoder.encode_images(Preprocessor(encoder.preprocessing).batch([picture]))
    logits = encoder.logit_scale * image @ encoder.encode_texts([f"a photo of a person {label}." for label in labels]).T
    ours = np.exp(logits - logits.max())
    assert np.abs(ours[0] / ours.sum() - [theirs[label] for label in labels]).max() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "chosen"),
    [
        ("All", HAR_ACTIONS),
        ("Seen", tuple(action for action in HAR_ACTIONS if action not in UNSEEN)),
        ("Never", UNSEEN),
    ],
)
def test_it_is_as_good_as_its_card_says(scores, group, chosen):
    # fewer pictures than were measured for the card: three standard errors below the low end of its interval
    low = lower_end(group)
    number = EACH * len(chosen)
    assert accuracy(scores, chosen) > max(1 / len(chosen), low - 3 * (low * (1 - low) / number) ** 0.5)


@pytest.mark.slow
def test_its_image_features_tell_more_than_its_words(encoder, scores):
    assert json.loads((ASSET / "config.json").read_text())["model_type"] == "clip"
    assert accuracy(scores, HAR_ACTIONS) > 2 / len(HAR_ACTIONS)
