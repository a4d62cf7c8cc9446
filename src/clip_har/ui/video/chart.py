"""Actions over a clip's time, as a chart that Streamlit draws by itself: nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clip_har.ui.charting import altair
from clip_har.ui.video.moments import Moment, Segment
from clip_har.ui.wording import words

OTHERS, UNSURE = "others", "not sure"
_MOST_LABELS = 7
_MOST_POINTS = 600
# Told apart by people who see colours differently (Okabe and Ito), in tones that hold on light and dark.
_COLOURS = ("#1f8a94", "#e69f00", "#56b4e9", "#cc79a7", "#3da35d", "#d55e00", "#6f6fd1")
_GREY = "#9aa1ab"


def shown_labels(moments: Sequence[Moment], found: Sequence[Segment]) -> list[str]:
    """The labels that have a colour of their own: those of segments by length, then the likeliest of the rest."""
    lengths: dict[str, float] = {}
    for one in found:
        if one.label is not None:
            lengths[one.label] = lengths.get(one.label, 0.0) + one.seconds
    sums: dict[str, float] = {}
    for moment in moments:
        for label, score in (moment.scores or {}).items():
            sums[label] = sums.get(label, 0.0) + score
    of_segments = sorted(lengths, key=lambda label: (-lengths[label], label))
    rest = sorted((label for label in sums if label not in lengths), key=lambda label: (-sums[label], label))
    return [*of_segments, *rest][:_MOST_LABELS]


def area_rows(moments: Sequence[Moment], labels: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each time and label, `OTHERS` among them; at most some hundred times."""
    step = -(-len(moments) // _MOST_POINTS) or 1
    rows = []
    for moment in moments[::step]:
        for order, label in enumerate(labels):
            rows.append(_row(moment.time, words(label), moment.scores.get(label, 0.0), order))
        rest = max(0.0, 1.0 - sum(moment.scores.get(label, 0.0) for label in labels))
        rows.append(_row(moment.time, OTHERS, rest, len(labels)))
    return rows


def segment_rows(found: Sequence[Segment], labels: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each segment."""
    return [
        {
            "start": one.start,
            "end": one.end,
            "action": UNSURE if one.label is None else words(one.label),
            "colour": UNSURE if one.label is None else words(one.label) if one.label in labels else OTHERS,
            "confidence": one.confidence,
        }
        for one in found
    ]


def timeline(moments: Sequence[Moment], found: Sequence[Segment], end: float) -> Any:
    """Probabilities as stacked areas, and the segments as a band below, over the same time.

    Args:
        moments: answered ones, calmed.
        end: of the clip, in seconds.
    """
    alt = altair()
    labels = shown_labels(moments, found)
    last = moments[-1]
    held = [*moments, Moment(end, last.scores)] if end > last.time else moments
    names = [*map(words, labels), OTHERS, UNSURE]
    colours = alt.Scale(domain=names, range=[*_COLOURS[: len(labels)], _GREY, "#5d646e"])
    legend = alt.Legend(
        title=None, orient="bottom", columns=3, values=[*map(words, labels), OTHERS], symbolType="square"
    )
    time = alt.Scale(domain=[0, max(end, 0.001)], nice=False)
    areas = (
        alt.Chart(alt.Data(values=area_rows(held, labels)))
        .mark_area(interpolate="monotone" if len(moments) > 2 else "step-after", opacity=0.9)
        .encode(
            x=alt.X("time:Q", scale=time, axis=alt.Axis(title="seconds", grid=False)),
            y=alt.Y("score:Q", stack="normalize", axis=alt.Axis(format="%", title=None, tickCount=3)),
            color=alt.Color("action:N", scale=colours, legend=legend),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("action:N"),
                alt.Tooltip("time:Q", format=".1f", title="second"),
                alt.Tooltip("score:Q", format=".0%"),
            ],
        )
        .properties(width="container", height=180)
    )
    band = (
        alt.Chart(alt.Data(values=segment_rows(found, labels)))
        .mark_bar(cornerRadius=3, height=22)
        .encode(
            x=alt.X("start:Q", scale=time, axis=None),
            x2="end:Q",
            color=alt.Color("colour:N", scale=colours, legend=None),
            tooltip=[
                alt.Tooltip("action:N"),
                alt.Tooltip("start:Q", format=".1f"),
                alt.Tooltip("end:Q", format=".1f"),
                alt.Tooltip("confidence:Q", format=".0%"),
            ],
        )
        .properties(width="container", height=26)
    )
    return alt.vconcat(band, areas, spacing=6).resolve_scale(color="independent")


def _row(time: float, action: str, score: float, order: int) -> dict[str, Any]:
    return {"time": round(time, 3), "action": action, "score": round(score, 5), "order": order}
