"""Step: pretrain both encoders on pictures and captions."""

from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.data.fingerprint import DataFingerprint
from clip_har.data.image import ImageLimits
from clip_har.data.pairs import build_pair_source
from clip_har.hashing import sha256_json
from clip_har.models.backbone import ComputeConfig
from clip_har.training.pretrain import PretrainedBackbone, PretrainingConfig, pretrain
from materializers.pretrained_backbone import PretrainedBackboneMaterializer
from stacks.tracking import pipeline_outbox
from steps.code import hash_of_modules
from steps.curves import LiveCurves
from steps.scratch import scratch_folder
from steps.training.context import what_is_trained

PART = "pretraining"
"""Of the run: what its curves are called."""


@step(output_materializers=PretrainedBackboneMaterializer)
def pretrain_backbone(
    fingerprint: DataFingerprint,
    pretraining: PretrainingConfig,
    compute: ComputeConfig,
    limits: ImageLimits,
    seed: int,
    workspace: str,
) -> Annotated[PretrainedBackbone, "backbone"]:
    """A Hugging Face folder, with the history of its training."""
    pairs = build_pair_source(pretraining.pairs, workspace).read()
    key = sha256_json(
        {
            "pretraining": what_is_trained(pretraining),
            "data": fingerprint.data_hash,
            "device": compute.device,
            "code": hash_of_modules("clip_har.training.pretrain"),
        }
    )
    curves = LiveCurves(PART, pipeline_outbox())
    backbone = pretrain(
        pretraining,
        pairs,
        scratch_folder() / "backbone",
        compute=compute,
        seed=seed,
        limits=limits,
        key=key,
        workspace=Path(workspace),
        on_validation=curves.on_validation,
    )
    curves.complete(backbone.history)
    return backbone
