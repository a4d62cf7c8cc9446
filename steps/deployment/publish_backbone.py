"""Step: publish a pretrained backbone with its model card. Never cached: nothing else has side effects."""

from typing import Annotated

from zenml import step

from clip_har.data.fingerprint import DataFingerprint
from clip_har.environment import describe_environment
from clip_har.evaluation.model_card import render_model_card
from clip_har.evaluation.zero_shot import ZeroShotReport
from clip_har.evaluation.zero_shot_report import render_zero_shot
from clip_har.runs import publish
from clip_har.training.pretrain import PretrainedBackbone
from steps.code import PROJECT
from steps.recording import record_published
from steps.timing import describe_current_run
from steps.training.pretrain_backbone import PART


@step(enable_cache=False)
def publish_backbone(
    backbone: PretrainedBackbone,
    zero_shot: ZeroShotReport,
    fingerprint: DataFingerprint,
    outputs: str,
    folder: str | None,
    settings: str,
) -> Annotated[str, "published"]:
    """Write `outputs/<run>/` with `backbone/` and record the run with the stack's tracker.

    Args:
        settings: the composed configuration as YAML, to be written down.
    """
    run = describe_current_run()
    environment = describe_environment(PROJECT)
    minutes = next((step["seconds"] / 60 for step in run["steps"] if step["name"] == "pretrain_backbone"), None)
    facts = {
        "Run": run["name"],
        "Parameters": f"{backbone.facts['parameters']:,}",
        "Pictures": f"{backbone.facts['trained_on']:,} trained on, {backbone.facts['validated_on']:,} held back",
        "Captions": f"{backbone.facts['captions']:,}; vocabulary of {backbone.facts['vocabulary']:,} tokens",
        "Git revision": environment["git_revision"] or "not in Git",
        "Machine": f"{environment['processor']}, {environment['cores']} cores, {environment['gpu'] or 'no GPU'}",
        "Packages": ", ".join(f"{name} {version}" for name, version in environment["packages"].items()),
    }
    report = render_zero_shot(
        zero_shot,
        histories={PART: backbone.history},
        run={"steps": run["steps"], "facts": facts, "config": settings},
    )
    card = render_model_card(
        zero_shot, backbone.facts, backbone.history, settings=settings, environment=environment, minutes=minutes
    )
    best = next(row for row in backbone.history if row["step"] == backbone.facts["best_step"])
    metrics = {
        "zero_shot": zero_shot.figures(),
        "retrieval": {"accuracy": best["accuracy"], "log_loss": best["log_loss"]},
        "pretraining": backbone.facts,
    }
    record = {
        **run,
        "data_hash": fingerprint.data_hash,
        "code_hash": fingerprint.code_hash,
        "environment": environment,
        "settings": settings,
    }
    published = publish(
        outputs,
        run["name"],
        report=report,
        metrics=metrics,
        record=record,
        backbone=backbone.path,
        model_card=card,
        fixed=folder,
    )
    record_published(
        published,
        histories={PART: ("pretrain_backbone", backbone.history)},
        tables={
            "zero_shot": [group.model_dump(exclude={"labels"}) for group in zero_shot.groups],
            "per_class": zero_shot.per_class,
        },
        model="backbone",
    )
    return str(published)
