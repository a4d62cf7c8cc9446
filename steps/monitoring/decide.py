"""Step: ok, watch or retrain. Never cached: a window counts once, and what came before it matters."""

from typing import Annotated

from zenml import step

from clip_har.monitoring.config import DecisionConfig
from clip_har.monitoring.history import History
from clip_har.monitoring.report import DriftReport
from materializers.drift_report import DriftReportMaterializer
from steps.timing import describe_current_run


@step(enable_cache=False, output_materializers=DriftReportMaterializer)
def decide(report: DriftReport, decision: DecisionConfig, workspace: str) -> Annotated[DriftReport, "drift_report"]:
    """The report with its decision, which the workspace's history has from here on."""
    return History(workspace).decide(describe_current_run()["name"], report, decision)
