"""Step: look at every photograph; what fails is kept apart with its reason."""

from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.data.fingerprint import DataFingerprint
from clip_har.data.manifest import Manifest
from clip_har.data.quarantine import RejectionQueue
from clip_har.data.sources import AnySourceConfig, build_source
from clip_har.data.validation import Inspection, ValidationConfig, ValidationReport, validate
from clip_har.progress import progress
from materializers.inspection import InspectionMaterializer
from materializers.manifest import ManifestMaterializer
from materializers.validation_report import ValidationReportMaterializer


@step(
    output_materializers={
        "validated": ManifestMaterializer,
        "first_report": ValidationReportMaterializer,
        "inspection": InspectionMaterializer,
    }
)
def validate_data(
    fingerprint: DataFingerprint, data: AnySourceConfig, validation: ValidationConfig, workspace: str
) -> tuple[
    Annotated[Manifest, "validated"],
    Annotated[ValidationReport, "first_report"],
    Annotated[Inspection, "inspection"],
]:
    """Accept or reject each sample; what people decided about rejected ones is part of the fingerprint."""
    decisions = RejectionQueue(Path(workspace) / "quarantine").decisions()
    with progress("validating photographs") as report:
        validated, first_report, inspection = validate(
            build_source(data, workspace),
            validation,
            data_revision=fingerprint.data_hash[:16],
            decisions=decisions,
            progress=report,
        )
    return validated, first_report, inspection  # ZenML reads here how many there are
