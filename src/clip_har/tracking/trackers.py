"""The trackers by name, and which of them the settings of a stack's experiment tracker ask for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clip_har.component import Registry
from clip_har.tracking.tracker import Tracker

TRACKERS: Registry[Tracker] = Registry(
    "experiment tracker",
    {"mlflow": "clip_har.tracking.mlflow:MlflowTracker", "wandb": "clip_har.tracking.wandb:WandbTracker"},
)
"""By the flavor of the stack's experiment tracker."""

SETS = {"dual": ("mlflow", "wandb")}
"""Flavors that stand for several trackers, which all record the same."""

_SECRET = re.compile(r"key|password|token|secret", re.IGNORECASE)
_PASSWORD_IN_URI = re.compile(r"(://[^/@:]*):[^/@]*@")


@dataclass(frozen=True)
class TrackerMaker:
    """Makes a tracker from a stack's settings, when it is called: importing its client takes seconds."""

    name: str
    settings: dict[str, Any]

    def __call__(self) -> Tracker:
        return TRACKERS.get(self.name).from_settings(self.settings)


def trackers_of(flavor: str, settings: dict[str, Any]) -> dict[str, Callable[[], Tracker]]:
    """What makes the trackers that a flavor stands for.

    Args:
        flavor: a name in `TRACKERS` or in `SETS`.
        settings: of the stack's component. mlflow: `tracking_uri`, `experiment_name`; wandb: `project_name`, `entity`,
            `api_key` (none: offline), `base_url`, `folder`; for a set, all of those.

    Raises:
        ConfigError: if there is no such flavor.
    """
    names = SETS.get(flavor, (flavor,))
    for name in names:
        if name not in TRACKERS:
            TRACKERS.get(name)  # says which there are
    return {name: TrackerMaker(name, dict(settings)) for name in names}


def described(maker: Callable[[], Tracker]) -> dict[str, Any]:
    """A maker's settings for a file: without keys, tokens and passwords."""
    settings = getattr(maker, "settings", None) or {}
    return {
        key: _PASSWORD_IN_URI.sub(r"\1@", value) if isinstance(value, str) else value
        for key, value in settings.items()
        if value is not None and not _SECRET.search(key)
    }
