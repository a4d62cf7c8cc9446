from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType

from clip_har.data.splits import EarlierSplits
from materializers.folder import FolderMaterializer


class EarlierSplitsMaterializer(FolderMaterializer):
    """JSON: where pictures lie in published versions."""

    ASSOCIATED_TYPES = (EarlierSplits,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def write(self, data: EarlierSplits, folder: Path) -> None:
        data.write(folder)

    def read(self, folder: Path) -> EarlierSplits:
        return EarlierSplits.read(folder)

    def compute_content_hash(self, data: EarlierSplits) -> str:
        return data.content_hash

    def extract_metadata(self, data: EarlierSplits) -> dict[str, Any]:
        return {"pictures": len(data.places)}
