"""evaluate: a bundle and a data set → a report."""

from zenml import pipeline
from zenml.enums import ExecutionMode

from clip_har.config import RunConfig
from clip_har.data.sources import SOURCES
from clip_har.runs import latest_bundle
from pipelines.caching import on_its_code
from steps.data.fingerprint_data import fingerprint_data
from steps.data.split_data import split_data
from steps.data.validate_data import validate_data
from steps.deployment.publish_run import publish_run
from steps.evaluation.evaluate_model import evaluate_model
from steps.evaluation.open_bundle import open_bundle


@pipeline(name="evaluate", execution_mode=ExecutionMode.FAIL_FAST)
def evaluate(config: RunConfig, workspace: str, outputs: str, settings: str) -> None:
    """Measure a bundle on a split of the data."""
    data = config.data.model_dump(mode="json")  # whole: ZenML leaves out what a config does not set itself
    fingerprint = fingerprint_data(data=data, workspace=workspace)
    bundle = open_bundle(path=str(config.bundle or latest_bundle(outputs)))
    validated, validation_report = on_its_code(validate_data, SOURCES.module(config.data.source))(
        fingerprint=fingerprint, data=data, validation=config.validation, workspace=workspace
    )
    manifest = on_its_code(split_data)(validated=validated, splits=config.splits)
    evaluation = on_its_code(evaluate_model)(
        bundle=bundle,
        manifest=manifest,
        evaluation=config.evaluation,
        compute=config.compute,
        limits=config.validation.limits,
    )
    publish_run(
        bundle=bundle,
        evaluation=evaluation,
        manifest=manifest,
        validation_report=validation_report,
        fingerprint=fingerprint,
        outputs=outputs,
        settings=settings,
    )


def plan(config: RunConfig) -> list[str]:
    """Names of the steps, in order."""
    return ["fingerprint_data", "open_bundle", "validate_data", "split_data", "evaluate_model", "publish_run"]
