"""Drawn pairs: scenes of the drawn world with their captions."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from clip_har.data.pairs.base import ImageTextPairs, PairSource, PairSourceConfig, Progress
from clip_har.data.pairs.table import read_pairs
from clip_har.samples.actions import ACTIONS, check_actions
from clip_har.samples.made import recipe_hash
from clip_har.samples.nuisances import Nuisances
from clip_har.samples.pairs import TABLE, PairsConfig, write_pairs


class DrawnPairsConfig(PairSourceConfig):
    """Pairs of the drawn world; every action but the held-out ones is shown and told of equally often."""

    source: Literal["samples"] = "samples"
    count: int = Field(16_000, ge=1, description="Pictures.")
    seed: int = Field(0, description="Another seed gives other pictures.")
    width: int = Field(180, ge=8, le=4096, description="Width of the pictures, in pixels.")
    height: int = Field(120, ge=8, le=4096, description="Height of the pictures, in pixels.")
    captions_per_image: int = Field(6, ge=1, le=16, description="Captions of each picture.")
    nuisances: Nuisances = Field(Nuisances(), description="Dials of all pictures, each 0 to 1.")

    @field_validator("held_out")
    @classmethod
    def _held_out_are_actions(cls, held_out: tuple[str, ...]) -> tuple[str, ...]:
        held_out = check_actions(held_out) if held_out else held_out
        if len(held_out) == len(ACTIONS):
            raise ValueError("all actions are held out; at least one is wanted in the pairs")
        return held_out

    @property
    def pairs(self) -> PairsConfig:
        """What is to be drawn."""
        own = {name: getattr(self, name) for name in PairsConfig.model_fields if name in type(self).model_fields}
        return PairsConfig(**own, actions=tuple(action for action in ACTIONS if action not in self.held_out))


class DrawnPairs(PairSource):
    """Drawn once below `workspace/pairs/`, in a folder named after the config and the code that draws."""

    Config = DrawnPairsConfig
    config: DrawnPairsConfig

    @cached_property
    def folder(self) -> Path:
        """Where they lie."""
        return self.workspace / "pairs" / recipe_hash(self.config.pairs)

    def check(self) -> None:
        return

    def read(self, progress: Progress | None = None) -> ImageTextPairs:
        write_pairs(self.folder, self.config.pairs, progress)
        return read_pairs(self.folder / TABLE, "image", "caption")
