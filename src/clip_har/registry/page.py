"""Decisions as pages: one HTML file each, that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clip_har.models.estimates import Estimate
from clip_har.pages import environment, keep_together
from clip_har.registry.records import Decision
from clip_har.registry.report import PromotionReport, percent, points, probability

METRIC_NAMES = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_f1": "Macro F1"}


def render_promotion(report: PromotionReport, run: dict[str, Any] | None = None) -> str:
    """The whole page about a comparison.

    Args:
        run: `facts` (name → text), and `export` (address of the export report beside it).
    """
    page = (
        _environment()
        .get_template("promotion.html")
        .render(
            report=report,
            metric_names=METRIC_NAMES,
            spans={data.name: _span(data.beside.gain) for data in report.comparisons if data.beside is not None},
            already=report.champion is not None and report.champion.model_id == report.challenger.model_id,
            run=run,
        )
    )
    return keep_together(page)


def render_rollback(decision: Decision, decisions: Sequence[Decision], facts: dict[str, str]) -> str:
    """The whole page about a rollback.

    Args:
        decisions: all of the registry, the oldest first.
        facts: about the version that came back.
    """
    found = _environment().get_template("rollback.html")
    return keep_together(found.render(decision=decision, decisions=list(decisions)[::-1], facts=facts))


def _environment() -> Any:
    found = environment("clip_har.registry")
    found.filters |= {"share": percent, "points": points, "probability": probability, "moment": _moment}
    return found


def _moment(time: str) -> str:
    return time[:16].replace("T", " ")


def _span(gain: Estimate) -> dict[str, float]:
    """Places of a gain and its interval on an axis around 0, in per cent of its width."""
    reach = 1.15 * max(abs(gain.low), abs(gain.high), abs(gain.value), 0.01)
    places = {name: 50 + 50 * value / reach for name, value in gain.model_dump().items()}
    return places | {"width": places["high"] - places["low"], "reach": reach}
