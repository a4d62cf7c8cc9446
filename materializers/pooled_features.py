from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType

from clip_har.adaptation.projection import PooledFeatures
from materializers.folder import FolderMaterializer


class PooledFeaturesMaterializer(FolderMaterializer):
    """What a projection takes: a folder for each of its two parts, as embeddings are stored."""

    ASSOCIATED_TYPES = (PooledFeatures,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def write(self, data: PooledFeatures, folder: Path) -> None:
        data.write(folder)

    def read(self, folder: Path) -> PooledFeatures:
        return PooledFeatures.read(folder)

    def compute_content_hash(self, data: PooledFeatures) -> str:
        return data.content_hash

    def extract_metadata(self, data: PooledFeatures) -> dict[str, Any]:
        rows, width = data.inputs.matrix.shape
        return {
            "samples": rows,
            "dimensions": width,
            "has_rest": data.rest is not None,
            "encoder_hash": data.inputs.encoder_hash,
            "preprocessing_hash": data.inputs.preprocessing_hash,
        }
