from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.adaptation.search.result import SearchResult
from clip_har.evaluation.search import render_search
from clip_har.hashing import sha256_json
from clip_har.storage import write_json
from materializers.folder import FolderMaterializer


class SearchResultMaterializer(FolderMaterializer):
    """JSON, and the trials as charts and a table."""

    ASSOCIATED_TYPES = (SearchResult,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: SearchResult, folder: Path) -> None:
        write_json(folder / "search.json", data.model_dump(mode="json"))

    def read(self, folder: Path) -> SearchResult:
        return SearchResult.model_validate_json((folder / "search.json").read_text())

    def compute_content_hash(self, data: SearchResult) -> str:
        return sha256_json(data.model_dump(mode="json"))

    def extract_metadata(self, data: SearchResult) -> dict[str, Any]:
        summary = data.summary()
        return {"candidate": data.config.candidate, **summary["trials"], **summary["best"]}

    def save_visualizations(self, data: SearchResult) -> dict[str, VisualizationType]:
        return self.page("search.html", render_search(data.model_dump(mode="json")))
