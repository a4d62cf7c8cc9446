from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType

from clip_har.adaptation.base import AdaptedModel
from materializers.folder import FolderMaterializer


class AdaptedModelMaterializer(FolderMaterializer):
    """Head, class matrix and history; the encoders only if the method changed them."""

    ASSOCIATED_TYPES = (AdaptedModel,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.MODEL

    def write(self, data: AdaptedModel, folder: Path) -> None:
        data.write(folder)

    def read(self, folder: Path) -> AdaptedModel:
        return AdaptedModel.read(folder)

    def compute_content_hash(self, data: AdaptedModel) -> str:
        if data.encoder is None or os.path.isdir(self.uri):
            return data.content_hash(self.uri)
        with self.get_temporary_directory(delete_at_exit=True) as folder:
            self.write(data, Path(folder))
            return data.content_hash(folder)

    def extract_metadata(self, data: AdaptedModel) -> dict[str, Any]:
        return {
            "name": data.name,
            "method": data.method,
            "head": data.head.type,
            "trained_parameters": data.trained_parameters,
            "open_vocabulary": data.open_vocabulary.word,
            "changed_encoders": data.encoder is not None,
        }
