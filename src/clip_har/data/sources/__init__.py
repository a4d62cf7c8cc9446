"""Data sources behind one registry. Each ends as files below one root and a record for each file.

To add one: subclass `DataSource` and its `SourceConfig`, and name it in `SOURCES` (see docs/extending.md).
"""

from __future__ import annotations

from clip_har.component import Registry
from clip_har.data.sources.base import DataSource, SourceConfig, SourceRecord

SOURCES: Registry[DataSource] = Registry(
    "data source",
    {
        "csv": "clip_har.data.sources.csv:CsvSource",
        "folder": "clip_har.data.sources.folder:FolderSource",
        "hub": "clip_har.data.sources.hub:HubSource",
    },
)


def build_source(config: SourceConfig, workspace: str) -> DataSource:
    """The source that a config names.

    Args:
        config: of the class that the source declares.
        workspace: folder for what the source must fetch or make.
    """
    return SOURCES.get(config.source)(config, workspace)


__all__ = ["SOURCES", "DataSource", "SourceConfig", "SourceRecord", "build_source"]
