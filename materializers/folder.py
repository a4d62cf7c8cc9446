"""What all materializers share: an artifact is a folder of files."""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path
from typing import Any

from zenml.config.source import Source, SourceType
from zenml.enums import VisualizationType
from zenml.io import fileio
from zenml.materializers.base_materializer import BaseMaterializer
from zenml.utils.io_utils import copy_dir
from zenml.utils.source_utils import ZENML_SOURCE_ATTRIBUTE_NAME


class FolderMaterializer(BaseMaterializer):
    """Writes an artifact into a folder and moves the folder to the artifact store, wherever that is."""

    SKIP_REGISTRATION = True

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        # In a checkout ZenML would name the artifacts' classes after their files ("src.clip_har…"), and import all twice.
        for kind in cls.ASSOCIATED_TYPES:
            named = Source(module=kind.__module__, attribute=kind.__name__, type=SourceType.UNKNOWN)
            setattr(kind, ZENML_SOURCE_ATTRIBUTE_NAME, named)

    @abstractmethod
    def write(self, data: Any, folder: Path) -> None:
        """Write the artifact's files into a folder."""

    @abstractmethod
    def read(self, folder: Path) -> Any:
        """Make the artifact from its files; the folder stays until the step ends."""

    def save(self, data: Any) -> None:
        if os.path.isdir(self.uri):
            self.write(data, Path(self.uri))
            return
        with self.get_temporary_directory(delete_at_exit=True) as folder:
            self.write(data, Path(folder))
            if hasattr(self._artifact_store, "put_folder"):  # all files at once, as our own store does
                self._artifact_store.put_folder(folder, self.uri)
            else:
                copy_dir(folder, self.uri)

    def load(self, data_type: type[Any]) -> Any:
        if os.path.isdir(self.uri):
            return self.read(Path(self.uri))
        with self.get_temporary_directory(delete_at_exit=False) as folder:
            if hasattr(self._artifact_store, "get_folder"):
                self._artifact_store.get_folder(self.uri, folder)
            else:
                copy_dir(self.uri, folder)
            return self.read(Path(folder))

    def page(self, name: str, html: str) -> dict[str, VisualizationType]:
        """Store a page beside the artifact, as its visualisation."""
        target = os.path.join(self.uri, name)
        with fileio.open(target, "w") as file:
            file.write(html)
        return {target: VisualizationType.HTML}
