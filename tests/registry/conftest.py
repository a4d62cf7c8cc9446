"""Real bundles of a tiny CLIP, made once; each other temperature is another model."""

from __future__ import annotations

from pathlib import Path

import pytest

from clip_har.models.backbone import ModelConfig
from clip_har.models.bundle import BundleInfo, ModelBundle, OpenVocabulary
from clip_har.models.calibration import Calibration
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.head import TextHead
from tests.tiny_models import tiny_clip

LABELS = ("cycling", "running", "using_laptop")


@pytest.fixture(scope="session")
def three_bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelBundle, ModelBundle, ModelBundle]:
    """Three models that differ in their temperature; to be read."""
    folder = tmp_path_factory.mktemp("three")
    encoder = DualEncoder.load(ModelConfig(backbone=str(tiny_clip(folder / "backbone"))))
    first, second, third = (make_bundle(folder / f"bundle-{number}", encoder, 1.0 + number) for number in range(3))
    return first, second, third


def make_bundle(target: Path, encoder: DualEncoder, temperature: float) -> ModelBundle:
    info = BundleInfo(
        labels=LABELS,
        head="text",
        method="zero_shot",
        recipe={"method": "zero_shot"},
        backbone="tiny",
        backbone_hash="b+t",
        encoder_hash="e",
        data_hash="d",
        data_revision=f"revision-{temperature:.0f}",
        config_hash="c",
        open_vocabulary=OpenVocabulary(word="kept", basis="nothing was adapted"),
        metrics={"accuracy": 0.5},
    )
    return ModelBundle.create(
        target,
        save_encoder=encoder.save,
        info=info,
        head=TextHead(encoder.logit_scale, encoder.logit_bias),
        class_matrix=encoder.encode_texts(LABELS),
        prompts={
            "single": "{}",
            "templates": ["{}"],
            "class_names": {},
            "texts": {label: [label] for label in LABELS},
        },
        calibration=Calibration(temperature=temperature, split="calibration", samples=3, data_hash="d"),
    )
