"""The page about a batch job: one HTML file that opens offline."""

from __future__ import annotations

from typing import Any

from clip_har.batch.summary import Summary
from clip_har.data.image import REASONS
from clip_har.pages import environment, keep_together


def render_summary(summary: Summary, facts: dict[str, str]) -> str:
    """The whole page.

    Args:
        facts: name → text, about the run.
    """
    most = max((count.images for count in summary.labels.values()), default=1)
    labels = sorted(summary.labels.items(), key=lambda entry: (-entry[1].images, entry[0]))
    page = (
        environment("clip_har.batch")
        .get_template("batch.html")
        .render(
            summary=summary,
            labels=labels,
            most=most,
            reasons=REASONS,
            errors=summary.errors.most_common(),
            confidences=_histogram(summary),
            facts=facts,
        )
    )
    return keep_together(page)


def _histogram(summary: Summary) -> list[dict[str, Any]]:
    most, width = max(*summary.bins, 1), 100 / len(summary.bins)
    return [
        {
            "count": count,
            "share": count / most,
            "title": f"{number * width:.0f} to {(number + 1) * width:.0f} %: {count:,}",
        }
        for number, count in enumerate(summary.bins)
    ]
