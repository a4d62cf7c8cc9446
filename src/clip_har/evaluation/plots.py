"""Charts for reports, as SVG that takes its colours from the page (so that they work light and dark)."""

from __future__ import annotations

import io
import json
import math
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


# What a row of a history is a point of, the first of these that it has, and how that is named.
_AXES = {
    "step": "step",
    "inverse_strength": "C (weaker regularisation →)",
    "beta": "beta (with the best alpha)",
    "members": "members of the ensemble",
    "alpha": "share of the tuned weights",
}
_FIGURES = frozenset({"step", "epoch", "loss", "accuracy", "log_loss", "learning_rate"})
_LOGARITHMIC_FROM = 20.0  # largest over smallest value of a setting that is tried in ratios
_LINES = (ACCENT, WARM, MUTED, INK)


def learning_curves(histories: dict[str, list[dict[str, float]]]) -> dict[str, list[str]]:
    """For each history that has something to show, charts of accuracy and of loss against the step or the setting.

    A history may hold several training runs, and sweeps of settings before and after them: each kind has charts of its
    own, with a line for each run or sweep. Rows that belong to none (a control) are left out.
    """
    drawn = {name: _history_charts(history) for name, history in histories.items()}
    return {name: charts for name, charts in drawn.items() if charts}


def _history_charts(history: list[dict[str, float]]) -> list[str]:
    charts = []
    for axis, lines in lines_of(history).items():
        if max(map(len, lines.values())) > 1:
            charts += [_line_chart(axis, lines, "accuracy"), _line_chart(axis, lines, "log_loss")]
    return charts


def lines_of(history: list[dict[str, float]]) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Axis → name of a line → its rows, in order; a line ends where its axis begins again."""
    kinds: dict[str, dict[str, list[dict[str, float]]]] = {}
    last: dict[str, float] = {}
    for row in history:
        axis = next((name for name in _AXES if name in row), None)
        if axis is None:
            continue
        lines = kinds.setdefault(axis, {})
        if not lines or row[axis] < last[axis] or (axis == "step" and row[axis] == last[axis]):
            name = _line_name(axis, row, trained="step" in kinds)
            lines[name if name not in lines else f"{name} ({len(lines) + 1})"] = []
        lines[next(reversed(lines))].append(row)
        last[axis] = row[axis]
    return kinds


def _line_name(axis: str, row: dict[str, float], trained: bool) -> str:
    """The setting of a training run, or when a sweep was."""
    if axis != "step":
        return "after training" if trained else "before training"
    setting = next((key for key in row if key not in _FIGURES), None)
    return f"{setting} {row[setting]:g}" if setting else "run"


def _line_chart(axis: str, lines: dict[str, list[dict[str, float]]], what: str) -> str:
    figure, axes = _figure(width=4.2, height=2.7)
    factor = 100 if what == "accuracy" else 1
    for number, (name, rows) in enumerate(lines.items()):
        axes.plot(
            [row[axis] for row in rows],
            [factor * row[what] for row in rows],
            color=_LINES[number % len(_LINES)],
            linestyle="-" if number < len(_LINES) else "--",
            marker="o",
            markersize=3,
            label=name if len(lines) > 1 else "validation",
        )
    trained = [(row[axis], row["loss"]) for rows in lines.values() for row in rows if "loss" in row]
    if what == "log_loss" and len(lines) == 1 and trained:
        axes.plot(*zip(*trained, strict=True), color=WARM, marker="o", markersize=3, label="training")
    if len(axes.lines) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=MUTED)
    axes.set_title("accuracy on validation, %" if what == "accuracy" else "loss", fontsize=10, color=MUTED, loc="left")
    axes.set_xlabel(_AXES[axis], fontsize=9)
    values = [row[axis] for rows in lines.values() for row in rows]
    if axis not in ("step", "members", "alpha") and min(values) > 0 and max(values) / min(values) > _LOGARITHMIC_FROM:
        axes.set_xscale("log")
        axes.minorticks_off()
    return _svg(figure)


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


def search_history(trials: Sequence[dict[str, Any]], select_by: str) -> str:
    """Each trial's figure, in order, with the line of the best until then.

    Args:
        trials: rows with `number`, `state` and `figures`, as `SearchResult` has them.
    """
    figure, axes = _figure(width=4.2, height=2.7)
    shown = [row for row in trials if select_by in row["figures"]]
    best, line = None, []
    for row in shown:
        value = _plotted(row, select_by)
        if row["state"] == "complete":
            best = value if best is None else (max if select_by == "accuracy" else min)(best, value)
        line.append(best)
    at = [row["number"] for row in shown]
    axes.step(at, [math.nan if value is None else value for value in line], where="post", color=WARM, linewidth=1.4)
    _trial_marks(axes, shown, at, [_plotted(row, select_by) for row in shown])
    axes.set_title(_trial_title(select_by), fontsize=10, color=MUTED, loc="left")
    axes.set_xlabel("trial", fontsize=9)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return _svg(figure)


def search_field(trials: Sequence[dict[str, Any]], select_by: str, name: str, field: dict[str, Any]) -> str:
    """Each trial's figure against its value of one field.

    Args:
        field: `log`, and `choices` (None for a number), as `FieldConfig` has them.
    """
    figure, axes = _figure(width=4.2, height=2.7)
    shown = [row for row in trials if select_by in row["figures"]]
    values = [row["settings"][name] for row in shown]
    if field["choices"] is not None:
        texts = [json.dumps(choice) for choice in field["choices"]]
        values = [texts.index(json.dumps(value)) for value in values]
        axes.set_xticks(range(len(texts)), [_shortened(text.strip('"')) for text in texts])
        axes.set_xlim(-0.5, len(texts) - 0.5)
    elif field["log"]:
        axes.set_xscale("log")
        axes.minorticks_off()
    _trial_marks(axes, shown, values, [_plotted(row, select_by) for row in shown])
    axes.set_title(_trial_title(select_by), fontsize=10, color=MUTED, loc="left")
    axes.set_xlabel(name, fontsize=9)
    return _svg(figure)


def _plotted(row: dict[str, Any], select_by: str) -> float:
    return row["figures"][select_by] * (100 if select_by == "accuracy" else 1)


def _trial_title(select_by: str) -> str:
    return "accuracy on validation, %" if select_by == "accuracy" else "log-loss on validation"


def _trial_marks(axes: Any, trials: Sequence[dict[str, Any]], at: Sequence[float], values: Sequence[float]) -> None:
    """Dots for trials that came to their end, crosses for those given up."""
    for state, marker, colour in (("complete", "o", ACCENT), ("pruned", "x", MUTED)):
        of_state = [place for place, row in enumerate(trials) if row["state"] == state]
        axes.plot(
            [at[place] for place in of_state],
            [values[place] for place in of_state],
            color=colour,
            marker=marker,
            markersize=4,
            linestyle="",
        )
    axes.margins(0.08)


def _shortened(text: str, length: int = 14) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


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
