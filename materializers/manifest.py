from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.data.manifest import Manifest
from materializers.folder import FolderMaterializer


class ManifestMaterializer(FolderMaterializer):
    """A Manifest as one Parquet file; its visualisation counts classes and splits."""

    ASSOCIATED_TYPES = (Manifest,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def write(self, data: Manifest, folder: Path) -> None:
        data.write(folder / "manifest.parquet")

    def read(self, folder: Path) -> Manifest:
        return Manifest.read(folder / "manifest.parquet")

    def compute_content_hash(self, data: Manifest) -> str:
        return data.content_hash

    def extract_metadata(self, data: Manifest) -> dict[str, Any]:
        splits = data.frame["split"].value_counts().to_dict()
        return {
            "samples": len(data),
            "classes": len(data.labels),
            "groups": int(data.frame["group"].nunique()),
            "content_hash": data.content_hash,
            **{f"split_{name}": int(number) for name, number in splits.items() if name},
        }

    def save_visualizations(self, data: Manifest) -> dict[str, VisualizationType]:
        title = f"<p>{len(data)} photographs below <code>{escape(data.root)}</code></p>"
        return self.page("counts.html", title + data.counts().to_html(border=0))
