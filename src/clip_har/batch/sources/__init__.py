"""Where a batch job's pictures come from, behind one registry.

To add one: subclass `BatchSource` and its `BatchSourceConfig`, and name it in `BATCH_SOURCES`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from clip_har.batch.sources.base import BatchSource, BatchSourceConfig, Item
from clip_har.component import Registry, parse_tagged
from clip_har.data.image import ImageLimits

BATCH_SOURCES: Registry[BatchSource] = Registry(
    "batch source",
    {
        "folder": "clip_har.batch.sources.folder:FolderSource",
        "list": "clip_har.batch.sources.listed:ListSource",
        "zip": "clip_har.batch.sources.zipped:ZipSource",
        "tar": "clip_har.batch.sources.tarred:TarSource",
        "parquet": "clip_har.batch.sources.parquet:ParquetSource",
        "video": "clip_har.batch.sources.video:VideoSource",
    },
)
_ENDINGS = {
    "zip": (".zip",),
    "tar": (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"),
    "parquet": (".parquet", ".pq"),
    "list": (".txt", ".lst", ".list"),
    "video": (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg"),
}


def parse_batch_source(value: Any) -> BatchSourceConfig:
    """A path, or a mapping with a `kind`, → the config of the source that it names.

    Raises:
        ConfigError: naming the key and what would be right.
    """
    if isinstance(value, str):
        value = {"kind": kind_of(value), "path": value}
    elif isinstance(value, dict) and "kind" not in value and isinstance(value.get("path"), str):
        value = {"kind": kind_of(value["path"]), **value}
    return parse_tagged(BatchSourceConfig, BATCH_SOURCES, "kind", value, "batch.source")


def kind_of(path: str) -> str:
    """What a path names, by its ending; a folder if that tells nothing."""
    name = path.lower()
    return next((kind for kind, endings in _ENDINGS.items() if name.endswith(endings)), "folder")


# The union with dict makes ZenML hand the parameter on as it is; of a plain class it would keep the base's fields only.
AnyBatchSource = Annotated[SerializeAsAny[BatchSourceConfig] | dict, BeforeValidator(parse_batch_source)]


def build_batch_source(config: BatchSourceConfig, limits: ImageLimits) -> BatchSource:
    """The source that a config names."""
    return BATCH_SOURCES.get(config.kind)(config, limits)


__all__ = [
    "BATCH_SOURCES",
    "AnyBatchSource",
    "BatchSource",
    "BatchSourceConfig",
    "Item",
    "build_batch_source",
    "kind_of",
    "parse_batch_source",
]
