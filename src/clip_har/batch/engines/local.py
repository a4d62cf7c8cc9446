"""One Predictor in this process."""

from __future__ import annotations

from collections.abc import Sequence

from clip_har.batch.engines import Gap
from clip_har.batch.filling import Filled, Filler


class LocalEngine:
    """Fills one gap after the other."""

    @staticmethod
    def check() -> None:
        """It needs nothing more."""

    @staticmethod
    def run(filler: Filler, gaps: Sequence[Gap], filled: Filled) -> None:
        """Fill the gaps, here."""
        for first, count in gaps:
            filler.fill(first, count, filled)
