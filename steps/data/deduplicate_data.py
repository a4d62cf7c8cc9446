"""Step: find photographs that show the same picture, and group them."""

from typing import Annotated

from zenml import step

from clip_har.data.manifest import Manifest
from clip_har.data.validation import Inspection, ValidationConfig, ValidationReport, deduplicate
from clip_har.progress import progress
from materializers.manifest import ManifestMaterializer
from materializers.validation_report import ValidationReportMaterializer


@step(
    output_materializers={
        "deduplicated": ManifestMaterializer,
        "second_report": ValidationReportMaterializer,
    }
)
def deduplicate_data(
    validated: Manifest, first_report: ValidationReport, inspection: Inspection, validation: ValidationConfig
) -> tuple[Annotated[Manifest, "deduplicated"], Annotated[ValidationReport, "second_report"]]:
    """The same samples, grouped, and the report with what was found."""
    with progress("comparing photographs") as report:
        deduplicated, second_report = deduplicate(validated, first_report, inspection, validation, report)
    return deduplicated, second_report  # ZenML reads here how many there are
