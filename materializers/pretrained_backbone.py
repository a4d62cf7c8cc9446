from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType

from clip_har.hashing import sha256_folder
from clip_har.training.pretrain import PretrainedBackbone
from materializers.folder import FolderMaterializer

_BACKBONE = "backbone"


class PretrainedBackboneMaterializer(FolderMaterializer):
    """The Hugging Face folder, as it is."""

    ASSOCIATED_TYPES = (PretrainedBackbone,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.MODEL

    def write(self, data: PretrainedBackbone, folder: Path) -> None:
        shutil.copytree(data.path, folder / _BACKBONE)

    def read(self, folder: Path) -> PretrainedBackbone:
        return PretrainedBackbone.read(folder / _BACKBONE)

    def compute_content_hash(self, data: PretrainedBackbone) -> str:
        return sha256_folder(data.path)

    def extract_metadata(self, data: PretrainedBackbone) -> dict[str, Any]:
        wanted = ("pictures", "captions", "parameters", "vocabulary", "steps", "best_step")
        return {name: data.facts[name] for name in wanted}
