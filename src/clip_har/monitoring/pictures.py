"""The pictures behind a report's examples, small, as part of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from clip_har.data.image import ImageLimits, decode_image, read_image_bytes
from clip_har.errors import ImageError
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.report import DriftReport, Example
from clip_har.pages import picture

_SIDE = 240


def with_pictures(
    report: DriftReport,
    window: Observations,
    picture_of: Callable[[str], bytes | None],
    limits: ImageLimits | None = None,
) -> DriftReport:
    """The report, with a small JPEG for each example whose picture was kept and can be read.

    Args:
        window: of which `pictures` says where each is.
        picture_of: what lies there; None if there is nothing (any more).
        limits: what is accepted as an image.
    """
    if window.pictures is None:
        return report
    wanted = {example.id for example in (*report.farthest, *report.nearest)}
    places = {one: place for one, place in zip(window.ids, window.pictures, strict=True) if one in wanted and place}
    drawn = {one: _small(picture_of(place), limits) for one, place in places.items()}

    def shown(examples: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(one.model_copy(update={"picture": drawn.get(one.id, "")}) for one in examples)

    return report.model_copy(update={"farthest": shown(report.farthest), "nearest": shown(report.nearest)})


def from_file(place: str, limits: ImageLimits | None = None) -> bytes | None:
    """What lies at a path; None if it cannot be read, or is larger than an image may be."""
    try:
        return read_image_bytes(Path(place), limits or ImageLimits())
    except ImageError:
        return None


def _small(data: bytes | None, limits: ImageLimits | None) -> str:
    if data is None:
        return ""
    try:
        return picture(decode_image(data, limits, reduce_above=2 * _SIDE).image, _SIDE)
    except ImageError:  # replaced since it was answered
        return ""
