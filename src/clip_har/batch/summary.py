"""What a finished job found, counted over the table's parts one at a time; pictures are fetched again, and few."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clip_har.batch.config import SummaryConfig
from clip_har.batch.sources.base import BatchSource
from clip_har.batch.table import COLUMNS
from clip_har.data.image import decode_image
from clip_har.errors import ImageError
from clip_har.pages import picture

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

_BINS = 20
_EXAMPLES = 5
_SIDE = 200


@dataclass
class LabelCount:
    """How often a label was the best, abstained or not."""

    images: int = 0
    abstained: int = 0
    confidence: float = 0.0

    @property
    def mean_confidence(self) -> float:
        """Mean probability of the answers with this label."""
        return self.confidence / self.images


@dataclass
class Shown:
    """A row that the page shows; `thumbnail` is a data URI once it has been fetched."""

    path: str
    sha256: str
    label: str
    score: float
    abstained: bool
    label_set: list[str] | None
    thumbnail: str | None = None


@dataclass
class Summary:
    """Counts of a table, and the rows to be looked at."""

    images: int = 0
    abstained: int = 0
    confidence: float = 0.0
    labels: dict[str, LabelCount] = field(default_factory=lambda: defaultdict(LabelCount))
    errors: Counter[str] = field(default_factory=Counter)
    error_examples: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    bins: list[int] = field(default_factory=lambda: [0] * _BINS)
    least_sure: list[Shown] = field(default_factory=list)
    sheet: dict[str, list[Shown]] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """Images that a label was found for, sure or not."""
        return self.images - sum(self.errors.values())

    @property
    def shown(self) -> Iterator[Shown]:
        """All rows that the page shows a picture of."""
        yield from self.least_sure
        for rows in self.sheet.values():
            yield from rows

    def figures(self) -> dict[str, Any]:
        """For `metrics.json`: the same table gives the same figures."""
        return {
            "images": self.images,
            "answered": self.answered,
            "abstained": self.abstained,
            "errors": dict(sorted(self.errors.items())),
            "labels": {label: self.labels[label].images for label in sorted(self.labels)},
            "mean_confidence": round(self.confidence / self.answered, 6) if self.answered else None,
        }


def summarise(tables: Iterable[pa.Table], config: SummaryConfig, *, in_order: bool) -> Summary:
    """Count a table that comes in pieces.

    Args:
        in_order: show the first pictures of each label, which a stream comes to soonest; otherwise a sample that does not
            depend on where they lie: those of the smallest hashes.
    """
    summary = Summary()
    least: list[tuple[float, int, Shown]] = []
    sheets: dict[str, list[tuple[str, int, Shown]]] = defaultdict(list)
    for table in tables:
        for row in table.select(list(COLUMNS)).to_pylist():
            number = summary.images
            summary.images += 1
            if row["error"] is not None:
                summary.errors[row["error"]] += 1
                examples = summary.error_examples[row["error"]]
                if len(examples) < _EXAMPLES:
                    examples.append((row["path"], row["error_message"]))
                continue
            _count(summary, row)
            shown = Shown(*(row[name] for name in ("path", "sha256", "label", "score", "abstained", "label_set")))
            _keep(least, (shown.score, number, shown), config.low_confidence)
            place = f"{number:020d}" if in_order else shown.sha256
            sheet = sheets[shown.label]
            if all(kept.sha256 != shown.sha256 for *_, kept in sheet):  # copies of one picture show nothing more
                _keep(sheet, (place, number, shown), config.pictures_per_label)
    summary.least_sure = [shown for *_, shown in least]
    frequent = sorted(summary.labels, key=lambda label: (-summary.labels[label].images, label))[: config.labels]
    summary.sheet = {label: [shown for *_, shown in sheets[label]] for label in frequent if sheets[label]}
    return summary


def _count(summary: Summary, row: dict[str, Any]) -> None:
    count = summary.labels[row["label"]]
    for place in (count, summary):
        place.abstained += row["abstained"]
        place.confidence += row["score"]
    count.images += 1
    summary.bins[min(int(row["score"] * _BINS), _BINS - 1)] += 1


def _keep(kept: list[Any], candidate: tuple, most: int) -> None:
    """Keep the `most` smallest in order."""
    if len(kept) < most or (kept and candidate < kept[-1]):
        kept.insert(_place(kept, candidate), candidate)
        del kept[most:]


def _place(kept: list[Any], candidate: tuple) -> int:
    import bisect

    return bisect.bisect_left(kept, candidate[:2], key=lambda entry: entry[:2])


def fetch_thumbnails(summary: Summary, source: BatchSource) -> None:
    """Give the rows that are shown their pictures, from the source; one that has changed since gets none."""
    wanted: dict[str, list[Shown]] = defaultdict(list)
    for shown in summary.shown:
        wanted[shown.path].append(shown)
    # of a stream, no more is read than the contact sheet needs
    needed = (
        {shown.path for rows in summary.sheet.values() for shown in rows} if not source.random_access else set(wanted)
    )
    for item in source.items():
        if not needed:
            return
        if item.path not in wanted:
            item.drop()
            continue
        needed.discard(item.path)
        rows = wanted.pop(item.path)
        try:
            small = picture(_small(item.read(), source), _SIDE)
        except ImageError:
            continue
        for shown in rows:
            if item.sha256 == shown.sha256:
                shown.thumbnail = small


def _small(data: Any, source: BatchSource) -> Image.Image:
    from PIL import Image

    if isinstance(data, bytes):
        return decode_image(data, source.limits, reduce_above=_SIDE).image
    return Image.fromarray(data)
