"""Step: look at every photograph; what fails is kept apart with its reason."""

from typing import Annotated

from zenml import step

from clip_har.data.fingerprint import DataFingerprint
from clip_har.data.manifest import Manifest
from clip_har.data.sources import AnySourceConfig, build_source
from clip_har.data.validation import ValidationConfig, ValidationReport, validate
from clip_har.progress import progress
from materializers.manifest import ManifestMaterializer
from materializers.validation_report import ValidationReportMaterializer


@step(
    output_materializers={
        "validated": ManifestMaterializer,
        "validation_report": ValidationReportMaterializer,
    }
)
def validate_data(
    fingerprint: DataFingerprint, data: AnySourceConfig, validation: ValidationConfig, workspace: str
) -> tuple[Annotated[Manifest, "validated"], Annotated[ValidationReport, "validation_report"]]:
    """Accept or reject each sample, and group what shows the same picture."""
    with progress("validating photographs") as report:
        source = build_source(data, workspace)
        validated, validation_report = validate(source, validation, fingerprint.data_hash[:16], report)
    return validated, validation_report
