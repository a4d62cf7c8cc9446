"""The figures behind a report's plots as files that `dvc plots show` reads: equal results give equal bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from clip_har.evaluation.evaluate import EvaluationReport
from clip_har.evaluation.leaderboard import Leaderboard
from clip_har.evaluation.metrics import Estimate

_FOLDER = "plots"
_DIGITS = 6


def plot_files(
    evaluation: EvaluationReport,
    leaderboard: Leaderboard | None = None,
    histories: dict[str, list[dict[str, float]]] | None = None,
) -> dict[str, str]:
    """Path below a run's folder → CSV.

    `plots/confusion.csv` has a row a photograph (actual, predicted); `plots/precision_recall.csv` a row a point of a
    class's curve (name is the class); `plots/leaderboard.csv` a row a candidate, each figure with its 95 % interval;
    `plots/learning_curves.csv` a row a validation of a candidate (loss is empty where nothing was trained since the last).

    Args:
        histories: name of a candidate → its `AdaptedModel.history`.
    """
    files = {
        "confusion": _table(("actual", "predicted"), _confusion(evaluation)),
        "precision_recall": _table(("name", "recall", "precision"), _curves(evaluation)),
    }
    if leaderboard is not None:
        metrics = sorted(leaderboard.winner.metrics)
        files["leaderboard"] = _table(
            ("name", "method", *(f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high"))),
            (
                (row.name, row.method, *(value for metric in metrics for value in _interval(row.metrics[metric])))
                for row in leaderboard.rows
            ),
        )
    if histories:
        files["learning_curves"] = _table(
            ("name", "step", "accuracy", "log_loss", "loss"),
            (
                (name, row.get("step", number), row["accuracy"], row["log_loss"], row.get("loss", ""))
                for name, history in histories.items()
                for number, row in enumerate(history)
            ),
        )
    return {f"{_FOLDER}/{name}.csv": text for name, text in files.items()}


def _interval(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _confusion(evaluation: EvaluationReport) -> Iterable[tuple[str, str]]:
    for actual, row in zip(evaluation.labels, evaluation.confusion, strict=True):
        for predicted, number in zip(evaluation.labels, row, strict=True):
            yield from [(actual, predicted)] * number


def _curves(evaluation: EvaluationReport) -> Iterable[tuple[str, float, float]]:
    for label, curve in evaluation.curves.items():
        for recall, precision in zip(curve["recall"], curve["precision"], strict=True):
            yield label, recall, precision


def _table(header: Sequence[str], rows: Iterable[Sequence[str | float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([round(cell, _DIGITS) if isinstance(cell, float) else cell for cell in row] for row in rows)
    return text.getvalue()
