from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType

from clip_har.data.validation import Inspection
from materializers.folder import FolderMaterializer


class InspectionMaterializer(FolderMaterializer):
    """Measurements of the accepted pictures as one Parquet file."""

    ASSOCIATED_TYPES = (Inspection,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: Inspection, folder: Path) -> None:
        data.write(folder)

    def read(self, folder: Path) -> Inspection:
        return Inspection.read(folder)

    def compute_content_hash(self, data: Inspection) -> str:
        return data.content_hash

    def extract_metadata(self, data: Inspection) -> dict[str, Any]:
        frame = data.frame
        means = {name: round(float(frame[name].mean()), 4) for name in ("brightness", "contrast", "sharpness")}
        return {"samples": len(data), "file_bytes": int(frame["file_bytes"].sum()), **(means if len(data) else {})}
