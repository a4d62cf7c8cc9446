"""Charts of a model's quality. They are drawn in the browser from their rows, without any request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clip_har.ui.charting import altair
from clip_har.ui.wording import words

ACCENT, OTHER = "#2f8792", "#b8500f"
CELL = "cell"
"""Name of the confusion matrix's selection."""


def confusion_chart(labels: Sequence[str], counts: Sequence[Sequence[int]], *, shares: bool, dark: bool = False) -> Any:
    """True classes down, predicted ones across; a cell can be chosen.

    Args:
        counts: [true][predicted].
        shares: colour and text by the share of the true class, instead of counts.
        dark: whether the page is.
    """
    alt = altair()
    rows = []
    for label, line in zip(labels, counts, strict=True):
        total = sum(line) or 1
        for other, count in zip(labels, line, strict=True):
            share = count / total
            shown = "" if not count else f"{100 * share:.0f}" if shares else str(count)
            rows.append(
                {
                    "true": words(label),
                    "predicted": words(other),
                    "count": count,
                    "share": share,
                    "shown": shown,
                    "kind": "right" if label == other else "wrong",
                }
            )
    most = max((row["count"] for row in rows), default=1) or 1
    for row in rows:
        row["strength"] = row["share"] if shares else row["count"] / most
    order = [words(label) for label in labels]
    chosen = alt.selection_point(name=CELL, fields=["true", "predicted"], empty=False)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "predicted:N",
            sort=order,
            title="taken for",
            axis=alt.Axis(orient="top", labelAngle=-45, labelLimit=140, labelOverlap=False),
        ),
        y=alt.Y("true:N", sort=order, title="really", axis=alt.Axis(labelLimit=140)),
        tooltip=[
            alt.Tooltip("true:N", title="really"),
            alt.Tooltip("predicted:N", title="taken for"),
            alt.Tooltip("count:Q", title="photographs"),
            alt.Tooltip("share:Q", title="of the class", format=".0%"),
        ],
    )
    cells = base.mark_rect(cornerRadius=3, stroke="#8b93a0").encode(
        color=alt.Color("kind:N", scale=alt.Scale(domain=["right", "wrong"], range=[ACCENT, OTHER]), legend=None),
        opacity=alt.Opacity("strength:Q", scale=alt.Scale(domain=[0, 1], range=[0.05, 1]), legend=None),
        strokeWidth=alt.condition(chosen, alt.value(3), alt.value(0)),
    )
    text = base.mark_text(fontSize=12).encode(
        text="shown:N",
        color=alt.condition("datum.strength > 0.45", alt.value("#ffffff"), alt.value("#c3cad3" if dark else "#4b5563")),
    )
    return (cells.add_params(chosen) + text).properties(
        height=max(260, 34 * len(labels) + 120), padding={"left": 5, "top": 5, "right": 40, "bottom": 5}
    )


def interval_chart(rows: Sequence[dict[str, Any]], title: str) -> Any:
    """Candidates with a figure and its interval.

    Args:
        rows: name, value, low, high (shares).
    """
    alt = altair()
    names = [row["name"] for row in rows]
    base = alt.Chart(alt.Data(values=[dict(row) for row in rows])).encode(
        y=alt.Y("name:N", sort=names, title=None, axis=alt.Axis(labelLimit=220))
    )
    tooltip = [alt.Tooltip("name:N", title="candidate")]
    tooltip += [alt.Tooltip(f"{name}:Q", title=name, format=".1%") for name in ("value", "low", "high")]
    scale, axis = alt.Scale(zero=False, nice=True), alt.Axis(format="%")
    bars = base.mark_rule(strokeWidth=7, opacity=0.35, color=ACCENT).encode(
        x=alt.X("low:Q", title=title, scale=scale, axis=axis), x2="high:Q", tooltip=tooltip
    )
    points = base.mark_point(filled=True, size=110, opacity=1, color=ACCENT).encode(x="value:Q", tooltip=tooltip)
    return (bars + points).properties(height=48 * len(names) + 50)


def class_chart(rows: Sequence[dict[str, Any]], names: Sequence[str], title: str) -> Any:
    """A figure of each class, for one model or for several side by side.

    Args:
        rows: label, name (whose it is), value (a share).
        names: in the order of their colours.
    """
    alt = altair()
    labels = list(dict.fromkeys(row["label"] for row in rows))
    colour = alt.Color("name:N", scale=alt.Scale(domain=list(names), range=[ACCENT, OTHER, "#77818e"]))
    legend = None if len(names) == 1 else alt.Legend(title=None, orient="top", labelLimit=400)
    chart = alt.Chart(alt.Data(values=[dict(row) for row in rows])).mark_bar(cornerRadiusEnd=3)
    return chart.encode(
        y=alt.Y("label:N", sort=labels, title=None, axis=alt.Axis(labelLimit=160)),
        x=alt.X("value:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
        yOffset=alt.YOffset("name:N", sort=list(names)),
        color=colour.legend(legend),
        tooltip=[
            alt.Tooltip("label:N", title="action"),
            alt.Tooltip("name:N", title="model"),
            alt.Tooltip("value:Q", title=title, format=".1%"),
        ],
    ).properties(height=max(160, (14 + 12 * len(names)) * len(labels)))


def reliability_chart(series: dict[str, Sequence[dict[str, Any]]]) -> Any:
    """How often answers of each confidence are right, beside what would be perfect.

    Args:
        series: name → bins with confidence, accuracy and count.
    """
    alt = altair()
    rows = [
        {"name": name, "confidence": one["confidence"], "accuracy": one["accuracy"], "count": one["count"]}
        for name, bins in series.items()
        for one in bins
        if one.get("count")
    ]
    perfect = alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
    line = perfect.mark_line(strokeDash=[5, 5], color="#8b93a0").encode(x="x:Q", y="y:Q")
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("confidence:Q", title="confidence", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
        y=alt.Y("accuracy:Q", title="right", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
        color=alt.Color(
            "name:N",
            scale=alt.Scale(domain=list(series), range=[ACCENT, OTHER]),
            legend=alt.Legend(title=None, orient="top"),
        ),
        tooltip=[
            alt.Tooltip("name:N", title=" "),
            alt.Tooltip("confidence:Q", format=".1%"),
            alt.Tooltip("accuracy:Q", title="right", format=".1%"),
            alt.Tooltip("count:Q", title="photographs"),
        ],
    )
    points = base.mark_point(filled=True, opacity=0.85).encode(
        size=alt.Size("count:Q", scale=alt.Scale(range=[40, 500]), legend=None)
    )
    return (line + base.mark_line() + points).properties(height=380)
