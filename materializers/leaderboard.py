from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.evaluation.leaderboard import Leaderboard
from clip_har.evaluation.report import render_leaderboard
from clip_har.hashing import sha256_json
from clip_har.storage import write_json
from materializers.folder import FolderMaterializer


class LeaderboardMaterializer(FolderMaterializer):
    """JSON, and a table to look at."""

    ASSOCIATED_TYPES = (Leaderboard,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: Leaderboard, folder: Path) -> None:
        write_json(folder / "leaderboard.json", data.model_dump(mode="json"))

    def read(self, folder: Path) -> Leaderboard:
        return Leaderboard.model_validate_json((folder / "leaderboard.json").read_text())

    def compute_content_hash(self, data: Leaderboard) -> str:
        return sha256_json(data.model_dump(mode="json"))

    def extract_metadata(self, data: Leaderboard) -> dict[str, Any]:
        figures = {f"{row.name}_{data.select_by}": row.metrics[data.select_by].value for row in data.rows}
        return {"winner": data.winner.name, "select_by": data.select_by, **figures}

    def save_visualizations(self, data: Leaderboard) -> dict[str, VisualizationType]:
        return self.page("leaderboard.html", render_leaderboard(data))
