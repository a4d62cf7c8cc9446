from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.monitoring.evidently_report import HTML, EvidentlyFiles
from materializers.folder import FolderMaterializer


class EvidentlyFilesMaterializer(FolderMaterializer):
    """Evidently's page, its JSON, and what its workspace keeps."""

    ASSOCIATED_TYPES = (EvidentlyFiles,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: EvidentlyFiles, folder: Path) -> None:
        data.write(folder)

    def read(self, folder: Path) -> EvidentlyFiles:
        return EvidentlyFiles.read(folder)

    def compute_content_hash(self, data: EvidentlyFiles) -> str:
        return data.content_hash

    def extract_metadata(self, data: EvidentlyFiles) -> dict[str, Any]:
        return {"made": bool(data), "bytes": len(data.html)}

    def save_visualizations(self, data: EvidentlyFiles) -> dict[str, VisualizationType]:
        return {os.path.join(self.uri, HTML): VisualizationType.HTML} if data else {}
