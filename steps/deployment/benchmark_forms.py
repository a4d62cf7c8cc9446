"""Step: time the accepted forms on this machine. Never cached: another machine has other times."""

from typing import Annotated

from zenml import step

from clip_har.export.exporting import MadeForms, with_exports
from clip_har.export.latency import LatencyConfig, LatencyReport, measure_latency
from clip_har.export.report import ExportReport
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.progress import progress
from materializers.latency_report import LatencyReportMaterializer
from steps.scratch import scratch_folder


@step(enable_cache=False, output_materializers=LatencyReportMaterializer)
def benchmark_forms(
    bundle: ModelBundle, forms: MadeForms, report: ExportReport, latency: LatencyConfig, compute: ComputeConfig
) -> Annotated[LatencyReport, "latency"]:
    """Milliseconds for a picture, by runtime."""
    whole = with_exports(bundle, forms, report, scratch_folder() / "bundle")
    with progress("timing the runtimes") as shown:
        return measure_latency(whole, latency, device=compute.device, threads=compute.threads, progress=shown)
