from __future__ import annotations

import shutil
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from zenml.enums import ArtifactType, VisualizationType

from clip_har.export.exporting import MadeForms
from materializers.folder import FolderMaterializer

_FORMS = "forms"  # below the artifact's own folder, which holds its visualisation too


class MadeFormsMaterializer(FolderMaterializer):
    """The exported files and their list, as they are before the gate."""

    ASSOCIATED_TYPES = (MadeForms,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.MODEL

    def write(self, data: MadeForms, folder: Path) -> None:
        for _, form in data.forms:
            source, target = data.path / form.file, folder / _FORMS / form.file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
            beside = source.with_name(f"{source.name}.json")  # an engine's metadata
            if beside.is_file():
                shutil.copy2(beside, target.with_name(beside.name))
        replace(data, path=folder / _FORMS).write()

    def read(self, folder: Path) -> MadeForms:
        return MadeForms.read(folder / _FORMS)

    def compute_content_hash(self, data: MadeForms) -> str:
        return data.content_hash

    def extract_metadata(self, data: MadeForms) -> dict[str, Any]:
        sizes = {form.file: (data.path / form.file).stat().st_size for _, form in data.forms}
        return {"model_id": data.model_id, "forms": len(data.forms), "not_made": len(data.not_made), "bytes": sizes}

    def save_visualizations(self, data: MadeForms) -> dict[str, VisualizationType]:
        rows = [f"{form.file}  {(data.path / form.file).stat().st_size:,} bytes" for _, form in data.forms]
        rows += [f"{row.encoder}, {row.exporter}: {row.reason}" for row in data.not_made]
        return self.page("forms.html", f"<pre>{escape(chr(10).join(rows))}</pre>")
