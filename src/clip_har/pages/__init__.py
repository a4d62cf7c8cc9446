"""What all pages for people share: one stylesheet, one template environment, pictures and small charts inside the page.

A page is one file that asks nothing of any server.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image


def environment(package: str) -> Any:
    """The jinja2 environment for the templates of a package; those in this package (`style.css`) are found too.

    Filters: `percent` (a share as a percentage), `words` (underscores to spaces), `thousands` (12,345) and `size` (bytes).
    """
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name, "templates") for name in (package, "clip_har.pages")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["percent"] = lambda value, digits=1: f"{100 * value:.{digits}f}"
    found.filters["words"] = lambda label: str(label).replace("_", " ")
    found.filters["thousands"] = lambda number: f"{number:,}"
    found.filters["size"] = readable_size
    return found


def keep_together(page: str) -> str:
    """No line break between a number and its percent sign."""
    return re.sub(r"(\d) %", "\\1\u202f%", page)


def readable_size(number: float) -> str:
    """A number of bytes in the largest unit of which there is one at least: 1.5 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError("unreachable")


def picture(image: Image.Image, side: int = 240, quality: int = 78) -> str:
    """A small JPEG as a data URI.

    Args:
        image: RGB; it is not changed.
        side: longest side in pixels.
    """
    small = image.copy()
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def bins(values: Sequence[float], number: int = 24, logarithmic: bool = False) -> list[dict[str, float]]:
    """Counts of values in bins of equal width: rows of `low`, `high`, `count` and `share` of the fullest bin.

    Args:
        number: of bins; fewer if all values are the same.
        logarithmic: equal widths of the logarithm; values must be above 0.
    """
    import numpy as np

    given = np.asarray(values, dtype=np.float64)
    if not len(given):
        return []
    scaled = np.log(given) if logarithmic else given
    low, high = float(scaled.min()), float(scaled.max())
    if math.isclose(low, high, abs_tol=1e-12):
        number = 1
    counts, edges = np.histogram(scaled, bins=number, range=(low, high) if number > 1 else (low - 0.5, low + 0.5))
    ends = np.exp(edges) if logarithmic else edges
    if number == 1:
        ends = np.array([given.min(), given.max()])
    most = max(int(counts.max()), 1)
    return [
        {"low": float(ends[place]), "high": float(ends[place + 1]), "count": int(count), "share": int(count) / most}
        for place, count in enumerate(counts)
    ]
