from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.evaluation.evaluate import EVALUATION_FILE, EvaluationReport
from clip_har.evaluation.report import render_report
from clip_har.hashing import sha256_json
from clip_har.storage import write_json
from materializers.folder import FolderMaterializer


class EvaluationReportMaterializer(FolderMaterializer):
    """JSON, and the report as a page."""

    ASSOCIATED_TYPES = (EvaluationReport,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: EvaluationReport, folder: Path) -> None:
        write_json(folder / EVALUATION_FILE, data.model_dump(mode="json"))

    def read(self, folder: Path) -> EvaluationReport:
        return EvaluationReport.model_validate_json((folder / EVALUATION_FILE).read_text())

    def compute_content_hash(self, data: EvaluationReport) -> str:
        return sha256_json(data.model_dump(mode="json"))

    def extract_metadata(self, data: EvaluationReport) -> dict[str, Any]:
        figures = {name: estimate.value for name, estimate in data.metrics.items()}
        return {"model_id": data.model_id, "split": data.split, "samples": data.samples, **figures}

    def save_visualizations(self, data: EvaluationReport) -> dict[str, VisualizationType]:
        return self.page("report.html", render_report(data))
