"""The dataset card: what is in a version of the data, as a page for people and as Markdown for the Hub.

Nothing in it depends on the time or the machine: equal data give an equal card.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.data.image import ImageLimits, PixelBudget, decode_image
from clip_har.data.manifest import SPLITS, Manifest
from clip_har.errors import ImageError
from clip_har.pages import bins, environment, keep_together, picture, readable_size

if TYPE_CHECKING:
    import pandas as pd

    from clip_har.data.sources.base import Progress
    from clip_har.data.validation import Inspection, ValidationReport

_EXAMPLE_SIDE, _PAIR_SIDE = 160, 200
_GROUPS_SHOWN = 12
_SIZES_DRAWN = 150
_SIZE_CATEGORIES = (
    *((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")),
    *((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M")),
)


class CardConfig(ComponentConfig):
    """What only a person can say of the data."""

    name: str = Field("Photographs of human actions", min_length=1, description="What the data set is called.")
    description: str = Field("", description="What it is, where it is from and what it is for: Markdown, a paragraph.")
    license: str | None = Field(
        None, min_length=1, description="Identifier as the Hub knows it, like cc-by-4.0; not stated if not given."
    )
    examples: int = Field(6, ge=0, le=50, description="Pictures of each class on the HTML page (none in the Markdown).")


@dataclass(frozen=True)
class DatasetCard:
    """A card in its two forms.

    Attributes:
        html: one self-contained page, with small pictures.
        markdown: a README.md with the Hub's YAML in front, without pictures.
    """

    html: str
    markdown: str


def dataset_card(
    manifest: Manifest,
    report: ValidationReport,
    inspection: Inspection,
    config: CardConfig | None = None,
    progress: Progress | None = None,
) -> DatasetCard:
    """Describe a split Manifest.

    Args:
        manifest: with its files in their place, for the examples.
        report: what validation and the search for duplicates found.
        inspection: measurements of the Manifest's samples, in any order; it may have more.
    """
    config = config or CardConfig()
    facts = _facts(manifest, report, inspection, config)
    pictures = _Pictures(manifest, config.examples, facts["near_groups"][:_GROUPS_SHOWN], progress)
    templates = environment("clip_har.data")
    templates.filters["cell"] = _cell
    html = templates.get_template("card.html").render(
        **facts,
        **_charts(manifest, inspection),
        examples=pictures.examples(),
        shown_groups=pictures.groups(),
    )
    body = templates.get_template("card.md").render(**facts)
    return DatasetCard(keep_together(html), _with_front_matter(body, manifest, config))


def _facts(manifest: Manifest, report: ValidationReport, inspection: Inspection, config: CardConfig) -> dict[str, Any]:
    from clip_har.data.validation import REASONS

    frame = manifest.frame
    counts = [(label, [int(number) for number in row]) for label, row in _counted(manifest)]
    exact = report.rejections[report.rejections["reason"] == "exact_duplicate"]
    kept_uri = dict(zip(frame["id"], frame["uri"], strict=True))
    exact_groups = [
        (kept_uri.get(identity, ""), sorted(copies)) for identity, copies in exact.groupby("id")["uri"] if identity
    ]
    file_bytes = _measured(manifest, inspection, "file_bytes")
    return {
        "config": config,
        "manifest": manifest,
        "splits": SPLITS,
        "samples": len(manifest),
        "labels": manifest.labels,
        "counts": counts,
        "largest": max((sum(numbers) for _, numbers in counts), default=1) or 1,
        "totals": [sum(numbers[place] for _, numbers in counts) for place in range(len(SPLITS))],
        "bytes": int(file_bytes.sum()),
        "formats": _frequent(frame["format"]),
        "sources": _frequent(frame["source"]),
        "sizes": _frequent(frame["width"].astype(str) + " × " + frame["height"].astype(str)),
        "median": (int(frame["width"].median()), int(frame["height"].median())),
        "report": report,
        "rejections": [(reason, number, REASONS.get(reason, "")) for reason, number in report.reasons.items()],
        "warnings": [(reason, number, REASONS.get(reason, "")) for reason, number in report.warned_reasons.items()],
        "exact_groups": sorted(exact_groups),
        "near_groups": _near_groups(frame),
        "manifest_hash": manifest.content_hash,
        "revisions": sorted({revision for revision in frame["data_revision"] if revision}),
    }


def _counted(manifest: Manifest) -> list[tuple[str, Any]]:
    table = manifest.counts()
    return [(label, table.loc[label]) for label in manifest.labels]


def _measured(manifest: Manifest, inspection: Inspection, column: str) -> pd.Series:
    """Values of the Manifest's samples; those that were not measured are left out."""
    values = inspection.frame.set_index("id")[column]
    return values[values.index.isin(manifest.ids)]


def _frequent(values: pd.Series) -> list[tuple[str, int]]:
    """Values and how often they occur, the most frequent first."""
    return sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))


def _near_groups(frame: pd.DataFrame) -> list[list[str]]:
    """uris of pictures that share a group, the largest groups first."""
    groups = frame[frame["group"].duplicated(keep=False)].groupby("group")["uri"]
    return sorted((sorted(uris) for _, uris in groups), key=lambda uris: (-len(uris), uris))


def _charts(manifest: Manifest, inspection: Inspection) -> dict[str, Any]:
    frame = manifest.frame
    ratio = frame["width"] / frame["height"]
    shorter = frame[["width", "height"]].min(axis=1)
    file_bytes = _measured(manifest, inspection, "file_bytes")
    given = (
        ("Shorter side", shorter, False, lambda value: f"{value:.0f} px"),
        ("Width over height", ratio, False, lambda value: f"{value:.2f}"),
        ("File size", file_bytes[file_bytes > 0], True, readable_size),
        ("Brightness", _measured(manifest, inspection, "brightness"), False, lambda value: f"{value:.2f}"),
        ("Contrast", _measured(manifest, inspection, "contrast"), False, lambda value: f"{value:.2f}"),
        ("Sharpness", _measured(manifest, inspection, "sharpness"), False, lambda value: f"{value:.2f}"),
    )
    histograms = []
    for title, values, logarithmic, written in given:
        rows = bins(values.tolist(), logarithmic=logarithmic)
        if rows:
            for row in rows:
                row["title"] = f"{written(row['low'])} to {written(row['high'])}: {row['count']:,}"
            ends = (written(rows[0]["low"]), written(rows[-1]["high"]))
            histograms.append((title, rows, ends, f"median {written(values.median())}"))
    return {"histograms": histograms, "bubbles": _bubbles(frame)}


def _bubbles(frame: pd.DataFrame) -> dict[str, Any]:
    """The most frequent sizes as circles in a square of 100 × 100, their area by how frequent they are."""
    sizes = Counter(zip(frame["width"].tolist(), frame["height"].tolist(), strict=True)).most_common(_SIZES_DRAWN)
    side = max((max(size) for size, _ in sizes), default=1)
    most = sizes[0][1] if sizes else 1
    circles = [
        {
            "x": round(100 * width / side, 2),
            "y": round(100 - 100 * height / side, 2),
            "radius": round(0.8 + 5.2 * (number / most) ** 0.5, 2),
            "title": f"{width} × {height}: {number:,}",
        }
        for (width, height), number in sizes
    ]
    return {"side": side, "circles": circles}


class _Pictures:
    """The pictures on the page, each decoded once."""

    def __init__(self, manifest: Manifest, per_class: int, groups: list[list[str]], progress: Progress | None) -> None:
        self._manifest = manifest
        frame = manifest.frame
        # By id, which is as good as at random and the same everywhere; training pictures only, so that nobody gets to
        # know the others.
        train = frame[frame["split"] == "train"].sort_values("id")
        self._chosen = [
            (label, train[train["label"] == label]["uri"].tolist()[:per_class]) for label in manifest.labels
        ]
        self._groups = [uris[:4] for uris in groups]
        self._label = dict(zip(frame["uri"], frame["label"], strict=True))
        wanted = [(uri, _EXAMPLE_SIDE) for _, uris in self._chosen for uri in uris]
        wanted += [(uri, _PAIR_SIDE) for uris in self._groups for uri in uris]
        self._drawn = self._draw(list(dict.fromkeys(wanted)), progress)

    def _draw(self, wanted: list[tuple[str, int]], progress: Progress | None) -> dict[tuple[str, int], str]:
        limits = ImageLimits()
        budget = PixelBudget(limits.max_pixels_in_flight)
        place = dict(zip(self._manifest.frame["uri"], self._manifest.paths, strict=True))

        def draw(item: tuple[str, int]) -> str:
            uri, side = item
            try:
                return picture(decode_image(place[uri], limits, reduce_above=side, budget=budget).image, side, 72)
            except ImageError:  # gone since it was validated, or accepted with wider limits: the card goes without
                return ""

        drawn = {}
        with ThreadPoolExecutor() as pool:
            for item, image in zip(wanted, pool.map(draw, wanted), strict=True):
                drawn[item] = image
                if progress:
                    progress(len(drawn), len(wanted))
        return drawn

    def examples(self) -> list[tuple[str, list[str]]]:
        """Classes with their pictures as data URIs."""
        return [
            (label, [image for uri in uris if (image := self._drawn[uri, _EXAMPLE_SIDE])])
            for label, uris in self._chosen
        ]

    def groups(self) -> list[list[tuple[str, str, str]]]:
        """Groups of near-duplicates: uri, label and picture of each member."""
        return [
            [(uri, self._label[uri], image) for uri in uris if (image := self._drawn[uri, _PAIR_SIDE])]
            for uris in self._groups
        ]


def _with_front_matter(body: str, manifest: Manifest, config: CardConfig) -> str:
    from huggingface_hub import DatasetCard as HubCard
    from huggingface_hub import DatasetCardData

    number = len(manifest)
    category = next((name for bound, name in _SIZE_CATEGORIES if number < bound), "100M<n<1B")
    about = DatasetCardData(
        license=config.license or "unknown",
        pretty_name=config.name,
        task_categories=["image-classification"],
        size_categories=[category],
        tags=["action-recognition", "clip-har"],
    )
    return HubCard(f"---\n{about.to_yaml()}\n---\n\n{body.strip()}\n").content


def _cell(text: object) -> str:
    """Text for a cell of a Markdown table."""
    escaped = str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.split())
