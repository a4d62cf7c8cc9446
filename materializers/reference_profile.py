from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.monitoring.profile import ReferenceProfile
from clip_har.monitoring.tabulated import figures_table, labels_table
from materializers.folder import FolderMaterializer

_PROFILE = "profile"  # below the artifact's own folder, which holds its visualisation too


class ReferenceProfileMaterializer(FolderMaterializer):
    """The profile's files; its visualisation says what is usual: labels, confidence, figures."""

    ASSOCIATED_TYPES = (ReferenceProfile,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.STATISTICS

    def write(self, data: ReferenceProfile, folder: Path) -> None:
        data.write(folder / _PROFILE)

    def read(self, folder: Path) -> ReferenceProfile:
        return ReferenceProfile.read(folder / _PROFILE)

    def compute_content_hash(self, data: ReferenceProfile) -> str:
        return data.content_hash

    def extract_metadata(self, data: ReferenceProfile) -> dict[str, Any]:
        return {
            "model_id": data.model_id,
            "pictures": len(data.observations),
            "splits": list(data.splits),
            "data_revision": data.data_revision,
            "runtime": data.runtime,
            "window_sizes": sorted(data.thresholds.statistics),
        }

    def save_visualizations(self, data: ReferenceProfile) -> dict[str, VisualizationType]:
        observed = data.observations
        title = f"<p>{len(observed)} pictures: {escape(observed.source)}, with {escape(data.runtime)}</p>"
        tables = (labels_table(observed), figures_table(observed))
        page = "".join(table.to_html(border=0, index=False, float_format="%.3f") for table in tables)
        return self.page("reference_profile.html", title + page)
