"""data: photographs from a source → a published version, with what was rejected in a queue."""

from zenml import pipeline
from zenml.enums import ExecutionMode

from clip_har.config import RunConfig
from pipelines.labelled_data import plan_of_labelled_data, settings_hash, source_data
from steps.data.publish_data import publish_data
from steps.data.quarantine_data import quarantine_data


@pipeline(name="data", execution_mode=ExecutionMode.FAIL_FAST)
def data(config: RunConfig, workspace: str, outputs: str, settings: str, version: str | None = None) -> None:
    """Publish a version of the data."""
    manifest, report, inspection, fingerprint = source_data(config, workspace)
    queue = quarantine_data(
        validation_report=report,
        fingerprint=fingerprint,
        data=config.data.model_dump(mode="json"),
        quarantine=config.quarantine,
        workspace=workspace,
    )
    publish_data(
        manifest=manifest,
        validation_report=report,
        inspection=inspection,
        fingerprint=fingerprint,
        queue=queue,
        splits=config.splits,
        versions=config.workspace,
        card=config.card,
        workspace=workspace,
        outputs=outputs,
        folder=config.paths.run,
        settings=settings,
        settings_hash=settings_hash(config),
    )


def plan(config: RunConfig, version: str | None = None) -> list[str]:
    """Names of the steps, in order."""
    return [*plan_of_labelled_data(None), "quarantine_data", "publish_data"]
