from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.evaluation.zero_shot import ZeroShotReport
from clip_har.evaluation.zero_shot_report import render_zero_shot
from clip_har.hashing import sha256_json
from clip_har.storage import write_json
from materializers.folder import FolderMaterializer


class ZeroShotReportMaterializer(FolderMaterializer):
    """JSON, and the report as a page."""

    ASSOCIATED_TYPES = (ZeroShotReport,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: ZeroShotReport, folder: Path) -> None:
        write_json(folder / "zero_shot.json", data.model_dump(mode="json"))

    def read(self, folder: Path) -> ZeroShotReport:
        return ZeroShotReport.model_validate_json((folder / "zero_shot.json").read_text())

    def compute_content_hash(self, data: ZeroShotReport) -> str:
        return sha256_json(data.model_dump(mode="json"))

    def extract_metadata(self, data: ZeroShotReport) -> dict[str, Any]:
        return {"samples": data.samples} | {group.name: group.among_themselves.value for group in data.groups}

    def save_visualizations(self, data: ZeroShotReport) -> dict[str, VisualizationType]:
        return self.page("zero_shot.html", render_zero_shot(data))
