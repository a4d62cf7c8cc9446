"""What runs a batch job: this process, or Ray. Both fill the same parts with the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from clip_har.batch.filling import Filled, Filler
from clip_har.component import Registry

Gap = tuple[int, int | None]
"""(first part that is missing, how many; None for all that follow)."""


class Engine(Protocol):
    """Fills the parts that are missing."""

    @staticmethod
    def check() -> None:
        """Raises ConfigError if what it needs is not installed."""

    @staticmethod
    def run(filler: Filler, gaps: Sequence[Gap], filled: Filled) -> None:
        """Fill the gaps."""


BATCH_ENGINES: Registry[Engine] = Registry(
    "batch engine",
    {"local": "clip_har.batch.engines.local:LocalEngine", "ray": "clip_har.batch.engines.on_ray:RayEngine"},
)
