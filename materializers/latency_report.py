from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.export.latency import LatencyReport
from clip_har.hashing import sha256_json
from clip_har.storage import write_json
from materializers.folder import FolderMaterializer


class LatencyReportMaterializer(FolderMaterializer):
    """JSON, and a line a runtime."""

    ASSOCIATED_TYPES = (LatencyReport,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: LatencyReport, folder: Path) -> None:
        write_json(folder / "latency.json", data.model_dump(mode="json"))

    def read(self, folder: Path) -> LatencyReport:
        return LatencyReport.model_validate_json((folder / "latency.json").read_text())

    def compute_content_hash(self, data: LatencyReport) -> str:
        return sha256_json(data.model_dump(mode="json"))

    def extract_metadata(self, data: LatencyReport) -> dict[str, Any]:
        return {"fastest": data.fastest.runtime, **{f"{row.runtime}_milliseconds": row.median for row in data.rows}}

    def save_visualizations(self, data: LatencyReport) -> dict[str, VisualizationType]:
        rows = [f"{row.runtime}  {row.median:.2f} ms, 99 in 100 within {row.p99:.2f} ms" for row in data.rows]
        return self.page("latency.html", f"<pre>{escape(chr(10).join(rows))}</pre>")
