from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.monitoring.observations import Observations
from clip_har.monitoring.tabulated import figures_table, labels_table
from materializers.folder import FolderMaterializer


class ObservationsMaterializer(FolderMaterializer):
    """Numbers as safetensors, ids as Parquet; its visualisation counts labels, and has the mean of each figure."""

    ASSOCIATED_TYPES = (Observations,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def write(self, data: Observations, folder: Path) -> None:
        data.write(folder)

    def read(self, folder: Path) -> Observations:
        return Observations.read(folder)

    def compute_content_hash(self, data: Observations) -> str:
        return data.content_hash

    def extract_metadata(self, data: Observations) -> dict[str, Any]:
        return {
            "model_id": data.model_id,
            "source": data.source,
            "pictures": len(data),
            "refused": sum(data.errors.values()),
            "skipped": sum(data.skipped.values()),
            "labelled": 0 if data.truth is None else int((data.truth >= 0).sum()),
        }

    def save_visualizations(self, data: Observations) -> dict[str, VisualizationType]:
        title = f"<p>{len(data)} pictures of {escape(data.source)}</p>"
        tables = (labels_table(data), figures_table(data))
        return self.page(
            "observations.html",
            title + "".join(table.to_html(border=0, index=False, float_format="%.3f") for table in tables),
        )
