"""The main plots of a run as PNG files, for experiment trackers; the report draws its own."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clip_har.evaluation.evaluate import EvaluationReport
from clip_har.evaluation.leaderboard import Leaderboard
from clip_har.evaluation.plots import lines_of

_DOTS_PER_INCH = 110
_MOST_CLASSES_NAMED = 40  # more names than that cannot be read


def plot_images(
    evaluation: EvaluationReport,
    leaderboard: Leaderboard | None = None,
    histories: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
) -> dict[str, bytes]:
    """Name → PNG: `confusion`, `reliability`, `leaderboard`, and `<candidate>/curves` of each history with more than a row.

    Args:
        histories: name of a candidate → its `AdaptedModel.history`.
    """
    images = {"confusion": _confusion(evaluation), "reliability": _reliability(evaluation)}
    if leaderboard is not None:
        images["leaderboard"] = _leaderboard(leaderboard)
    for name, history in (histories or {}).items():
        if (image := _curves(list(history))) is not None:
            images[f"{name}/curves"] = image
    return images


def _confusion(evaluation: EvaluationReport) -> bytes:
    """Shares of each true class."""
    counts = np.array(evaluation.confusion, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    named = len(evaluation.labels) <= _MOST_CLASSES_NAMED
    size = 2.5 + 0.32 * min(len(evaluation.labels), _MOST_CLASSES_NAMED)
    figure, axes = _figure(size + 0.8, size)
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(drawn, ax=axes, label="share of the true class")
    places = range(len(evaluation.labels)) if named else []
    names = evaluation.labels if named else []
    axes.set_xticks(places, names, rotation=90)
    axes.set_yticks(places, names)
    axes.set(
        xlabel="predicted", ylabel="true", title=f"{evaluation.samples} photographs of the {evaluation.split} split"
    )
    return _png(figure)


def _reliability(evaluation: EvaluationReport) -> bytes:
    figure, axes = _figure(4.2, 4.0)
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
    for name, measured in (("before the temperature", evaluation.uncalibrated), ("with it", evaluation.calibrated)):
        filled = [row for row in measured["bins"] if row["count"]]
        axes.plot([row["confidence"] for row in filled], [row["accuracy"] for row in filled], marker="o", label=name)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title="reliability")
    axes.legend(frameon=False)
    return _png(figure)


def _leaderboard(leaderboard: Leaderboard) -> bytes:
    """The chosen figure of each candidate with its 95 % interval, the best on top."""
    rows = leaderboard.rows[::-1]
    figures = [row.metrics[leaderboard.select_by] for row in rows]
    figure, axes = _figure(6.0, 1.2 + 0.32 * len(rows))
    values = np.array([figure.value for figure in figures])
    errors = np.abs(np.array([[figure.low, figure.high] for figure in figures]).T - values)
    axes.errorbar(values, range(len(rows)), xerr=errors, fmt="o", capsize=3)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set(xlabel=leaderboard.select_by.replace("_", " "), title="validation split, with 95 % intervals")
    return _png(figure)


def _curves(history: list[dict[str, float]]) -> bytes | None:
    """Accuracy and loss on validation, a line for each training run or sweep; None if no line has two points."""
    kinds = {axis: lines for axis, lines in lines_of(history).items() if max(map(len, lines.values())) > 1}
    if not kinds:
        return None
    figure, grid = _figure(8.4, 3.2 * len(kinds), rows=len(kinds), columns=2)
    for row, (axis, lines) in zip(np.atleast_2d(grid), kinds.items(), strict=True):
        for axes, what in zip(row, ("accuracy", "log_loss"), strict=True):
            for name, points in lines.items():
                places = [point[axis] for point in points]
                axes.plot(places, [point[what] for point in points], marker="o", markersize=3, label=name)
            axes.set(xlabel=axis.replace("_", " "), title=f"{what.replace('_', ' ')} on validation")
            axes.legend(frameon=False, fontsize=8)
    return _png(figure)


def _figure(width: float, height: float, *, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()
