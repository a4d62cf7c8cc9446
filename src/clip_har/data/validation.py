"""Validation: what a source lists → the samples that can be trusted, and a reason for each of the others."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from clip_har.component import Artifact, ComponentConfig
from clip_har.data.duplicates import close_pairs, groups_of, perceptual_hash, verified_pairs
from clip_har.data.image import REASONS as IMAGE_REASONS
from clip_har.data.image import ImageLimits, PixelBudget, decode_image, read_image_bytes
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.data.sources import DataSource, SourceRecord
from clip_har.data.sources.base import Progress
from clip_har.errors import DataError, ImageError, did_you_mean, nearest
from clip_har.hashing import sha256_bytes, sha256_json
from clip_har.storage import write_atomic, write_json

if TYPE_CHECKING:
    import pandas as pd

REASONS = IMAGE_REASONS | {
    "outside_data_folder": "the listed path leaves the data folder",
    "missing_label": "no label",
    "unknown_label": "the label is not one of the classes",
    "too_small": "a side is shorter than the smallest allowed",
    "exact_duplicate": "the same bytes as another accepted file",
    "label_conflict": "the same bytes are listed with different labels",
}
REJECTION_COLUMNS = ("uri", "label", "reason", "detail", "id")
PAIR_COLUMNS = ("first", "second", "distance", "similarity")


class ValidationConfig(ComponentConfig):
    """What a sample must be to be accepted."""

    min_side: int = Field(32, ge=1, description="Shortest side, in pixels, below which a picture is rejected.")
    near_duplicate_distance: int = Field(
        10, ge=0, le=32, description="Bits of the 64-bit perceptual hash in which near-duplicates may differ."
    )
    near_duplicate_similarity: float = Field(
        0.9, gt=0, le=1, description="Correlation of the small pictures from which a candidate pair is grouped."
    )
    limits: ImageLimits = Field(ImageLimits(), description="Limits of decoding.")


@dataclass(frozen=True)
class ValidationReport(Artifact):
    """What validation found: accepted + rejected = found, always.

    Attributes:
        found, accepted: numbers of samples.
        rejections: a row a rejected sample with `REJECTION_COLUMNS`; id is the sha256 of its bytes where they could
            be read, else "".
        near_duplicates: a row a verified pair of accepted samples with `PAIR_COLUMNS` (first and second are uris).
    """

    found: int
    accepted: int
    rejections: pd.DataFrame
    near_duplicates: pd.DataFrame

    def __post_init__(self) -> None:
        if self.accepted + len(self.rejections) != self.found:
            raise AssertionError(
                f"{self.accepted} accepted + {len(self.rejections)} rejected samples are not {self.found} found"
            )

    @property
    def reasons(self) -> dict[str, int]:
        """Number of rejections by reason, the most frequent first."""
        return dict(sorted(Counter(self.rejections["reason"]).items(), key=lambda item: (-item[1], item[0])))

    def summary(self) -> dict:
        """Counts as JSON."""
        return {
            "found": self.found,
            "accepted": self.accepted,
            "rejected": len(self.rejections),
            "rejected_by_reason": self.reasons,
            "exact_duplicate_groups": int(
                self.rejections["id"][self.rejections["reason"] == "exact_duplicate"].nunique()
            ),
            "near_duplicate_pairs": len(self.near_duplicates),
        }

    def write(self, folder: str | Path) -> None:
        """Write `summary.json`, `rejections.parquet` and `near_duplicates.parquet` into a folder."""
        import io

        folder = Path(folder)
        for name in ("rejections", "near_duplicates"):
            buffer = io.BytesIO()
            getattr(self, name).to_parquet(buffer, index=False)
            write_atomic(folder / f"{name}.parquet", buffer.getvalue())
        write_json(folder / "summary.json", self.summary())

    @classmethod
    def read(cls, folder: str | Path) -> ValidationReport:
        """Read what `write` wrote."""
        import pandas as pd

        folder = Path(folder)
        summary = json.loads((folder / "summary.json").read_text())
        tables = [pd.read_parquet(folder / f"{name}.parquet") for name in ("rejections", "near_duplicates")]
        return cls(summary["found"], summary["accepted"], *tables)

    def to_html(self) -> str:
        """The report as a plain page: counts, reasons in words, and every rejected sample."""
        import pandas as pd

        reasons = [(reason, number, REASONS.get(reason, "")) for reason, number in self.reasons.items()]
        tables = [
            ("Reasons", pd.DataFrame(reasons, columns=["reason", "samples", "meaning"])),
            ("Rejected", self.rejections),
            ("Nearly the same picture (kept, in one split)", self.near_duplicates),
        ]
        parts = [f"<p>{self.found} found, {self.accepted} accepted, {len(self.rejections)} rejected.</p>"]
        parts += [f"<h3>{title}</h3>{table.to_html(index=False, border=0)}" for title, table in tables if len(table)]
        return "\n".join(parts)

    @property
    def content_hash(self) -> str:
        """sha256 of all that the report says."""
        rows = [self.rejections.to_numpy().tolist(), self.near_duplicates.to_numpy().tolist()]
        return sha256_json([self.summary(), rows])


@dataclass(frozen=True)
class _Inspected:
    """One record looked at: a sample if `reason` is None."""

    record: SourceRecord
    reason: str | None = None
    detail: str = ""
    id: str = ""
    hash: int = 0
    width: int = 0
    height: int = 0
    format: str = ""


def validate(
    source: DataSource, config: ValidationConfig, data_revision: str = "", progress: Progress | None = None
) -> tuple[Manifest, ValidationReport]:
    """Look at every sample that a source lists.

    Returns:
        The accepted samples, grouped by duplicates and not yet split, and the report on all of them.

    Raises:
        DataError: if the data cannot be used as a whole: nothing accepted, a single class, or a class of
            `source.config.labels` that no sample has.
    """
    records = source.records()
    classes = _classes(source.config.labels, records)
    budget = PixelBudget(config.limits.max_pixels_in_flight)
    inspected = []
    with ThreadPoolExecutor() as pool:
        for item in pool.map(lambda record: _inspect(record, source.root, classes, config, budget), records):
            inspected.append(item)
            if progress:
                progress(len(inspected), len(records))
    inspected = _resolve_exact_duplicates(inspected)
    accepted = sorted((item for item in inspected if item.reason is None), key=lambda item: item.record.uri)
    rejected = [item for item in inspected if item.reason is not None]
    _require_usable(accepted, rejected)
    pairs = _near_duplicates(accepted, source.root, config)
    groups = groups_of([item.id for item in accepted], [pair[:2] for pair in pairs])
    return (
        _manifest(accepted, groups, classes, source, data_revision),
        _report(len(records), accepted, rejected, pairs),
    )


def _classes(wanted: tuple[str, ...] | None, records: list[SourceRecord]) -> tuple[str, ...]:
    occurring = {record.label for record in records if record.label}
    if wanted is None:
        return tuple(sorted(occurring))
    if len(set(wanted)) != len(wanted):
        raise DataError(f"data.labels names a class twice: {', '.join(wanted)}.")
    for label in wanted:
        if label not in occurring:
            raise DataError(
                f"data.labels: no photograph is labelled {label!r}. {did_you_mean(label, occurring - set(wanted))}"
            )
    return wanted


def _inspect(
    record: SourceRecord, root: Path, classes: tuple[str, ...], config: ValidationConfig, budget: PixelBudget
) -> _Inspected:
    if record.problem is not None:
        return _Inspected(record, *record.problem)
    if record.label not in classes:
        match = nearest(record.label or "", classes)
        detail = f"{record.label!r}" + (f"; did you mean {match!r}?" if match else "")
        return _Inspected(record, "unknown_label", detail)
    identity = ""
    try:
        data = read_image_bytes(root / record.uri, config.limits)
        identity = sha256_bytes(data)
        decoded = decode_image(data, config.limits, budget=budget)
    except ImageError as error:
        return _Inspected(record, error.reason, str(error), identity)
    if min(decoded.width, decoded.height) < config.min_side:
        detail = f"{decoded.width} × {decoded.height} pixels; {config.min_side} a side are wanted"
        return _Inspected(record, "too_small", detail, identity)
    return _Inspected(
        record, None, "", identity, perceptual_hash(decoded.image), decoded.width, decoded.height, decoded.format
    )


def _resolve_exact_duplicates(inspected: list[_Inspected]) -> list[_Inspected]:
    """Keep the first of equal files (by uri); where equal files have different labels, none can be trusted."""
    by_id: dict[str, list[_Inspected]] = {}
    for item in sorted(inspected, key=lambda item: item.record.uri):
        if item.reason is None:
            by_id.setdefault(item.id, []).append(item)
    verdicts: dict[int, tuple[str, str]] = {}
    for same in by_id.values():
        labels = sorted({item.record.label or "" for item in same})
        first = same[0].record.uri
        if len(labels) > 1:
            detail = f"listed as {' and as '.join(labels)}: {', '.join(item.record.uri for item in same)}"
            verdicts |= {id(item): ("label_conflict", detail) for item in same}
        else:
            verdicts |= {id(item): ("exact_duplicate", f"same bytes as {first}") for item in same[1:]}
    return [
        _Inspected(item.record, *verdicts[id(item)], item.id) if id(item) in verdicts else item for item in inspected
    ]


def _require_usable(accepted: list[_Inspected], rejected: list[_Inspected]) -> None:
    if not accepted:
        reasons = Counter(item.reason for item in rejected).most_common(3)
        listed = ", ".join(f"{number} × {reason} ({REASONS[reason]})" for reason, number in reasons)
        raise DataError(f"None of the {len(rejected)} listed photographs can be used: {listed}.")
    labels = {item.record.label for item in accepted}
    if len(labels) < 2:
        raise DataError(
            f"All {len(accepted)} accepted photographs are labelled {labels.pop()!r}: nothing can be learned or "
            "measured from one class. (A test split published with placeholder labels looks like this.)"
        )


def _near_duplicates(
    accepted: list[_Inspected], root: Path, config: ValidationConfig
) -> list[tuple[int, int, int, float]]:
    hashes = np.array([item.hash for item in accepted], dtype=np.uint64)

    def picture(index: int):
        return decode_image(root / accepted[index].record.uri, config.limits, reduce_above=256).image

    pairs = close_pairs(hashes, config.near_duplicate_distance)
    return verified_pairs(pairs, picture, config.near_duplicate_similarity)


def _manifest(
    accepted: list[_Inspected], groups: list[str], classes: tuple[str, ...], source: DataSource, data_revision: str
) -> Manifest:
    import pandas as pd

    kind = source.config.source
    rows = [
        (item.id, item.record.uri, item.record.label, "", group, item.width, item.height, item.format, kind)
        for item, group in zip(accepted, groups, strict=True)
    ]
    frame = pd.DataFrame([(*row, data_revision) for row in rows], columns=list(COLUMNS))
    return Manifest(frame, classes, str(source.root))


def _report(
    found: int, accepted: list[_Inspected], rejected: list[_Inspected], pairs: list[tuple[int, int, int, float]]
) -> ValidationReport:
    import pandas as pd

    rejections = pd.DataFrame(
        [(item.record.uri, item.record.label or "", item.reason, item.detail, item.id) for item in rejected],
        columns=list(REJECTION_COLUMNS),
    )
    uris = [item.record.uri for item in accepted]
    near = [(uris[first], uris[second], distance, round(value, 4)) for first, second, distance, value in pairs]
    return ValidationReport(found, len(accepted), rejections, pd.DataFrame(near, columns=list(PAIR_COLUMNS)))
