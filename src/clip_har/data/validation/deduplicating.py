"""Near-duplicates among accepted samples: candidates by their hashes, verified on the pictures, grouped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clip_har.data.duplicates import close_pairs, groups_of, verified_pairs
from clip_har.data.image import decode_image
from clip_har.data.manifest import Manifest
from clip_har.data.sources.base import Progress
from clip_har.data.validation.classes import require_usable
from clip_har.data.validation.config import ValidationConfig
from clip_har.data.validation.inspection import Inspection
from clip_har.data.validation.measures import SIDE
from clip_har.data.validation.report import PAIR_COLUMNS, ValidationReport, table_of
from clip_har.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_CONFLICT = "near_duplicate_label_conflict"

Pair = tuple[int, int, int, float]


def deduplicate(
    manifest: Manifest,
    report: ValidationReport,
    inspection: Inspection,
    config: ValidationConfig,
    progress: Progress | None = None,
) -> tuple[Manifest, ValidationReport]:
    """Find accepted samples that show nearly the same picture, and put them into one group.

    Args:
        manifest, report, inspection: as from `validate`, with the pictures still in their place.

    Returns:
        The samples that stay, grouped, and the report with the pairs found. `inspection` may have more rows than them.

    Raises:
        DataError: if `inspection` is of other samples, or too little is left.
    """
    if config.near_duplicates.severity == "off":
        return manifest, report
    pairs = _verified(manifest, inspection, config, progress)
    waived = _waived(manifest, inspection)
    conflicts = _conflicts(manifest, pairs, waived)
    rejected: dict[int, tuple[str, str]] = {}
    if config.near_duplicates.two_labels == "reject":
        rejected |= {row: (_CONFLICT, "; ".join(details)) for row, details in conflicts.items()}
    if config.near_duplicates.severity == "reject":
        rejected |= _repeated(manifest, _among(pairs, rejected), waived)
    stays = [row for row in range(len(manifest)) if row not in rejected]
    labels = manifest.frame["label"].tolist()
    require_usable(
        [labels[row] for row in stays], [*report.rejections["reason"], *(reason for reason, _ in rejected.values())]
    )
    pairs = _among(pairs, rejected)
    groups = groups_of(manifest.ids, [pair[:2] for pair in pairs])
    frame = manifest.frame.assign(group=groups).iloc[stays].reset_index(drop=True)
    if config.near_duplicates.two_labels != "warn":
        conflicts = {}
    return replace(manifest, frame=frame), _reported(report, manifest, pairs, rejected, conflicts)


def _verified(
    manifest: Manifest, inspection: Inspection, config: ValidationConfig, progress: Progress | None
) -> list[Pair]:
    hashes = _aligned(manifest, inspection, "perceptual_hash").to_numpy(dtype=np.uint64)
    candidates = close_pairs(hashes, config.near_duplicates.distance)
    paths = manifest.paths

    def picture(row: int):
        return decode_image(paths[row], config.limits, reduce_above=SIDE).image

    return verified_pairs(candidates, picture, config.near_duplicates.similarity, progress)


def _aligned(manifest: Manifest, inspection: Inspection, column: str) -> pd.Series:
    values = inspection.frame.set_index("id")[column].reindex(manifest.ids)
    if len(inspection) < len(manifest) or not set(manifest.ids) <= set(inspection.frame["id"]):
        raise DataError("The Inspection is not of this Manifest: some of its samples were not inspected.")
    return values


def _waived(manifest: Manifest, inspection: Inspection) -> list[frozenset[str]]:
    return [frozenset(reasons.split()) for reasons in _aligned(manifest, inspection, "waived")]


def _among(pairs: list[Pair], rejected: Mapping[int, object]) -> list[Pair]:
    return [pair for pair in pairs if pair[0] not in rejected and pair[1] not in rejected]


def _conflicts(manifest: Manifest, pairs: list[Pair], waived: list[frozenset[str]]) -> dict[int, list[str]]:
    """For each sample that looks like one with another label: what it looks like."""
    uris, labels = manifest.frame["uri"].tolist(), manifest.frame["label"].tolist()
    found: dict[int, list[str]] = {}
    for first, second, _, similarity in pairs:
        if labels[first] != labels[second]:
            for row, other in ((first, second), (second, first)):
                if _CONFLICT not in waived[row]:
                    detail = f"like {uris[other]}, which is labelled {labels[other]!r} (similarity {similarity:.2f})"
                    found.setdefault(row, []).append(detail)
    return found


def _repeated(manifest: Manifest, pairs: list[Pair], waived: list[frozenset[str]]) -> dict[int, tuple[str, str]]:
    """All samples of each group but its first (by uri) and those that a person wants to keep."""
    uris, first_of, found = manifest.frame["uri"].tolist(), {}, {}
    for row, group in enumerate(groups_of(manifest.ids, [pair[:2] for pair in pairs])):
        first = first_of.setdefault(group, row)
        if first != row and "near_duplicates" not in waived[row]:
            found[row] = ("near_duplicates", f"nearly the same picture as {uris[first]}")
    return found


def _reported(
    report: ValidationReport,
    manifest: Manifest,
    pairs: list[Pair],
    rejected: dict[int, tuple[str, str]],
    conflicts: dict[int, list[str]],
) -> ValidationReport:
    uris, labels, ids = (manifest.frame[name].tolist() for name in ("uri", "label", "id"))
    rejections = [(uris[row], labels[row], reason, detail, ids[row]) for row, (reason, detail) in rejected.items()]
    gone = {uris[row] for row in rejected}
    warnings = [row for row in report.warnings.itertuples(index=False, name=None) if row[0] not in gone]
    warnings += [
        (uris[row], labels[row], _CONFLICT, detail, ids[row])
        for row, details in conflicts.items()
        if row not in rejected
        for detail in details
    ]
    near = [(uris[first], uris[second], distance, round(value, 4)) for first, second, distance, value in pairs]
    return ValidationReport(
        found=report.found,
        accepted=report.accepted - len(rejected),
        rejections=table_of([*report.rejections.itertuples(index=False, name=None), *rejections]),
        near_duplicates=table_of(near, PAIR_COLUMNS),
        warnings=table_of(warnings),
    )
