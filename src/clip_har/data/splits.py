"""Splits by a seeded hash of the duplicate group.

A picture keeps its split in every later version of the data, whatever is added or removed; groups are never separated.
A new near-duplicate joins the split of the pictures that it resembles, which takes the earlier assignment; one that
resembles pictures of two splits is rejected, since wherever it went, it would tell one about the other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from clip_har.component import Artifact, ComponentConfig
from clip_har.data.manifest import SPLITS, Manifest
from clip_har.data.validation.report import REJECTION_COLUMNS, ValidationReport, table_of
from clip_har.errors import DataError
from clip_har.hashing import sha256_json
from clip_har.storage import write_json

if TYPE_CHECKING:
    import pandas as pd


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


@dataclass(frozen=True)
class EarlierSplits(Artifact):
    """Where pictures lie in versions that have been published with the same shares and seed.

    Attributes:
        places: id of a picture → its split and its group.
    """

    places: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, manifests: list[Manifest]) -> EarlierSplits:
        """Of several versions, the newest first: what a picture has had longest stays."""
        places: dict[str, tuple[str, str]] = {}
        for manifest in manifests:
            columns = (manifest.frame[name] for name in ("id", "split", "group"))
            places |= {identity: (split, group) for identity, split, group in zip(*columns, strict=True)}
        return cls(places)

    @property
    def content_hash(self) -> str:
        """sha256 of all of it."""
        return sha256_json({identity: list(place) for identity, place in self.places.items()})

    def write(self, folder: str | Path) -> None:
        """Write `earlier_splits.json` into a folder."""
        write_json(Path(folder) / "earlier_splits.json", {key: list(place) for key, place in self.places.items()})

    @classmethod
    def read(cls, folder: str | Path) -> EarlierSplits:
        """Read what `write` wrote."""
        import json

        stored = json.loads((Path(folder) / "earlier_splits.json").read_text(encoding="utf-8"))
        return cls({identity: (split, group) for identity, (split, group) in stored.items()})


def split_of(group: str, config: SplitConfig) -> str:
    """The split of a duplicate group: a function of its name, the seed and the shares alone."""
    digest = hashlib.sha256(f"{config.seed}:{group}".encode()).digest()
    position = int.from_bytes(digest[:8]) / 2**64
    edges = np.cumsum([getattr(config, name) for name in SPLITS])
    return SPLITS[min(int(np.searchsorted(edges, position, side="right")), len(SPLITS) - 1)]


def split_data(
    manifest: Manifest, report: ValidationReport, config: SplitConfig, earlier: EarlierSplits | None = None
) -> tuple[Manifest, ValidationReport]:
    """The samples with their split, and the report with those that can lie in none.

    Args:
        earlier: where pictures lie already; they stay there.

    Raises:
        DataError: as `split_manifest`.
    """
    places = earlier.places if earlier is not None else {}
    ids, groups = manifest.ids, manifest.frame["group"].tolist()
    members: dict[str, list[str]] = {}
    for identity, group in zip(ids, groups, strict=True):
        members.setdefault(group, []).append(identity)
    assigned: dict[str, tuple[str, str]] = {}
    for group, together in members.items():
        known = {identity: places[identity] for identity in together if identity in places}
        splits = {split for split, _ in known.values()}
        if len(splits) > 1:  # found to be alike only now: each stays with those that it has been with
            assigned |= known
        else:
            name = min((name for _, name in known.values()), default=group)
            place = (splits.pop() if splits else split_of(group, config), name)
            assigned |= dict.fromkeys(together, place)
    chosen = [assigned.get(identity, ("", group)) for identity, group in zip(ids, groups, strict=True)]
    frame = manifest.frame.assign(split=[split for split, _ in chosen], group=[group for _, group in chosen])
    kept = frame["split"] != ""
    split = replace(manifest, frame=frame[kept].reset_index(drop=True))
    _require_whole(split)
    return split, _with_rejections(report, frame[~kept])


def split_manifest(manifest: Manifest, config: SplitConfig) -> Manifest:
    """The same Manifest with every row's split set, by the hash alone.

    Raises:
        DataError: if a split stays empty or has a single class, or a class has no photograph to be fitted on.
    """
    frame = manifest.frame.assign(split=[split_of(group, config) for group in manifest.frame["group"]])
    split = replace(manifest, frame=frame)
    _require_whole(split)
    return split


def _require_whole(manifest: Manifest) -> None:
    for name in SPLITS:
        manifest.split(name)
    without = [label for label, number in manifest.counts()["train"].items() if number == 0]
    if without:
        raise DataError(
            f"No photograph of {', '.join(without)} falls into the train split: these classes have too few. "
            "Add photographs, leave the classes out with data.labels, or try another splits.seed."
        )
    for name in SPLITS:
        labels = manifest.split(name).frame["label"]
        if labels.nunique() == 1:
            raise DataError(
                f"All {len(labels)} photographs of the {name} split are labelled {labels.iloc[0]!r}: nothing can be learned "
                "or measured from one class. Add photographs, enlarge that split, or try another splits.seed."
            )


def _with_rejections(report: ValidationReport, left_out: pd.DataFrame) -> ValidationReport:
    if left_out.empty:
        return report
    detail = "nearly the same as pictures that lie in different splits of an earlier version"
    more = [(row.uri, row.label, "between_splits", detail, row.id) for row in left_out.itertuples()]
    rejections = [*report.rejections[list(REJECTION_COLUMNS)].itertuples(index=False, name=None), *more]
    gone = set(left_out["uri"])
    near, warned = report.near_duplicates, report.warnings
    return replace(
        report,
        accepted=report.accepted - len(left_out),
        rejections=table_of(rejections),
        near_duplicates=near[~near["first"].isin(gone) & ~near["second"].isin(gone)].reset_index(drop=True),
        warnings=warned[~warned["uri"].isin(gone)].reset_index(drop=True),
    )
