"""A folder a class: `path/running/anything.jpg`."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field

from clip_har.data.sources.base import IMAGE_SUFFIXES, DataSource, SourceConfig, SourceRecord, require_folder
from clip_har.errors import DataError


class FolderSourceConfig(SourceConfig):
    """A folder with one sub-folder for each class."""

    source: Literal["folder"] = "folder"
    path: str = Field(description="The folder; its sub-folders are the classes.")


class FolderSource(DataSource):
    """Labels from the names of sub-folders; deeper folders are searched too. Hidden files are left alone."""

    Config = FolderSourceConfig
    config: FolderSourceConfig

    @cached_property
    def root(self) -> Path:
        return Path(self.config.path)

    def check(self) -> None:
        folder = require_folder(self.config.path, "data.path")
        classes = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        if len(classes) < 2:
            found = f"only {classes[0].name!r}" if classes else "none"
            raise DataError(
                f"data.path: {self.config.path!r} has {found} as sub-folder; a folder for each class is wanted, at "
                "least two (for a CSV of labels beside the pictures: data.source=csv)."
            )

    def records(self) -> list[SourceRecord]:
        self.check()
        records = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                relative = (Path(folder) / name).relative_to(self.root)
                if name.startswith("."):
                    continue
                if len(relative.parts) > 1:
                    records.append(SourceRecord(relative.as_posix(), relative.parts[0]))
                elif relative.suffix.lower() in IMAGE_SUFFIXES:  # tables and notes beside the classes are not samples
                    detail = "lies beside the class folders, not in one"
                    records.append(SourceRecord(relative.as_posix(), None, ("missing_label", detail)))
        return records
