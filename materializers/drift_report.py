from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.hashing import sha256_json
from clip_har.monitoring.figures import drift_metrics
from clip_har.monitoring.page import render_drift
from clip_har.monitoring.report import DriftReport
from clip_har.storage import write_json
from materializers.folder import FolderMaterializer


class DriftReportMaterializer(FolderMaterializer):
    """JSON, and what was found as a page."""

    ASSOCIATED_TYPES = (DriftReport,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: DriftReport, folder: Path) -> None:
        write_json(folder / "drift_report.json", data.model_dump(mode="json"))

    def read(self, folder: Path) -> DriftReport:
        return DriftReport.model_validate_json((folder / "drift_report.json").read_text(encoding="utf-8"))

    def compute_content_hash(self, data: DriftReport) -> str:
        return sha256_json(data.model_dump(mode="json"))

    def extract_metadata(self, data: DriftReport) -> dict[str, Any]:
        figures = drift_metrics(data)
        kept = ("drift/alarm", "drift/p_value", "accuracy/reference", "accuracy/estimated", "accuracy/measured")
        return {
            "model_id": data.model_id,
            "window": data.window.id,
            "pictures": data.window.pictures,
            "alarmed": ", ".join(check.name for check in data.alarmed) or "none",
            "cause": data.cause or "none",
            "state": data.decided.state if data.decided else "not decided",
            **{name: figures[name] for name in kept if name in figures},
        }

    def save_visualizations(self, data: DriftReport) -> dict[str, VisualizationType]:
        return self.page("drift.html", render_drift(data))
