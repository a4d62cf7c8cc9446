"""Step: compare every exported form with the PyTorch encoder on the validation photographs."""

from typing import Annotated

from zenml import step

from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.export import exporting
from clip_har.export.config import GateConfig
from clip_har.export.exporting import MadeForms
from clip_har.export.report import ExportReport
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.progress import progress
from materializers.export_report import ExportReportMaterializer


@step(output_materializers=ExportReportMaterializer)
def gate_forms(
    bundle: ModelBundle,
    manifest: Manifest,
    forms: MadeForms,
    gate: GateConfig,
    compute: ComputeConfig,
    limits: ImageLimits,
) -> Annotated[ExportReport, "export_report"]:
    """The report as data: which forms may go into the bundle, and why the others may not."""
    return exporting.gate_forms(
        bundle,
        manifest,
        forms,
        gate,
        limits=limits,
        threads=compute.threads,
        batch_size=compute.batch_size,
        shown=progress,
    )
