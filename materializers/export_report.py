from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.export.page import render_export_report
from clip_har.export.report import ExportReport
from clip_har.hashing import sha256_json
from clip_har.storage import write_json
from materializers.folder import FolderMaterializer


class ExportReportMaterializer(FolderMaterializer):
    """JSON, and the report as a page."""

    ASSOCIATED_TYPES = (ExportReport,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: ExportReport, folder: Path) -> None:
        write_json(folder / "export_report.json", data.model_dump(mode="json"))

    def read(self, folder: Path) -> ExportReport:
        return ExportReport.model_validate_json((folder / "export_report.json").read_text())

    def compute_content_hash(self, data: ExportReport) -> str:
        return sha256_json(data.model_dump(mode="json"))

    def extract_metadata(self, data: ExportReport) -> dict[str, Any]:
        return {
            "model_id": data.model_id,
            "decision": data.decision,
            "samples": data.samples,
            "accepted": [form.name for form in data.accepted],
        }

    def save_visualizations(self, data: ExportReport) -> dict[str, VisualizationType]:
        return self.page("export_report.html", render_export_report(data))
