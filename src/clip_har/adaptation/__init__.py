"""Adaptation methods behind one registry: whatever the method, the result is an image encoder and a class head.

To add one: subclass `AdaptationMethod` with a `Config`, and name it in `METHODS` (see docs/extending.md).
"""

from __future__ import annotations

from clip_har.adaptation.base import AdaptationMethod, ComparisonConfig, MethodConfig
from clip_har.component import Registry

METHODS: Registry[AdaptationMethod] = Registry(
    "adaptation method",
    {
        "zero_shot": "clip_har.adaptation.zero_shot:ZeroShot",
        "linear_probe": "clip_har.adaptation.linear_probe:LinearProbe",
        "lora": "clip_har.adaptation.lora:Lora",
    },
)

__all__ = ["METHODS", "AdaptationMethod", "ComparisonConfig", "MethodConfig"]
