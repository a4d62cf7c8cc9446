"""The Hugging Face Hub: bundles and versions of the data, sent and fetched; every file of what is fetched is checked."""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "HubConfig": "config",
    "HubError": "failures",
    "HubReference": "config",
    "ModelCardConfig": "config",
    "pull_bundle": "bundles",
    "pull_dataset": "datasets",
    "push_bundle": "bundles",
    "push_dataset": "datasets",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
