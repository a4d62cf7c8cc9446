"""pretrain: pictures and captions → a backbone, with its zero-shot result on labelled photographs."""

from zenml import pipeline
from zenml.enums import ExecutionMode

from clip_har.config import RunConfig
from clip_har.data.pairs import PAIR_SOURCES
from pipelines.caching import on_its_code
from pipelines.labelled_data import labelled_data, plan_of_labelled_data
from steps.data.fingerprint_pairs import fingerprint_pairs
from steps.deployment.publish_backbone import publish_backbone
from steps.evaluation.measure_backbone import measure_backbone
from steps.training.pretrain_backbone import pretrain_backbone


@pipeline(name="pretrain", execution_mode=ExecutionMode.FAIL_FAST)
def pretrain(config: RunConfig, workspace: str, outputs: str, settings: str, version: str | None = None) -> None:
    """Pretrain a backbone and measure its zero-shot."""
    limits = config.validation.limits
    pretraining = config.pretraining.model_dump(mode="json")
    pairs = pretraining["pairs"]
    manifest, _, _ = labelled_data(config, workspace, version, split=False)
    fingerprint = fingerprint_pairs(pairs=pairs, backbone=config.pretraining.backbone, workspace=workspace)
    backbone = on_its_code(pretrain_backbone, PAIR_SOURCES.module(pairs["source"]))(
        fingerprint=fingerprint,
        pretraining=pretraining,
        compute=config.compute,
        limits=limits,
        seed=config.seed,
        workspace=workspace,
    )
    zero_shot = on_its_code(measure_backbone)(
        backbone=backbone,
        manifest=manifest,
        prompts=config.prompts,
        held_out=list(config.pretraining.pairs.held_out),
        evaluation=config.evaluation,
        compute=config.compute,
        limits=limits,
    )
    publish_backbone(
        backbone=backbone,
        zero_shot=zero_shot,
        fingerprint=fingerprint,
        outputs=outputs,
        folder=config.paths.run,
        settings=settings,
    )


def plan(config: RunConfig, version: str | None = None) -> list[str]:
    """Names of the steps, in order."""
    made = ("fingerprint_pairs", "pretrain_backbone", "measure_backbone", "publish_backbone")
    return [*plan_of_labelled_data(version, split=False), *made]
