"""Step: the report, published, where the service and the app find it, and told. Never cached: nothing else has side effects."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.environment import describe_environment
from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.alerts import alert
from clip_har.monitoring.config import MonitorConfig
from clip_har.monitoring.evidently_report import EvidentlyFiles, add_to_workspace
from clip_har.monitoring.figures import drift_metrics
from clip_har.monitoring.history import FOLDER, History
from clip_har.monitoring.labels import LabelsAtHand, asks_for_training, gather_labels
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.page import render_drift
from clip_har.monitoring.report import DriftReport
from clip_har.runs import amend_record, publish
from clip_har.storage import write_atomic
from steps.code import PROJECT
from steps.monitoring.trained_on import pictures_trained_on
from steps.recording import record_published
from steps.scratch import scratch_folder
from steps.timing import describe_current_run

_ROWS_SHOWN = 100


@step(enable_cache=False)
def publish_monitoring(
    bundle: ModelBundle,
    window: Observations,
    report: DriftReport,
    evidently: EvidentlyFiles,
    monitor: MonitorConfig,
    workspace: str,
    remote: str | None,
    outputs: str,
    folder: str | None,
    settings: str,
) -> Annotated[str, "published"]:
    """Write `outputs/<run>/`, renew `<workspace>/reports/drift.*`, and send the alert.

    Args:
        remote: of the data's versions, which say what was trained on.
        folder: the run's folder, if it is to be a certain one.
        settings: the composed configuration as YAML, to be written down.
    """
    run, scratch = describe_current_run(), Path(scratch_folder())
    labels = LabelsAtHand()
    if asks_for_training(report, monitor):
        trained_on = pictures_trained_on(bundle, workspace, remote)
        labels = gather_labels(bundle.labels, window, monitor, workspace, trained_on)
    evidently.write(scratch / "evidently")
    written = {path.name: path for path in sorted((scratch / "evidently").glob("evidently.*"))}
    environment = describe_environment(PROJECT)
    facts = {
        "Run": run["name"],
        "Model": bundle.model_id,
        "Window": report.window.id,
        "Labels": " ".join(labels.said) or "none were asked for",
        "Git revision": environment["git_revision"] or "not in Git",
    }
    about = {"history": History(workspace).rows(most=_ROWS_SHOWN), "run": {"facts": facts}}
    found = _listed(report)
    record = {
        **run,
        "model_id": bundle.model_id,
        "method": bundle.info.method,
        "data_hash": bundle.info.data_hash,
        "environment": environment,
        "settings": settings,
        "leaderboard": None,
        "monitor": {
            "decided": report.decided.model_dump(mode="json"),
            "labels": labels.model_dump(mode="json"),
            "alert": None,
            "retraining": None,
            "evidently": str(Path(workspace) / FOLDER / "evidently") if evidently else None,
        },
    }
    published = publish(
        outputs,
        run["name"],
        report=render_drift(report, links=_links(written, labels), **about),
        metrics={"monitor": drift_metrics(report)},
        record=record,
        files={"drift_report.json": found, **written},
        fixed=folder,
    )
    for name, content in (("drift.html", render_drift(report, **about)), ("drift.json", found)):
        write_atomic(Path(workspace) / "reports" / name, content)
    if evidently:
        where = Path(workspace) / FOLDER / "evidently"
        add_to_workspace(where, evidently, report, run=run["name"], time=datetime.now(UTC), most=monitor.evidently_runs)
    told = alert(report, monitor.alert, {"report": str(published / "report.html")})
    amend_record(published, monitor=record["monitor"] | {"alert": told.model_dump(mode="json")})
    record_published(
        published,
        tables={"checks": [check.model_dump(mode="json", exclude={"distribution"}) for check in report.checks]},
        files=("drift_report.json", *written),
    )
    return str(published)


def _links(written: dict[str, Path], labels: LabelsAtHand) -> dict[str, str]:
    """What is beside the page."""
    found = {"json": "drift_report.json"}
    if "evidently.html" in written:
        found["evidently"] = "evidently.html"
    if labels.sheet:
        found["sheet"] = (Path(labels.sheet).absolute() / "sheet.html").as_uri()
    return found


def _listed(report: DriftReport) -> str:
    return json.dumps(report.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
