from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType

from clip_har.data.fingerprint import DataFingerprint
from clip_har.storage import write_json
from materializers.folder import FolderMaterializer


class FingerprintMaterializer(FolderMaterializer):
    """JSON. Its content is the data's: what else is written down changes nothing downstream."""

    ASSOCIATED_TYPES = (DataFingerprint,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def write(self, data: DataFingerprint, folder: Path) -> None:
        write_json(folder / "fingerprint.json", data.model_dump(mode="json"))

    def read(self, folder: Path) -> DataFingerprint:
        return DataFingerprint.model_validate(json.loads((folder / "fingerprint.json").read_text()))

    def compute_content_hash(self, data: DataFingerprint) -> str:
        return data.content_hash

    def extract_metadata(self, data: DataFingerprint) -> dict[str, Any]:
        return {"data_hash": data.data_hash, "records": data.records, "code_hash": data.code_hash}
