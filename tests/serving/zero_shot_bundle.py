"""A bundle of a dual encoder as it is, with the fifteen actions as its labels."""

from __future__ import annotations

from pathlib import Path

from clip_har.models.bundle import BundleInfo, ModelBundle, OpenVocabulary
from clip_har.models.calibration import Calibration
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.head import TextHead
from clip_har.samples.actions import HAR_ACTIONS


def zero_shot_bundle(folder: Path, encoder: DualEncoder, *, labels=HAR_ACTIONS) -> Path:
    """The bundle's folder."""
    texts = [f"a photo of a person {label.replace('_', ' ')}." for label in labels]
    info = BundleInfo(
        labels=labels,
        head="text",
        method="zero_shot",
        recipe={"method": "zero_shot"},
        backbone="test",
        backbone_hash="b+t",
        encoder_hash=encoder.image_encoder_hash(),
        data_hash="d",
        data_revision="r",
        config_hash="c",
        open_vocabulary=OpenVocabulary(word="kept", basis="nothing was adapted"),
        metrics={"accuracy": 0.5},
    )
    bundle = ModelBundle.create(
        folder,
        save_encoder=encoder.save,
        info=info,
        head=TextHead(encoder.logit_scale, encoder.logit_bias),
        class_matrix=encoder.encode_texts(texts),
        prompts={
            "single": "a photo of a person {}.",
            "templates": ["a photo of a person {}."],
            "class_names": {},
            "texts": {label: [text] for label, text in zip(labels, texts, strict=True)},
        },
        calibration=Calibration(temperature=1.5, split="calibration", samples=3, data_hash="d"),
    )
    return bundle.path
