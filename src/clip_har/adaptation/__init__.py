"""Adaptation methods behind one registry: whatever the method, the result is an image encoder and a class head.

To add one: subclass `AdaptationMethod` with a `Config`, and name it in `METHODS` (see docs/extending.md).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from clip_har.adaptation.base import AdaptationMethod, ComparisonConfig, MethodConfig
from clip_har.component import Registry, parse_tagged

METHODS: Registry[AdaptationMethod] = Registry(
    "adaptation method",
    {
        "zero_shot": "clip_har.adaptation.zero_shot:ZeroShot",
        "linear_probe": "clip_har.adaptation.linear_probe:LinearProbe",
        "lora": "clip_har.adaptation.lora:Lora",
        "full_fine_tuning": "clip_har.adaptation.full_fine_tuning:FullFineTuning",
        "prompt_search": "clip_har.adaptation.prompt_search:PromptSearch",
        "coop": "clip_har.adaptation.coop:Coop",
        "tip_adapter": "clip_har.adaptation.tip_adapter:TipAdapter",
        "tip_adapter_f": "clip_har.adaptation.tip_adapter:TipAdapterF",
        "projection_tuning": "clip_har.adaptation.projection_tuning:ProjectionTuning",
        "clip_adapter": "clip_har.adaptation.clip_adapter:ClipAdapter",
    },
)


def parse_method_config(value: Any, place: str = "adaptation") -> MethodConfig:
    """A mapping for a method of any kind → the config of the method that it names.

    Args:
        place: where the mapping stands in the run's config, for messages.

    Raises:
        ConfigError: naming the key and what would be right.
    """
    return parse_tagged(MethodConfig, METHODS, "method", value, place)


# As for data sources: the union with dict makes ZenML hand the parameter on as it is.
AnyMethodConfig = Annotated[SerializeAsAny[MethodConfig] | dict, BeforeValidator(parse_method_config)]

__all__ = ["METHODS", "AdaptationMethod", "AnyMethodConfig", "ComparisonConfig", "MethodConfig", "parse_method_config"]
