"""Data sources behind one registry. Each ends as files below one root and a record for each file.

To add one: subclass `DataSource` and its `SourceConfig`, and name it in `SOURCES` (see docs/extending.md).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from clip_har.component import Registry, parse_tagged
from clip_har.data.sources.base import DataSource, SourceConfig, SourceRecord

SOURCES: Registry[DataSource] = Registry(
    "data source",
    {
        "combined": "clip_har.data.sources.combined:CombinedSource",
        "csv": "clip_har.data.sources.csv:CsvSource",
        "folder": "clip_har.data.sources.folder:FolderSource",
        "hub": "clip_har.data.sources.hub:HubSource",
        "samples": "clip_har.data.sources.samples:SamplesSource",
    },
)


def parse_source_config(value: Any) -> SourceConfig:
    """A mapping for a source of any kind → the config of the source that it names.

    Raises:
        ConfigError: naming the key and what would be right.
    """
    return parse_tagged(SourceConfig, SOURCES, "source", value, "data")


# The union with dict makes ZenML hand the parameter on as it is; of a plain class it would keep the base's fields only.
AnySourceConfig = Annotated[SerializeAsAny[SourceConfig] | dict, BeforeValidator(parse_source_config)]


def build_source(config: SourceConfig, workspace: str) -> DataSource:
    """The source that a config names.

    Args:
        config: of the class that the source declares.
        workspace: folder for what the source must fetch or make.
    """
    return SOURCES.get(config.source)(config, workspace)


def source_modules(config: SourceConfig) -> tuple[str, ...]:
    """Modules that define the source that a config names, and its parts where it has several."""
    return tuple(SOURCES.module(one.source) for one in (config, *getattr(config, "parts", ())))


__all__ = [
    "SOURCES",
    "AnySourceConfig",
    "DataSource",
    "SourceConfig",
    "SourceRecord",
    "build_source",
    "parse_source_config",
    "source_modules",
]
