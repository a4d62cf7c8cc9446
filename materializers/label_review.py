from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.data.label_review import LabelReview
from materializers.folder import FolderMaterializer


class LabelReviewMaterializer(FolderMaterializer):
    """Counts as JSON, the list as Parquet, and both as a page."""

    ASSOCIATED_TYPES = (LabelReview,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: LabelReview, folder: Path) -> None:
        data.write(folder)

    def read(self, folder: Path) -> LabelReview:
        return LabelReview.read(folder)

    def compute_content_hash(self, data: LabelReview) -> str:
        return data.content_hash

    def extract_metadata(self, data: LabelReview) -> dict[str, Any]:
        summary = data.summary()
        return {name: value for name, value in summary.items() if value is not None and name != "left_out"}

    def save_visualizations(self, data: LabelReview) -> dict[str, VisualizationType]:
        return self.page("label_review.html", data.to_html())
