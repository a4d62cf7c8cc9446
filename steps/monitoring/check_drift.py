"""Step: compare the window with the model's reference profile."""

from typing import Annotated

from zenml import step

from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.checking import check_window
from clip_har.monitoring.config import MonitorConfig
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.profile import ReferenceProfile
from clip_har.monitoring.report import DriftReport
from materializers.drift_report import DriftReportMaterializer


@step(enable_cache=False, output_materializers=DriftReportMaterializer)
def check_drift(
    bundle: ModelBundle, window: Observations, monitor: MonitorConfig
) -> Annotated[DriftReport, "found_drift"]:
    """Each check's figure beside its threshold, and what changed."""
    return check_window(ReferenceProfile.of(bundle), window, monitor, method=bundle.info.method)
