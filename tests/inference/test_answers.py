"""What is said about a picture: label sets, abstention, and where an answer comes from."""

from __future__ import annotations

import io
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clip_har.adaptation import METHODS
from clip_har.errors import ConfigError, ImageError
from clip_har.inference.answers import Answering
from clip_har.inference.explanation import heat_map, overlay, score_gradient, seen_box
from clip_har.inference.predictor import Predictor
from clip_har.models.abstention import AbstentionThreshold
from clip_har.models.bundle import ModelBundle
from clip_har.models.calibration import Calibration
from clip_har.models.conformal import ConformalQuantiles
from clip_har.models.preprocessing import PreprocessingConfig
from tests.adaptation.tiny_study import Study, tiny_study

NAMES = ("dancing", "running", "sitting")
QUANTILES = ConformalQuantiles(penalty=0.0, largest_free=1, coverages=(0.8, 0.9), quantiles=(0.5, 0.85))
CALIBRATION = Calibration(
    temperature=1.0,
    split="calibration",
    samples=9,
    data_hash="d",
    abstention=AbstentionThreshold(precision=0.9, threshold=0.55, answered=0.5, measured=0.95),
    conformal=QUANTILES,
    coverage=0.9,
)
PROBABILITIES = np.float32([[0.1, 0.6, 0.3], [0.5, 0.1, 0.4]])


def test_sets_and_abstention_follow_the_calibration() -> None:
    sure, unsure = Answering(NAMES, CALIBRATION, 2).of(PROBABILITIES)
    assert sure.labels == ("running", "sitting")
    assert (sure.calibrated, sure.abstained, unsure.abstained) == (True, False, True)
    assert sure.label_set == ("running", "sitting")  # dancing's score is 0.9
    narrow = Answering(NAMES, CALIBRATION, 1, coverage=0.8).of(PROBABILITIES)
    assert [one.label_set for one in narrow] == [("running",), ("dancing", "sitting")]


def test_a_threshold_of_the_callers_own_counts() -> None:
    assert [one.abstained for one in Answering(NAMES, CALIBRATION, 1, threshold=0.7).of(PROBABILITIES)] == [True, True]
    assert not any(one.abstained for one in Answering(NAMES, CALIBRATION, 1, threshold=0).of(PROBABILITIES))
    own = Answering(NAMES, None, 1, threshold=0.55).of(PROBABILITIES)
    assert [(one.calibrated, one.abstained, one.label_set) for one in own] == [
        (False, False, None),
        (False, True, None),
    ]


def test_a_bundle_that_knows_no_sets_gives_none() -> None:
    older = Calibration(temperature=1.0, split="calibration", samples=9, data_hash="d")
    answer = Answering(NAMES, older, 1).of(PROBABILITIES)[0]
    assert (answer.calibrated, answer.abstained, answer.label_set) == (True, False, None)
    with pytest.raises(ConfigError, match="no conformal quantiles"):
        Answering(NAMES, older, 1, coverage=0.9)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"threshold": 1.5}, "from 0 to 1, got 1.5"),
        ({"threshold": -0.1}, "from 0 to 1"),
        ({"coverage": 0.99}, "up to 0.9"),
        ({"coverage": 0.0}, "up to 0.9"),
    ],
)
def test_a_number_that_cannot_be_used_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Answering(NAMES, CALIBRATION, 1, **settings)


def test_labels_of_ones_own_have_no_coverage() -> None:
    with pytest.raises(ConfigError, match="labels of your own"):
        Answering(NAMES, None, 1, coverage=0.9)


def bundle_of(study: Study, folder: Path) -> ModelBundle:
    return study.assemble(folder / "bundle", study.fit(METHODS.get("linear_probe").Config()))


@pytest.fixture(scope="module")
def predictor(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(bundle_of(study, tmp_path_factory.mktemp("answers")), "torch", device="cpu")


def test_a_bundle_is_made_with_its_quantiles(predictor: Predictor, study: Study) -> None:
    calibration = predictor.bundle.calibration
    assert calibration.conformal is not None
    assert calibration.abstention.precision == 0.9
    photos = study.manifest.split("test").paths
    for answer in predictor.predict(photos):
        assert answer.label in answer.label_set
    wide, narrow = (predictor.predict(photos, coverage=coverage) for coverage in (0.8, 0.5))
    assert all(set(small.label_set) <= set(large.label_set) for small, large in zip(narrow, wide, strict=True))
    own = predictor.predict(photos, labels=["cycling", "texting"])
    assert all(answer.label_set is None for answer in own)


@pytest.mark.parametrize("architecture", ["clip", "siglip", "vision_text"])
def test_an_explanation_is_a_picture_of_the_picture(architecture: str, tmp_path: Path) -> None:
    study = tiny_study(tmp_path / "study", architecture)
    predictor = Predictor.load(bundle_of(study, tmp_path), "torch", device="cpu")
    photo = study.manifest.split("test").paths[0]
    before = predictor.predict([photo])[0]
    explanation = predictor.explain(photo)
    assert explanation.label == before.label
    assert explanation.method == ("gradient_map" if architecture == "vision_text" else "attention_rollout")
    assert explanation.heat.dtype == np.float32
    assert min(explanation.heat.shape) > 1
    assert (explanation.heat.min(), explanation.heat.max()) == (0, 1)
    assert Image.open(io.BytesIO(explanation.png)).size == Image.open(photo).size
    other = predictor.explain(photo, label=next(label for label in predictor.bundle.labels if label != before.label))
    assert not np.allclose(other.heat, explanation.heat)  # it speaks of a label, not of the picture
    np.testing.assert_allclose(predictor.predict([photo])[0].scores, before.scores, atol=1e-6)
    assert all(parameter.grad is None for parameter in predictor.encoder.model.parameters())


def test_the_heat_lies_where_the_score_comes_from(study: Study) -> None:
    """What is covered where the heat is highest costs the score more than what is covered where it is lowest."""
    encoder = study.load()
    generator = np.random.default_rng(0)
    effects = []
    for _ in range(24):
        pixels = generator.normal(0, 1, (3, *encoder.preprocessing.output_size)).astype(np.float32)
        direction = generator.normal(0, 1, len(encoder.encode_images(pixels[None])[0])).astype(np.float32)
        heat, _ = heat_map(encoder, pixels, direction)
        rows, columns = heat.shape
        high, wide = pixels.shape[1] // rows, pixels.shape[2] // columns
        scores = []
        for place in (heat.argmax(), heat.argmin()):
            row, column = divmod(int(place), columns)
            covered = pixels.copy()
            covered[:, row * high : (row + 1) * high, column * wide : (column + 1) * wide] = 0
            scores.append(abs(float((encoder.encode_images(np.stack([covered, pixels])) @ direction) @ [1, -1])))
        effects.append(scores)
    highest, lowest = np.mean(effects, axis=0)
    assert highest > 1.3 * lowest


def test_the_gradient_of_any_head(predictor: Predictor) -> None:
    embedding = np.float32(np.random.default_rng(0).normal(size=predictor.bundle.class_matrix.shape[1]))
    gradient = score_gradient(lambda values: predictor.logits(values)[:, 1], embedding)
    np.testing.assert_allclose(gradient, predictor.bundle.head.weight[1], rtol=0.02, atol=2e-3)


def test_what_cannot_be_explained_is_refused(predictor: Predictor, study: Study) -> None:
    photo = study.manifest.split("test").paths[0]
    with pytest.raises(ConfigError, match=r"runing.*running"):
        predictor.explain(photo, label="runing")
    with pytest.raises(ImageError):
        predictor.explain(b"no picture")


def test_the_box_is_what_the_encoder_sees() -> None:
    config = PreprocessingConfig.from_huggingface(
        {
            "size": {"shortest_edge": 256},
            "do_center_crop": True,
            "crop_size": 224,
            "image_mean": (0.5,) * 3,
            "image_std": (0.5,) * 3,
        }
    )
    assert seen_box(config, 400, 200) == pytest.approx((0.28125, 0.0625, 0.71875, 0.9375))
    whole = replace_size(config)
    assert seen_box(whole, 400, 200) == (0, 0, 1, 1)
    picture = Image.new("RGB", (400, 200), (90, 120, 150))
    drawn = np.asarray(Image.open(io.BytesIO(overlay(picture, np.ones((7, 7), np.float32), (0.25, 0, 0.75, 1)))))
    assert (drawn[100, 200] != drawn[100, 20]).any()
    assert (drawn[100, 20] == drawn[50, 380]).all()


def replace_size(config: PreprocessingConfig) -> PreprocessingConfig:
    return config.model_copy(update={"resize_shortest_edge": None, "resize_to": (224, 224), "crop": None})


def test_attentions_that_are_not_between_patches_are_no_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolutional encoder whose blocks also return attention-like maps is explained by its feature maps."""
    import torch

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = torch.nn.Conv2d(3, 4, 4, stride=4)
            self.gate = Gate()

    class Gate(torch.nn.Module):
        def forward(self, values):
            return values.mean(dim=(2, 3)), values.mean(dim=3, keepdim=True)

    torch.manual_seed(0)
    model = Encoder()

    class Dual:
        backbone, model_type = "a test's", "a test's"

        def __init__(self) -> None:
            self.model = model

        def image_tensor(self, pixels):
            return torch.from_numpy(pixels)

        def image_features(self, pixels):
            return model.gate(model.features(pixels).relu())[0]

    monkeypatch.setattr("clip_har.inference.explanation._eager", lambda encoder: nullcontext())
    heat, method = heat_map(
        Dual(), np.random.default_rng(0).random((3, 16, 16), dtype=np.float32), np.ones(4, np.float32)
    )
    assert method == "gradient_map"
    assert heat.shape == (4, 4)
