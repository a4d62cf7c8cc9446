from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.data.validation import ValidationReport
from materializers.folder import FolderMaterializer


class ValidationReportMaterializer(FolderMaterializer):
    """Counts as JSON; rejections, warnings and near-duplicates as Parquet; and all of it as a page."""

    ASSOCIATED_TYPES = (ValidationReport,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: ValidationReport, folder: Path) -> None:
        data.write(folder)

    def read(self, folder: Path) -> ValidationReport:
        return ValidationReport.read(folder)

    def compute_content_hash(self, data: ValidationReport) -> str:
        return data.content_hash

    def extract_metadata(self, data: ValidationReport) -> dict[str, Any]:
        summary = data.summary()
        for kind in ("rejected", "warned"):
            reasons = summary.pop(f"{kind}_by_reason")
            summary |= {f"{kind}_{reason}": number for reason, number in reasons.items()}
        return summary

    def save_visualizations(self, data: ValidationReport) -> dict[str, VisualizationType]:
        return self.page("validation.html", data.to_html())
