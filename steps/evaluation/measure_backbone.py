"""Step: measure a backbone's zero-shot on labelled photographs, seen and unseen classes apart."""

from typing import Annotated

from zenml import step

from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.evaluation.evaluate import EvaluationConfig
from clip_har.evaluation.zero_shot import ZeroShotReport, measure_zero_shot
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.prompts import PromptConfig
from clip_har.progress import progress
from clip_har.training.pretrain import PretrainedBackbone
from materializers.zero_shot_report import ZeroShotReportMaterializer


@step(output_materializers=ZeroShotReportMaterializer)
def measure_backbone(
    backbone: PretrainedBackbone,
    manifest: Manifest,
    prompts: PromptConfig,
    held_out: list[str],
    evaluation: EvaluationConfig,
    compute: ComputeConfig,
    limits: ImageLimits,
) -> Annotated[ZeroShotReport, "zero_shot"]:
    """The report as data."""
    with progress("measuring zero-shot") as report:
        return measure_zero_shot(
            ModelConfig(backbone=str(backbone.path)),
            manifest,
            prompts,
            held_out,
            evaluation,
            compute,
            limits=limits,
            progress=report,
        )
