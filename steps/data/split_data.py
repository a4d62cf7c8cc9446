"""Step: assign each duplicate group to a split."""

from typing import Annotated

from zenml import step

from clip_har.data import splits as library
from clip_har.data.manifest import Manifest
from clip_har.data.splits import EarlierSplits, SplitConfig
from clip_har.data.validation import ValidationReport
from materializers.manifest import ManifestMaterializer
from materializers.validation_report import ValidationReportMaterializer


@step(output_materializers={"manifest": ManifestMaterializer, "validation_report": ValidationReportMaterializer})
def split_data(
    deduplicated: Manifest, second_report: ValidationReport, earlier: EarlierSplits, splits: SplitConfig
) -> tuple[Annotated[Manifest, "manifest"], Annotated[ValidationReport, "validation_report"]]:
    """The same samples with their split; pictures of earlier versions keep theirs."""
    manifest, validation_report = library.split_data(deduplicated, second_report, splits, earlier)
    return manifest, validation_report  # ZenML reads here how many there are
