"""Charts for reports, as SVG that takes its colours from the page (so that they work light and dark)."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

# Drawn in these colours, which nobody would choose, and then replaced by the page's variables.
_VARIABLES = {
    "#010203": "var(--ink)",
    "#010204": "var(--muted)",
    "#010205": "var(--line)",
    "#010206": "var(--accent)",
    "#010207": "var(--warm)",
    "#010208": "var(--soft)",
}
INK, MUTED, LINE, ACCENT, WARM, SOFT = _VARIABLES


def learning_curves(histories: dict[str, list[dict[str, float]]]) -> dict[str, list[str]]:
    """For each history that has something to show, two charts: accuracy, and loss, against the step or the setting."""
    return {name: _history_charts(history) for name, history in histories.items() if len(history) > 1}


def _history_charts(history: list[dict[str, float]]) -> list[str]:
    axis, named = ("step", "step") if "step" in history[0] else ("inverse_strength", "C (weaker regularisation →)")
    at = [row[axis] for row in history]
    trained = [(row[axis], row["loss"]) for row in history if "loss" in row]
    charts = []
    for title in ("accuracy on validation, %", "loss"):
        figure, axes = _figure(width=4.2, height=2.7)
        if title == "loss":
            axes.plot(
                at, [row["log_loss"] for row in history], color=ACCENT, marker="o", markersize=3, label="validation"
            )
            if trained:
                axes.plot(*zip(*trained, strict=True), color=WARM, marker="o", markersize=3, label="training")
                axes.legend(frameon=False, fontsize=9, labelcolor=MUTED)
        else:
            axes.plot(at, [100 * row["accuracy"] for row in history], color=ACCENT, marker="o", markersize=3)
        axes.set_title(title, fontsize=10, color=MUTED, loc="left")
        axes.set_xlabel(named, fontsize=9)
        if axis == "inverse_strength":
            axes.set_xscale("log")
            axes.minorticks_off()
        charts.append(_svg(figure))
    return charts


def reliability_diagram(bins: Sequence[dict[str, Any]]) -> str:
    """Accuracy against confidence; a model that means what it says lies on the diagonal."""
    figure, axes = _figure(width=3.4, height=3.1)
    axes.plot([0, 1], [0, 1], color=LINE, linestyle="--", linewidth=1)
    filled = [row for row in bins if row["count"]]
    most = max((row["count"] for row in filled), default=1)
    for row in filled:
        axes.bar(
            (row["low"] + row["high"]) / 2,
            row["accuracy"],
            width=0.088,
            color=ACCENT,
            alpha=0.25 + 0.65 * row["count"] / most,
        )
    axes.plot(
        [row["confidence"] for row in filled], [row["accuracy"] for row in filled], color=WARM, marker="o", markersize=3
    )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xlabel("confidence", fontsize=8)
    axes.set_ylabel("accuracy", fontsize=8)
    return _svg(figure)


def sparkline(curve: dict[str, list[float]], width: int = 120, height: int = 72) -> str:
    """A precision–recall curve as points for an SVG polyline."""
    pairs = zip(curve["recall"], curve["precision"], strict=True)
    return " ".join(f"{recall * width:.1f},{(1 - precision) * height:.1f}" for recall, precision in pairs)


def _figure(*, width: float, height: float):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    axes.tick_params(colors=MUTED, labelsize=9, length=0)
    axes.xaxis.label.set_color(MUTED)
    axes.yaxis.label.set_color(MUTED)
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _svg(figure) -> str:
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "clip_har"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    for drawn, variable in _VARIABLES.items():
        text = text.replace(drawn, variable)
    return text.replace('xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:href", "href")
