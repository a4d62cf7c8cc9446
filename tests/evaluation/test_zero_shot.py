"""Zero-shot of a backbone: seen and unseen classes apart, by hand; its report and its model card."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from clip_har.data.sources import build_source, parse_source_config
from clip_har.data.validation import ValidationConfig, validate
from clip_har.evaluation.evaluate import EvaluationConfig
from clip_har.evaluation.model_card import render_model_card
from clip_har.evaluation.zero_shot import ZeroShotReport, measure_zero_shot, report_of
from clip_har.evaluation.zero_shot_report import render_zero_shot
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.preprocessing import Preprocessor
from clip_har.models.prompts import PromptConfig
from tests.tiny_models import colour_photos, tiny_clip

NAMES = ("running", "sitting", "using_laptop")
CONFIG = EvaluationConfig(resamples=200)
# Two photographs of each class; the last column wins whenever the true class is unseen or doubtful.
LOGITS = np.array(
    [[5, 1, 0], [2, 1, 3], [0, 4, 1], [1, 0, 2], [0, 0, 9], [9, 0, 1]],
    dtype=np.float32,
)
LABELS = np.array([0, 0, 1, 1, 2, 2])


def report(unseen: tuple[str, ...] = ("using_laptop",)) -> ZeroShotReport:
    return report_of(LOGITS, LABELS, NAMES, unseen, CONFIG, {name: (name.replace("_", " "),) for name in NAMES})


def test_groups_are_measured_among_themselves_and_among_all():
    measured = {group.name: group for group in report().groups}
    assert list(measured) == ["all", "seen", "unseen"]
    everything, seen, unseen = measured.values()
    assert (everything.samples, seen.samples, unseen.samples) == (6, 4, 2)
    assert everything.among_themselves.value == everything.among_all.value == pytest.approx(3 / 6)
    assert (seen.among_themselves.value, seen.among_all.value) == (pytest.approx(3 / 4), pytest.approx(2 / 4))
    assert (unseen.among_themselves.value, unseen.among_all.value) == (1.0, pytest.approx(1 / 2))
    assert [group.chance for group in measured.values()] == [pytest.approx(1 / 3), 1 / 2, 1.0]
    assert seen.labels == ("running", "sitting")


@pytest.mark.parametrize("unseen", [(), ("cycling",), NAMES])
def test_without_two_kinds_there_is_one_group(unseen):
    assert [group.name for group in report(unseen).groups] == ["all"]


def test_intervals_hold_the_value_and_follow_the_seed():
    first = report().groups[0].among_all
    assert first.low < first.value < first.high
    assert report().groups[0].among_all == first


def test_a_backbone_is_measured_on_every_photograph_with_the_prompts(tmp_path):
    backbone = ModelConfig(backbone=str(tiny_clip(tmp_path / "clip")))
    source = build_source(
        parse_source_config({"source": "folder", "path": str(colour_photos(tmp_path / "photos", NAMES, 4))}), "unused"
    )
    manifest, *_ = validate(source, ValidationConfig(), data_revision="revision")
    prompts = PromptConfig(class_names={"using_laptop": ("typing", "at a laptop")})
    measured = measure_zero_shot(backbone, manifest, prompts, ["using_laptop"], CONFIG, ComputeConfig(device="cpu"))
    assert measured.samples == len(manifest) == 12
    assert measured.prompts["using_laptop"] == ("typing", "at a laptop")
    encoder = DualEncoder.load(backbone)
    pixels = Preprocessor(encoder.preprocessing)
    images = encoder.encode_images(np.stack([pixels(pixels.decode(path)) for path in manifest.paths]))
    scores = images @ encoder.class_matrix(prompts.texts(manifest.labels, "ensemble")).T
    right = (scores.argmax(axis=1) == manifest.label_indices).mean()
    assert measured.groups[0].among_all.value == pytest.approx(right)
    assert np.trace(measured.confusion) == round(12 * right)


def test_the_report_shows_groups_words_and_run():
    page = render_zero_shot(
        report(),
        histories={
            "pretraining": [{"step": s, "epoch": s, "accuracy": 0.1 * s, "log_loss": 4.0 - s} for s in range(3)]
        },
        run={
            "steps": [{"name": "pretrain_backbone", "status": "completed", "seconds": 61.0}],
            "facts": {"Machine": "<two> cores"},
            "config": "seed: 0",
        },
    )
    for text in (
        "Actions that pretraining never saw",
        "50.0\u202f%",
        "using laptop",
        "&lt;two&gt; cores",
        "<svg",
        "seed: 0",
    ):
        assert text in page, text
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "pretraining never saw" not in render_zero_shot(report(()))


SETTINGS = {
    "seed": 0,
    "paths": {"workspace": "/home/someone/secret"},
    "data": {"source": "samples"},
    "prompts": {},
    "pretraining": {
        "pairs": {"source": "samples", "held_out": ["using_laptop"]},
        "training": {"batch_size": 50},
    },
}
FACTS = {
    **{"parameters": 2_000_000, "vocabulary": 1500, "continued_from": None, "pictures": 900, "captions": 3600},
    **{
        "trained_on": 800,
        "validated_on": 100,
        "rejected": {"truncated": 2},
        "steps": 70,
        "best_step": 40,
        "threads": 1,
    },
}
HISTORY = [{"step": 20, "accuracy": 0.2}, {"step": 40, "accuracy": 0.375}, {"step": 70, "accuracy": 0.3}]


def card(**changes) -> str:
    return render_model_card(
        report(),
        FACTS | changes,
        HISTORY,
        settings=yaml.safe_dump(SETTINGS),
        environment={"cores": 2, "processor": "a processor", "gpu": None},
        minutes=41.4,
    )


def test_the_card_gives_command_data_time_and_results():
    said = card()
    front = yaml.safe_load(said.split("---")[1])
    assert front["library_name"] == "transformers"
    for text in (
        "python run.py --pipeline pretrain",
        "2,000,000 parameters",
        "900 pictures with 3,600 captions",
        "2 files could not be decoded",
        "70 steps of 50 pictures",
        "41 minutes with one thread on a machine of 2 cores",
        "using laptop",
        "| Never seen in pretraining (1) | 2 | 100.0 % | 100.0 % (100.0 to 100.0) | 50.0 % (",
        "in 37.5 % (chance 2.0 %)",  # of the best state, not of the last
        "from scratch",
    ):
        assert text in said, text
    assert "secret" not in said


def test_the_card_names_where_it_went_on_from_without_its_folders():
    said = card(continued_from="/home/someone/models/clip-base")
    assert "continued from `clip-base`" in said
    assert "/home" not in said
