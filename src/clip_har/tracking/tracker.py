"""What a tracker does, and the wrapper that keeps its failures from stopping a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """Records one run."""

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Tracker:
        """The tracker that the settings of a stack's component describe."""

    def start(self, name: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        """Open the run."""

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        """Record figures at a step."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Keep a file."""

    def finish(self, succeeded: bool = True) -> None:
        """Close the run."""

    def link(self) -> str | None:
        """Where a person sees the run."""


class Guarded:
    """A tracker whose first failure is reported once, and after which it is left alone.

    Args:
        make: makes the tracker (that may fail too), or gives None where nothing is recorded.
    """

    def __init__(self, make: Callable[[], Tracker | None]) -> None:
        self._name = "The experiment tracker"
        self._tracker: Tracker | None = None
        self._tracker = self._guard(make)
        if self._tracker is not None:
            self._name = type(self._tracker).__name__

    @property
    def alive(self) -> bool:
        """Whether there is a tracker that has not failed."""
        return self._tracker is not None

    def _guard(self, action: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return action(*arguments)
        except Exception as error:  # whatever a tracker's client raises, the run is worth more
            logger.warning("%s failed and is dropped for this run (%s: %s).", self._name, type(error).__name__, error)
            self._tracker = None
            return None

    def _call(self, method: str, *arguments: Any) -> Any:
        return None if self._tracker is None else self._guard(getattr(self._tracker, method), *arguments)

    def start(self, name: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        self._call("start", name, params, tags)

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        self._call("metrics", values, step)

    def artifact(self, path: Path, folder: str = "") -> None:
        self._call("artifact", path, folder)

    def finish(self, succeeded: bool = True) -> None:
        self._call("finish", succeeded)

    def link(self) -> str | None:
        return self._call("link")


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys: `{"a": {"b": 1}}` → `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return flat
