"""Step: what shows the drift. Never cached: a picture that was deleted from the capture is not to come back."""

from functools import partial
from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.capture import CaptureStore
from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.config import MonitorConfig
from clip_har.monitoring.distributions import with_distributions
from clip_har.monitoring.evidently_report import EvidentlyFiles, evidently_report
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.pictures import from_file, with_pictures
from clip_har.monitoring.profile import ReferenceProfile
from clip_har.monitoring.report import DriftReport
from materializers.drift_report import DriftReportMaterializer
from materializers.evidently_files import EvidentlyFilesMaterializer


@step(
    enable_cache=False,
    output_materializers={
        "illustrated_drift": DriftReportMaterializer,
        "evidently": EvidentlyFilesMaterializer,
    },
)
def report_drift(
    bundle: ModelBundle, window: Observations, report: DriftReport, monitor: MonitorConfig, workspace: str
) -> tuple[Annotated[DriftReport, "illustrated_drift"], Annotated[EvidentlyFiles, "evidently"]]:
    """The report with distributions and pictures, and Evidently's own of the same window."""
    profile = ReferenceProfile.of(bundle)
    report = with_distributions(
        report, profile.observations, window, neighbours=profile.config.neighbours, seed=monitor.seed
    )
    if monitor.source == "captured":
        picture_of = CaptureStore(monitor.capture or Path(workspace) / "capture").image_bytes
    else:
        picture_of = partial(from_file, limits=monitor.limits)
    report = with_pictures(report, window, picture_of, monitor.limits)
    evidently = (
        evidently_report(profile.observations, window, report, monitor) if monitor.evidently else EvidentlyFiles()
    )
    return report, evidently
