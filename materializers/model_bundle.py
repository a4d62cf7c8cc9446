from __future__ import annotations

import os
import shutil
from html import escape
from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.hashing import sha256_json
from clip_har.inference.exported import Exports
from clip_har.models.bundle import ModelBundle
from materializers.folder import FolderMaterializer

_BUNDLE = "bundle"  # below the artifact's own folder, which holds its visualisation too
_LARGE = 1_000_000  # bytes from which a file is linked


def _link_or_copy(source: str, target: str) -> None:
    """A link where that goes: weights are never written to, and a model that is monitored every hour is an artifact every hour."""
    try:
        if os.path.getsize(source) >= _LARGE and not os.path.islink(source):
            os.link(source, target)
            return
    except OSError:  # another disk, or one without links
        pass
    shutil.copy2(source, target)


class ModelBundleMaterializer(FolderMaterializer):
    """The bundle's directory, as it is."""

    ASSOCIATED_TYPES = (ModelBundle,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.MODEL

    def write(self, data: ModelBundle, folder: Path) -> None:
        shutil.copytree(data.path, folder / _BUNDLE, copy_function=_link_or_copy)

    def read(self, folder: Path) -> ModelBundle:
        return ModelBundle.load(folder / _BUNDLE)

    def compute_content_hash(self, data: ModelBundle) -> str:
        exports = Exports.read(data)
        return sha256_json([data.model_id, exports.content_hash]) if exports.forms else data.model_id

    def extract_metadata(self, data: ModelBundle) -> dict[str, Any]:
        return {
            "model_id": data.model_id,
            "method": data.info.method,
            "backbone": data.info.backbone,
            "open_vocabulary": data.info.open_vocabulary.word,
            "temperature": data.calibration.temperature,
            **{f"validation_{name}": value for name, value in data.info.metrics.items()},
        }

    def save_visualizations(self, data: ModelBundle) -> dict[str, VisualizationType]:
        return self.page("bundle.html", f"<pre>{escape(data.info.model_dump_json(indent=2))}</pre>")
