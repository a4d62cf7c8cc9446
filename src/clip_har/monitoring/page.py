"""The drift report as a page: what changed, since when, how sure that is, what shows it, and what to do. It opens offline."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clip_har.monitoring.plots import distribution, timeline
from clip_har.monitoring.report import CheckResult, DriftReport
from clip_har.pages import environment, keep_together

if TYPE_CHECKING:
    from clip_har.models.estimates import Estimate
    from clip_har.monitoring.history import HistoryRow

STATES = {"ok": "All is well", "watch": "To be watched", "retrain": "Retrain"}
KINDS = {
    **{"image": "The pictures", "labels": "Predicted labels", "vocabulary": "Vocabulary", "quality": "Data quality"},
    **{"accuracy": "Accuracy", "abstention": "Abstentions", "confidence": "Confidence", "embeddings": "Embeddings"},
}
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?")
_SHARES = ("share", "%", "accuracy")  # units whose values are shares, shown as percentages
_HEADLINE = 120  # characters
_NOTHING = 1e-6
_MOST_ROWS = 40  # of the history
# What to look at first, by what the cause looks at.
_ADVICE = {
    "image": "Look at the pictures below, and at what takes or sends them: a camera that is dark, turned or out of focus, or a "
    "caller that compresses harder, is better mended there than learned.",
    "labels": "Find out whether people really do other things now, or whether pictures of one kind come from one caller. The "
    "model may be as good as before; labels of some pictures of the classes that grew tell.",
    "vocabulary": "Look at the farthest pictures: if they show actions that the model has no label for, a new class is wanted; if "
    "they show none at all, a caller sends what was never meant for it.",
    "quality": "Look at which caller sends pictures that are refused; the reasons are listed below.",
    "accuracy": "Look at the classes below that are recognised worst, and label more pictures of them.",
    "abstention": "Look at the pictures below on which the model is least sure.",
    "confidence": "Look at the pictures below on which the model is least sure.",
    "embeddings": "Look at the nearest and the farthest pictures: no single figure names the change, but they show it.",
}


def render_drift(
    report: DriftReport,
    *,
    history: Sequence[HistoryRow] = (),
    run: Mapping[str, Any] | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """The whole page about a window.

    Args:
        history: runs so far, the oldest first, this one included or not.
        run: `facts` (name → text).
        links: addresses beside the page, of those that are there: `evidently`, `json`, `sheet` (the labelling sheet).
    """
    found = environment("clip_har.monitoring")
    found.filters |= {"moment": readable_time, "dated": dated, "rarity": lambda p: rarity(p, report.partitions)}
    charts = {}
    for check in report.alarmed:
        drawn = timeline(
            report.timeline,
            check.name,
            check.title,
            reference=check.reference,
            since=report.changed_since,
            text=lambda value, unit=check.unit: in_words(value, unit),
        )
        if drawn is not None:
            charts[check.title] = drawn
    rows = [_row(check) for check in _ordered(report)]
    state = report.decided.state if report.decided else None
    accuracy = _accuracy(report)
    page = found.get_template("drift.html").render(
        report=report,
        state=state,
        states=STATES,
        headline=headline(report),
        rows=rows,
        counted={
            verdict: sum(row["check"].verdict == verdict for row in rows) for verdict in ("ok", "drift", "not checked")
        },
        titles={check.name: check.title for check in report.checks},
        charts=charts,
        one_in=round(1 / report.false_alarm_rate),
        accuracy=accuracy,
        axis=_axis([row["estimate"] for row in accuracy]),
        per_class=_classes(report),
        history=_strip(history),
        steps=next_steps(report, links or {}),
        run=run,
        links=dict.fromkeys(("evidently", "json", "sheet"), "") | dict(links or {}),
    )
    return keep_together(page)


def headline(report: DriftReport) -> str:
    """What there is to say of a window in a sentence."""
    if not report.alarm:
        return "The pictures look as they did when the model was made."
    if report.said and len(report.said[0]) <= _HEADLINE:
        return report.said[0]
    names = [check.title for check in _ordered(report) if check.verdict == "drift"]
    others = len(names) - 1
    return f"{names[0]} differs from the reference" + (f", and {others} more." if others else ".")


def next_steps(report: DriftReport, links: Mapping[str, str]) -> list[dict[str, str]]:
    """What to do: rows of `said`, `command` and `link` (empty where there is none)."""
    return [{"command": "", "link": ""} | step for step in _steps(report, links)]


def _steps(report: DriftReport, links: Mapping[str, str]) -> list[dict[str, str]]:
    monitor = "python run.py --pipeline monitor"
    state = report.decided.state if report.decided else ("watch" if report.alarm else "ok")
    if state == "ok" and not report.alarm:
        return [{"said": "Nothing now. Look again when there is a new window:", "command": monitor}]
    cause = next((check for check in report.checks if check.name == report.cause), None)
    steps = [{"said": _ADVICE[cause.kind]}] if cause is not None else []
    if links.get("sheet"):
        steps.append({"said": "Label the pictures that were chosen, the most telling first.", "link": links["sheet"]})
    if state == "retrain":
        steps.append(
            {
                "said": "Train again with feedback and labels; the new model must beat this one.",
                "command": f"{monitor} --set monitor.retrain=always",
            }
        )
    elif state == "watch":
        steps.append(
            {
                "said": "Look again at the next window: if it raises an alarm too, retraining is asked for.",
                "command": monitor,
            }
        )
    else:
        steps.append({"said": "Look again when there is a new window:", "command": monitor})
    return steps


def in_words(value: float | None, unit: str = "") -> str:
    """A value with its unit: 0.123, 45.1 %, 1.8 bits."""
    if value is None:
        return "–"
    if unit in _SHARES:
        return f"{100 * value:.1f} %"
    number = f"{value:,.0f}" if abs(value) >= 1000 else "0" if abs(value) < _NOTHING else f"{value:.3g}"
    return f"{number} {unit}".strip()


def rarity(p_value: float | None, partitions: int) -> str:
    """A p-value in words: how many windows without any change would look like this."""
    if p_value is None:
        return "–"
    if p_value <= 1.5 / (partitions + 1):
        return f"fewer than 1 window in {partitions}"
    return f"1 window in {round(1 / p_value)}" if p_value < 0.4 else f"{100 * p_value:.0f} % of windows"


def readable_time(time: str | None) -> str:
    """ISO 8601 → 26 Nov 2026, 14:05."""
    if not time:
        return "–"
    moment = datetime.fromisoformat(time)
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return f"{moment.day} {moment:%b %Y, %H:%M}"


def dated(sentence: str) -> str:
    """A sentence with its ISO 8601 times in words."""
    return _ISO.sub(lambda found: f"{readable_time(found[0])} (UTC)", sentence)


def _ordered(report: DriftReport) -> list[CheckResult]:
    """Alarms first, the cause before them, then the rest as they are; those not made last."""
    place = {"drift": 0, "ok": 1, "not checked": 2}
    return sorted(
        report.checks,
        key=lambda check: (
            place[check.verdict],
            check.name != report.cause,
            -(check.excess or 0) if check.verdict == "drift" else 0,
        ),
    )


def _row(check: CheckResult) -> dict[str, Any]:
    """A check with its drawing, and the places of statistic and threshold on a bar, in per cent."""
    bar, unit = None, check.unit if check.unit in _SHARES else ""
    if check.statistic is not None and check.threshold is not None:
        reach = 1.12 * max(check.statistic, check.threshold, 1e-9)
        bar = {"statistic": 100 * max(check.statistic, 0) / reach, "threshold": 100 * max(check.threshold, 0) / reach}
    return {
        "check": check,
        "kind": KINDS[check.kind],
        "bar": bar,
        "drawing": distribution(check.distribution, check.title) if check.distribution else None,
        "reference": in_words(check.reference, unit),
        "current": in_words(check.current, unit),
        "unit": "" if unit else check.unit,
    }


def _accuracy(report: DriftReport) -> list[dict[str, Any]]:
    """Rows of name, estimate and note."""
    if report.accuracy is None:
        return []
    given = report.accuracy
    rows = [
        {
            "name": "Reference",
            "estimate": given.reference,
            "note": f"measured on {report.reference_pictures:,} pictures",
            "other": True,
        }
    ]
    if given.estimated is not None:
        rows.append(
            {
                "name": "Window, estimated",
                "estimate": given.estimated,
                "note": given.method or "without labels",
                "other": False,
            }
        )
    if given.measured is not None:
        also = (
            ""
            if given.estimated_of_labelled is None
            else f"; estimated for these: {100 * given.estimated_of_labelled:.1f} %"
        )
        rows.append(
            {
                "name": "Window, measured",
                "estimate": given.measured,
                "note": f"on {given.labelled:,} labelled pictures{also}",
                "other": False,
            }
        )
    return rows


def _axis(estimates: Sequence[Estimate]) -> dict[str, float]:
    """Ends of an axis that holds all intervals, in steps of 5 %."""
    if not estimates:
        return {"low": 0.0, "high": 1.0}
    low = math.floor(20 * min(one.low for one in estimates) - 0.5) / 20
    high = math.ceil(20 * max(one.high for one in estimates) + 0.5) / 20
    return {"low": max(low, 0.0), "high": min(high, 1.0)}


def _classes(report: DriftReport) -> list[dict[str, Any]]:
    most = max((max(row.reference_share, row.current_share) for row in report.per_class), default=1.0) or 1.0
    return [
        {"row": row, "reference": row.reference_share / most, "current": row.current_share / most}
        for row in report.per_class
    ]


def _strip(history: Sequence[HistoryRow]) -> list[dict[str, Any]]:
    """The latest runs, the oldest first."""
    rows = []
    for one in history[-_MOST_ROWS:]:
        found = one.report
        accuracy = found.accuracy
        rows.append(
            {
                "run": one.run,
                "time": one.time,
                "model_id": found.model_id,
                "method": found.method,
                "state": found.decided.state if found.decided else ("watch" if found.alarm else "ok"),
                "alarmed": [check.title for check in found.alarmed],
                "pictures": found.window.pictures,
                "estimated": accuracy.estimated.value if accuracy and accuracy.estimated else None,
                "measured": accuracy.measured.value if accuracy and accuracy.measured else None,
                "retraining": one.retraining.outcome if one.retraining else None,
            }
        )
    return rows
