from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.hashing import sha256_json
from clip_har.registry.page import render_promotion
from clip_har.registry.report import PromotionReport
from clip_har.storage import write_json
from materializers.folder import FolderMaterializer


class PromotionReportMaterializer(FolderMaterializer):
    """JSON, and the decision as a page."""

    ASSOCIATED_TYPES = (PromotionReport,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: PromotionReport, folder: Path) -> None:
        write_json(folder / "promotion_report.json", data.model_dump(mode="json"))

    def read(self, folder: Path) -> PromotionReport:
        return PromotionReport.model_validate_json((folder / "promotion_report.json").read_text(encoding="utf-8"))

    def compute_content_hash(self, data: PromotionReport) -> str:
        return sha256_json(data.model_dump(mode="json"))

    def extract_metadata(self, data: PromotionReport) -> dict[str, Any]:
        gains = {f"gain on {one.name}": one.beside.gain.value for one in data.comparisons if one.beside}
        return {
            "outcome": data.outcome,
            "challenger": data.challenger.model_id,
            "champion": data.champion.model_id if data.champion else "none",
            "metric": data.metric,
            **gains,
        }

    def save_visualizations(self, data: PromotionReport) -> dict[str, VisualizationType]:
        return self.page("promotion.html", render_promotion(data))
