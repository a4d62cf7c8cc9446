"""Splits by a seeded hash of the duplicate group.

A picture keeps its split in every later version of the data, whatever is added or removed; groups are never separated.
"""

from __future__ import annotations

import hashlib

import numpy as np
from pydantic import Field, model_validator

from clip_har.component import ComponentConfig
from clip_har.data.manifest import SPLITS, Manifest
from clip_har.errors import DataError


class SplitConfig(ComponentConfig):
    """Shares of the splits; they sum to 1.

    Methods are fitted on train and compared on validation; temperature comes from calibration; test is for reports.
    """

    train: float = Field(0.65, gt=0, lt=1, description="Share of the photographs that methods are fitted on.")
    validation: float = Field(0.1, gt=0, lt=1, description="Share that methods and settings are chosen on.")
    calibration: float = Field(0.1, gt=0, lt=1, description="Share that probabilities are calibrated on.")
    test: float = Field(0.15, gt=0, lt=1, description="Share that only reports and promotion look at.")
    seed: int = Field(0, description="Another seed gives another assignment.")

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> SplitConfig:
        total = sum(getattr(self, name) for name in SPLITS)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of the splits sum to {total:g}, not to 1")
        return self


def split_of(group: str, config: SplitConfig) -> str:
    """The split of a duplicate group: a function of its name, the seed and the shares alone."""
    digest = hashlib.sha256(f"{config.seed}:{group}".encode()).digest()
    position = int.from_bytes(digest[:8]) / 2**64
    edges = np.cumsum([getattr(config, name) for name in SPLITS])
    return SPLITS[min(int(np.searchsorted(edges, position, side="right")), len(SPLITS) - 1)]


def split_manifest(manifest: Manifest, config: SplitConfig) -> Manifest:
    """The same Manifest with every row's split set.

    Raises:
        DataError: if a split stays empty, or a class has no photograph to be fitted on.
    """
    frame = manifest.frame.assign(split=[split_of(group, config) for group in manifest.frame["group"]])
    result = Manifest(frame, manifest.labels, manifest.root)
    for name in SPLITS:
        result.split(name)
    without = [label for label, number in result.counts()["train"].items() if number == 0]
    if without:
        raise DataError(
            f"No photograph of {', '.join(without)} falls into the train split: these classes have too few. "
            "Add photographs, leave the classes out with data.labels, or try another splits.seed."
        )
    return result
