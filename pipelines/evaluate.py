"""evaluate: a bundle and a data set → a report."""

from zenml import pipeline
from zenml.enums import ExecutionMode

from clip_har.config import RunConfig
from pipelines.bundles import bundle_path
from pipelines.caching import on_its_code
from pipelines.labelled_data import labelled_data, plan_of_labelled_data
from steps.deployment.publish_run import publish_run
from steps.evaluation.evaluate_model import evaluate_model
from steps.evaluation.open_bundle import open_bundle


@pipeline(name="evaluate", execution_mode=ExecutionMode.FAIL_FAST)
def evaluate(config: RunConfig, workspace: str, outputs: str, settings: str, version: str | None = None) -> None:
    """Measure a bundle on a split of the data."""
    manifest, validation_report, fingerprint = labelled_data(config, workspace, version)
    bundle = open_bundle(path=str(bundle_path(config)))
    evaluation = on_its_code(evaluate_model)(
        bundle=bundle,
        manifest=manifest,
        evaluation=config.evaluation,
        compute=config.compute,
        limits=config.validation.limits,
        embedding_cache=config.embedding_cache,
        workspace=workspace,
    )
    publish_run(
        bundle=bundle,
        evaluation=evaluation,
        manifest=manifest,
        validation_report=validation_report,
        fingerprint=fingerprint,
        outputs=outputs,
        folder=config.paths.run,
        settings=settings,
        seed=config.seed,
        limits=config.validation.limits,
    )


def plan(config: RunConfig, version: str | None = None) -> list[str]:
    """Names of the steps, in order."""
    return [*plan_of_labelled_data(version), "open_bundle", "evaluate_model", "publish_run"]
