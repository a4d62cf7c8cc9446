"""monitor: what a model saw lately → how it differs from what the model knows → a report, and a decision."""

from zenml import pipeline
from zenml.enums import ExecutionMode

from clip_har.config import RunConfig
from pipelines.bundles import bundle_to_share
from steps.evaluation.open_bundle import open_bundle
from steps.monitoring.check_drift import check_drift
from steps.monitoring.collect_window import collect_window
from steps.monitoring.decide import decide
from steps.monitoring.publish_monitoring import publish_monitoring
from steps.monitoring.report_drift import report_drift


@pipeline(name="monitor", execution_mode=ExecutionMode.FAIL_FAST)
def monitor(config: RunConfig, workspace: str, outputs: str, settings: str, version: str | None = None) -> None:
    """Compare a window with the reference, say what changed, and decide; training again comes after it, if it is to be."""
    bundle = open_bundle(path=str(bundle_to_share(config)))
    window = collect_window(bundle=bundle, monitor=config.monitor, compute=config.compute, workspace=workspace)
    found = check_drift(bundle=bundle, window=window, monitor=config.monitor)
    illustrated, evidently = report_drift(
        bundle=bundle, window=window, report=found, monitor=config.monitor, workspace=workspace
    )
    decided = decide(report=illustrated, decision=config.monitor.decision, workspace=workspace)
    publish_monitoring(
        bundle=bundle,
        window=window,
        report=decided,
        evidently=evidently,
        monitor=config.monitor,
        workspace=workspace,
        remote=config.workspace.remote,
        outputs=outputs,
        folder=config.paths.run,
        settings=settings,
    )


def plan(config: RunConfig, version: str | None = None) -> list[str]:
    """Names of the steps, in order."""
    return ["open_bundle", "collect_window", "check_drift", "report_drift", "decide", "publish_monitoring"]
