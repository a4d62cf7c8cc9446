"""Charts of what changed. They are drawn in the browser from their rows, without any request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clip_har.ui.charting import altair
from clip_har.ui.drift.found import STATES, is_share, title, written
from clip_har.ui.measured.charts import ACCENT, OTHER
from clip_har.ui.wording import words

_LINE = "#8b93a0"
_MOST_LABELS = 15


def threshold_chart(checks: Sequence[dict[str, Any]]) -> Any | None:
    """Each statistic as a multiple of its threshold; None if there is none to draw."""
    alt = altair()
    rows = [
        {
            "check": title(one),
            "times": one["statistic"] / one["threshold"],
            "verdict": "changed" if one["verdict"] == "drift" else "as before",
            "statistic": one["statistic"],
            "threshold": one["threshold"],
            "said": str(one.get("said") or ""),
        }
        for one in checks
        if one.get("statistic") is not None and (one.get("threshold") or 0) > 0 and one["verdict"] != "not checked"
    ]
    if not rows:
        return None
    names = [row["check"] for row in rows]
    bars = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            y=alt.Y("check:N", sort=names, title=None, axis=alt.Axis(labelLimit=190)),
            x=alt.X(
                "times:Q",
                title="statistic, in multiples of its threshold",
                scale=alt.Scale(type="sqrt"),  # some are many times beyond it
                axis=alt.Axis(format=".2~f", values=[0, 0.5, 1, 2, 3, 5, 10, 20, 50, 100]),
            ),
            color=alt.Color(
                "verdict:N",
                scale=alt.Scale(domain=["changed", "as before"], range=[OTHER, ACCENT]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=[
                alt.Tooltip("check:N"),
                alt.Tooltip("statistic:Q", format=".3f"),
                alt.Tooltip("threshold:Q", format=".3f"),
                alt.Tooltip("said:N", title="found"),
            ],
        )
    )
    line = alt.Chart(alt.Data(values=[{"x": 1}])).mark_rule(strokeDash=[5, 4], strokeWidth=2, color=_LINE)
    return (bars + line.encode(x="x:Q")).properties(height=26 * len(rows) + 70)


def timeline_chart(moments: Sequence[dict[str, Any]], check: dict[str, Any], since: str | None) -> Any:
    """A check's figure over the window's parts, beside the reference's.

    Args:
        moments: with `start`, `end`, `pictures` and `values`, those without this check among them.
        since: when the change began, if that is known.
    """
    alt = altair()
    unit = str(check.get("unit") or "")
    rows = [
        {
            "start": one["start"],
            "end": one["end"],
            "value": one["values"][check["name"]],
            "shown": written(one["values"][check["name"]], unit),
            "pictures": one.get("pictures"),
        }
        for one in moments
        if (one.get("values") or {}).get(check["name"]) is not None
    ]
    axis = alt.Axis(format="%") if is_share(unit) else alt.Axis()
    value = alt.Y(
        "value:Q", title=unit if unit and not is_share(unit) else None, scale=alt.Scale(zero=False), axis=axis
    )
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("start:T", title="time (UTC)", scale=alt.Scale(type="utc", padding=10), axis=_time_axis()),
        y=value,
        tooltip=[
            alt.Tooltip("start:N", title="from"),
            alt.Tooltip("end:N", title="to"),
            alt.Tooltip("shown:N", title=title(check).lower()),
            alt.Tooltip("pictures:Q"),
        ],
    )
    layers = base.mark_line(color=ACCENT, interpolate="linear") + base.mark_point(
        filled=True, size=80, opacity=1, color=ACCENT
    )
    if check.get("reference") is not None:
        held = alt.Chart(alt.Data(values=[{"value": check["reference"]}]))
        layers = layers + held.mark_rule(strokeDash=[5, 4], strokeWidth=2, color=_LINE).encode(y=value)
    if since:
        began = alt.Chart(alt.Data(values=[{"start": since}]))
        layers = layers + began.mark_rule(strokeWidth=2, color=OTHER).encode(x="start:T")
    return layers.properties(height=240)


def _time_axis() -> Any:
    alt = altair()
    return alt.Axis(format="%d %b %H:%M", tickCount=6, labelOverlap="greedy")


def share_chart(rows: Sequence[dict[str, Any]]) -> Any:
    """Shares of the predicted labels, in the reference and in the window, the most changed first."""
    alt = altair()
    shown = list(rows)[:_MOST_LABELS]
    labels = [words(row["label"]) for row in shown]
    bars = [
        {"label": words(row["label"]), "name": name, "value": row[key]}
        for row in shown
        for name, key in (("reference", "reference_share"), ("window", "current_share"))
    ]
    return (
        alt.Chart(alt.Data(values=bars))
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            y=alt.Y("label:N", sort=labels, title=None, axis=alt.Axis(labelLimit=160)),
            x=alt.X("value:Q", title="share of the pictures", axis=alt.Axis(format="%")),
            yOffset=alt.YOffset("name:N", sort=["reference", "window"]),
            color=alt.Color(
                "name:N",
                scale=alt.Scale(domain=["reference", "window"], range=[_LINE, ACCENT]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=[
                alt.Tooltip("label:N", title="action"),
                alt.Tooltip("name:N", title="in the"),
                alt.Tooltip("value:Q", title="share", format=".1%"),
            ],
        )
        .properties(height=max(140, 32 * len(labels) + 60))
    )


def history_chart(rows: Sequence[dict[str, Any]]) -> Any:
    """The state of each run, over time.

    Args:
        rows: time, state, run, said.
    """
    alt = altair()
    names = {state: name for state, (name, *_) in STATES.items()}
    order = [names[state] for state in ("retrain", "watch", "ok")]
    values = [{**row, "called": names[row["state"]]} for row in rows if row["state"] in names]
    return (
        alt.Chart(alt.Data(values=values))
        .mark_point(filled=True, size=130, opacity=1)
        .encode(
            x=alt.X("time:T", title="time (UTC)", scale=alt.Scale(type="utc", padding=10), axis=_time_axis()),
            y=alt.Y(
                "called:N",
                sort=order,
                title=None,
                scale=alt.Scale(domain=order),
                axis=alt.Axis(grid=True, labelLimit=170),
            ),
            color=alt.Color("called:N", scale=alt.Scale(domain=order, range=[OTHER, "#d29a1f", ACCENT]), legend=None),
            shape=alt.Shape(
                "called:N", scale=alt.Scale(domain=order, range=["triangle-up", "diamond", "circle"]), legend=None
            ),
            tooltip=[
                alt.Tooltip("time:N"),
                alt.Tooltip("run:N"),
                alt.Tooltip("called:N", title="decided"),
                alt.Tooltip("said:N", title="found"),
            ],
        )
        .properties(height=170)
    )
