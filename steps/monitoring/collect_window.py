"""Step: what the model saw and said in the window. Never cached: more may have been captured."""

from typing import Annotated

from zenml import step

from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.collecting import collect
from clip_har.monitoring.config import MonitorConfig
from clip_har.monitoring.observations import Observations
from clip_har.progress import progress
from materializers.observations import ObservationsMaterializer


@step(enable_cache=False, output_materializers=ObservationsMaterializer)
def collect_window(
    bundle: ModelBundle, monitor: MonitorConfig, compute: ComputeConfig, workspace: str
) -> Annotated[Observations, "window"]:
    """The bundle's answers, with what was told of them since."""
    with progress("looking at the window") as shown:
        return collect(monitor, bundle, workspace, compute=compute, progress=shown)
