from __future__ import annotations

from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType

from clip_har.adaptation.open_vocabulary import OpenVocabularyReport
from clip_har.hashing import sha256_json
from clip_har.storage import write_json
from materializers.folder import FolderMaterializer


class OpenVocabularyReportMaterializer(FolderMaterializer):
    """JSON. Nothing to look at: the leaderboard shows all methods' beside each other."""

    ASSOCIATED_TYPES = (OpenVocabularyReport,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA_ANALYSIS

    def write(self, data: OpenVocabularyReport, folder: Path) -> None:
        write_json(folder / "open_vocabulary.json", data.model_dump(mode="json"))

    def read(self, folder: Path) -> OpenVocabularyReport:
        return OpenVocabularyReport.model_validate_json((folder / "open_vocabulary.json").read_text())

    def compute_content_hash(self, data: OpenVocabularyReport) -> str:
        return sha256_json(data.model_dump(mode="json"))

    def extract_metadata(self, data: OpenVocabularyReport) -> dict[str, Any]:
        return {
            "name": data.name,
            "method": data.method,
            "novel_classes": list(data.novel_classes),
            "base": data.adapted.base,
            "novel": data.adapted.novel,
            "harmonic_mean": data.adapted.harmonic_mean,
            "zero_shot_novel": data.zero_shot.novel,
            "word": data.word,
        }
