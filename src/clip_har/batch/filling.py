"""Filling the parts of a table, by whichever engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from clip_har.batch.config import BatchConfig
from clip_har.batch.parts import PartStore
from clip_har.batch.sources.base import BatchSource
from clip_har.batch.table import Row, as_table, recognise
from clip_har.models.backbone import ComputeConfig

if TYPE_CHECKING:
    from clip_har.inference.answers import Scorer
    from clip_har.inference.predictor import Predictor

Filled = Callable[[int], None]
"""Called with the number of rows that were added."""


@dataclass(frozen=True)
class Filler:
    """All that is needed to fill parts. Can be pickled, as long as nothing was loaded.

    Attributes:
        runtime: what runs the encoder; that of the job's first run, if it goes on from one.
        threads: CPU threads; as many as the machine gives if None.
    """

    source: BatchSource
    bundle: Path
    config: BatchConfig
    compute: ComputeConfig
    runtime: str
    store: PartStore
    threads: int | None = None

    @property
    def span(self) -> int:
        """Rows of a part: whole batches, so that a picture shares its batch with the same others wherever a run begins."""
        size = self.compute.batch_size
        return -(-self.config.part_rows // size) * size

    @cached_property
    def predictor(self) -> Predictor:
        """Loaded when first asked for."""
        from clip_har.inference.predictor import Predictor

        return Predictor.load(
            self.bundle,
            self.runtime,
            device=self.compute.device,
            batch_size=self.compute.batch_size,
            limits=self.config.limits,
            threads=self.threads or self.compute.threads,
        )

    @cached_property
    def score(self) -> Scorer:
        """How answers are made.

        Raises:
            ConfigError, BundleError: as `Predictor.predict`.
        """
        asked = self.config
        return self.predictor.scorer(
            asked.labels, asked.templates, asked.top_k, threshold=asked.threshold, coverage=asked.coverage
        )

    def with_runtime(self, name: str) -> Filler:
        """The same, that says which runtime its loaded predictor has."""
        same = replace(self, runtime=name)
        same.__dict__["predictor"] = self.predictor
        return same

    def fill(self, first: int, count: int | None, filled: Filled) -> int:
        """Write `count` parts from number `first` on, or all that follow; fewer where the source ends.

        Returns:
            Number of rows written.
        """
        start = first * self.span
        items = self.source.items(start, None if count is None else start + count * self.span)
        rows: list[Row] = []
        number, written = first, 0
        for batch in recognise(self.predictor, self.score, items, details=self.config.details):
            rows += batch
            written += len(batch)
            filled(len(batch))
            if len(rows) >= self.span:
                assert len(rows) == self.span, "batches fill a part exactly"
                self.store.write(number, as_table(rows, details=self.config.details))
                rows, number = [], number + 1
        if rows:
            self.store.write(number, as_table(rows, details=self.config.details))
        return written
