"""Checks that need the bytes of other samples: exact duplicates, label conflicts, pictures of the test folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clip_har.data.loading import map_ahead
from clip_har.data.sources import DataSource
from clip_har.data.sources.base import printable
from clip_har.data.validation.config import ValidationConfig
from clip_har.data.validation.examining import Finding, Verdict
from clip_har.hashing import sha256_file

_SHOWN = 10


def compare_bytes(verdicts: list[Verdict]) -> list[Verdict]:
    """Keep the first of equal files (by uri); where equal files have different labels, none can be trusted.

    Unless a person has waived the conflict for some of them, and these agree: then they are right.
    """
    by_id: dict[str, list[int]] = {}
    for position in sorted(
        range(len(verdicts)), key=lambda position: (verdicts[position].uri, verdicts[position].label)
    ):
        if verdicts[position].accepted:
            by_id.setdefault(verdicts[position].id, []).append(position)
    result = list(verdicts)
    for positions in by_id.values():
        same = [verdicts[position] for position in positions]
        for position, finding in zip(positions, _findings_of_same(same), strict=True):
            if finding is not None:
                result[position] = replace(verdicts[position], rejection=finding, warnings=())
    return result


def _findings_of_same(same: list[Verdict]) -> list[Finding | None]:
    labels = sorted({verdict.label for verdict in same})
    trusted = [verdict for verdict in same if "label_conflict" in verdict.waived]
    right = trusted[0] if len({verdict.label for verdict in trusted}) == 1 else None
    if len(labels) > 1 and right is None:
        return [Finding("label_conflict", f"listed as {' and as '.join(labels)}: {_named(same)}")] * len(same)
    kept = right or same[0]
    return [None if verdict is kept else _finding_beside(verdict, kept) for verdict in same]


def _finding_beside(verdict: Verdict, kept: Verdict) -> Finding:
    if verdict.label == kept.label:
        return Finding("exact_duplicate", f"same bytes as {kept.uri}")
    detail = (
        f"listed as {verdict.label}; {kept.uri}, listed as {kept.label}, has the same bytes and was decided to be right"
    )
    return Finding("label_conflict", detail)


def _named(same: Sequence[Verdict]) -> str:
    shown = ", ".join(f"{verdict.uri} ({verdict.label})" for verdict in same[:_SHOWN])
    return shown + (f" and {len(same) - _SHOWN} more" if len(same) > _SHOWN else "")


def compare_with_test_folder(verdicts: list[Verdict], source: DataSource, config: ValidationConfig) -> list[Verdict]:
    """Find accepted pictures that also lie among those that the source keeps for tests."""
    reason = "also_in_test_folder"
    if config.severity(reason) == "off":
        return verdicts
    sizes = {verdict.file_bytes for verdict in verdicts if verdict.accepted}
    listed = {os.path.normpath(source.root / verdict.uri) for verdict in verdicts}
    others = (path for path in source.unlabelled_files() if os.path.normpath(path) not in listed)
    by_id: dict[str, Path] = {}
    for path, digest in map_ahead(lambda path: (path, _digest(path, sizes)), others):
        if digest:
            by_id.setdefault(digest, path)
    return [
        verdict.judged(Finding(reason, f"same bytes as {_relative(by_id[verdict.id], source)}"), config)
        if verdict.accepted and verdict.id in by_id
        else verdict
        for verdict in verdicts
    ]


def _digest(path: Path, sizes: set[int]) -> str:
    """sha256 of a file that may be one of the labelled: others, of another size, need not be read."""
    try:
        return sha256_file(path) if path.stat().st_size in sizes else ""
    except OSError:  # it cannot be among the labelled if it cannot be read
        return ""


def _relative(path: Path, source: DataSource) -> str:
    around = next((folder for folder in source.data_folders if path.is_relative_to(folder)), source.data_folder)
    return printable(os.path.relpath(path, around).replace(os.sep, "/"))
