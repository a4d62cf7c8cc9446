from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType

from clip_har.models.embeddings import EmbeddingSet
from materializers.folder import FolderMaterializer


class EmbeddingSetMaterializer(FolderMaterializer):
    """Embeddings as safetensors, ids as Parquet."""

    ASSOCIATED_TYPES = (EmbeddingSet,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def write(self, data: EmbeddingSet, folder: Path) -> None:
        data.write(folder)

    def read(self, folder: Path) -> EmbeddingSet:
        return EmbeddingSet.read(folder)

    def compute_content_hash(self, data: EmbeddingSet) -> str:
        return data.content_hash

    def extract_metadata(self, data: EmbeddingSet) -> dict[str, Any]:
        rows, width = data.matrix.shape
        return {
            "samples": rows,
            "dimensions": width,
            "encoder_hash": data.encoder_hash,
            "preprocessing_hash": data.preprocessing_hash,
        }
