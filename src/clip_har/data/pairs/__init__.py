"""Pictures with captions, for contrastive pretraining: sources behind one registry, as those of labelled photographs.

To add one: subclass `PairSource` and its `PairSourceConfig`, and name it in `PAIR_SOURCES`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from clip_har.component import Registry, parse_tagged
from clip_har.data.pairs.base import ImageTextPairs, PairSource, PairSourceConfig

PAIR_SOURCES: Registry[PairSource] = Registry(
    "source of pairs",
    {
        "samples": "clip_har.data.pairs.samples:DrawnPairs",
        "table": "clip_har.data.pairs.table:PairTable",
    },
)


def parse_pair_source_config(value: Any) -> PairSourceConfig:
    """A mapping for a source of any kind → the config of the source that it names.

    Raises:
        ConfigError: naming the key and what would be right.
    """
    return parse_tagged(PairSourceConfig, PAIR_SOURCES, "source", value, "pretraining.pairs")


# The union with dict makes ZenML hand the parameter on as it is; of a plain class it would keep the base's fields only.
AnyPairSourceConfig = Annotated[SerializeAsAny[PairSourceConfig] | dict, BeforeValidator(parse_pair_source_config)]


def build_pair_source(config: PairSourceConfig, workspace: str) -> PairSource:
    """The source that a config names.

    Args:
        config: of the class that the source declares.
        workspace: folder for what the source must make.
    """
    return PAIR_SOURCES.get(config.source)(config, workspace)


__all__ = [
    "PAIR_SOURCES",
    "AnyPairSourceConfig",
    "ImageTextPairs",
    "PairSource",
    "PairSourceConfig",
    "build_pair_source",
    "parse_pair_source_config",
]
