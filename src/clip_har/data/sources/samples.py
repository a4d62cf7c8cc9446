"""The drawn sample: photographs that are made where none are at hand."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from clip_har.data.sources.base import DataSource, Progress, SourceConfig, SourceRecord
from clip_har.data.sources.folder import FolderSource, FolderSourceConfig
from clip_har.errors import DataError, did_you_mean
from clip_har.samples.made import recipe_hash
from clip_har.samples.sample import SampleConfig, write_sample


class SamplesSourceConfig(SourceConfig, SampleConfig):
    """A sample of the drawn world, with the flaws that found data have."""

    source: Literal["samples"] = "samples"

    @property
    def sample(self) -> SampleConfig:
        """What is to be drawn."""
        return SampleConfig(**{name: getattr(self, name) for name in SampleConfig.model_fields})


class SamplesSource(DataSource):
    """Pictures of the drawn world (`clip_har.samples`), drawn once below `workspace/samples/` and then a folder a class.

    The folder is named after the config and the code that draws, so that either makes a new one when it changes.
    """

    Config = SamplesSourceConfig
    config: SamplesSourceConfig

    @cached_property
    def root(self) -> Path:
        return self.workspace / "samples" / recipe_hash(self.config.sample)

    def check(self) -> None:
        for label in self.config.labels or ():
            if label not in self.config.actions:
                raise DataError(
                    f"data.labels: {label!r} is none of the drawn actions. {did_you_mean(label, self.config.actions)}"
                )

    def prepare(self, progress: Progress | None = None) -> None:
        write_sample(self.root, self.config.sample, progress)

    def records(self) -> list[SourceRecord]:
        self.prepare()
        return FolderSource(FolderSourceConfig(path=str(self.root)), str(self.workspace)).records()
