"""The report: one HTML file that opens offline and that a person enjoys reading."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from clip_har.evaluation.evaluate import EvaluationReport
from clip_har.evaluation.leaderboard import Leaderboard
from clip_har.evaluation.metrics import Estimate
from clip_har.evaluation.open_vocabulary import open_vocabulary_section
from clip_har.evaluation.plots import learning_curves, reliability_diagram, sparkline
from clip_har.evaluation.search import search_sections
from clip_har.models.bundle import OpenVocabulary
from clip_har.pages import environment, keep_together

_SHOWN = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "top3_accuracy": "Top-3 accuracy",
    "top5_accuracy": "Top-5 accuracy",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "macro_f1": "Macro F1",
    "weighted_precision": "Weighted precision",
    "weighted_recall": "Weighted recall",
    "weighted_f1": "Weighted F1",
}
_REMARKABLE_SHARE = 0.1  # of a class's photographs that go to one wrong class: worth a sentence


def render_report(
    evaluation: EvaluationReport,
    *,
    leaderboard: Leaderboard | None = None,
    histories: dict[str, list[dict[str, float]]] | None = None,
    data: dict[str, Any] | None = None,
    run: dict[str, Any] | None = None,
    augmentation: Sequence[dict[str, Any]] = (),
    label_review: dict[str, Any] | None = None,
    vocabulary: Mapping[str, OpenVocabulary] | None = None,
    searches: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The whole report as HTML, with no request to anywhere.

    Args:
        histories: name of a candidate → its `AdaptedModel.history`.
        data: `counts` (rows of label and a number for each split) and `validation` (`ValidationReport.summary()`).
        run: `steps` (name, status, seconds), `facts` (name → text) and `config` (YAML).
        augmentation: what candidates' training pictures went through, as `training.contact_sheet.augmentation_sheets`
            gives it; empty if no candidate's did.
        label_review: photographs whose labels may be wrong, as `LabelReview.shown` gives them.
        vocabulary: name of each method → what becomes of other labels; shown where it was measured.
        searches: hyper-parameter searches, as `SearchResult.model_dump(mode="json")` gives them.
    """
    seconds = [step["seconds"] for step in (run or {}).get("steps", ())]
    rows = leaderboard.rows if leaderboard else ()
    baseline = _baseline_rows(evaluation)
    page = template("report.html").render(
        evaluation=evaluation,
        leaderboard=leaderboard,
        figures=[(title, evaluation.metrics[name]) for name, title in _SHOWN.items() if name in evaluation.metrics],
        baseline=baseline,
        baseline_axis=axis_of([estimate for _, *pair in baseline for estimate in pair]),
        leaderboard_axis=axis_of([row.metrics["accuracy"] for row in rows]),
        headline=_headline(evaluation),
        mixed_up=_mixed_up(evaluation),
        confusion=confusion_rows(evaluation.labels, evaluation.confusion),
        curves=[
            (row["label"], row["average_precision"], sparkline(evaluation.curves[row["label"]]))
            for row in evaluation.per_class
            if row["label"] in evaluation.curves
        ],
        learning=learning_curves(histories or {}),
        reliability_before=reliability_diagram(evaluation.uncalibrated["bins"]),
        reliability_after=reliability_diagram(evaluation.calibrated["bins"]),
        data=data,
        run=run,
        augmentation=augmentation,
        label_review=label_review if label_review and label_review["examples"] else None,
        vocabulary=open_vocabulary_section(vocabulary or {}),
        searches=search_sections(searches),
        slowest=max(seconds, default=0) or 1,
    )
    return keep_together(page)


def render_leaderboard(leaderboard: Leaderboard) -> str:
    """The leaderboard alone, as a page."""
    axis = axis_of([row.metrics["accuracy"] for row in leaderboard.rows])
    return keep_together(template("leaderboard.html").render(leaderboard=leaderboard, axis=axis))


def axis_of(shown: Sequence[Estimate]) -> tuple[float, float]:
    """Ends of a scale on which all intervals fit: multiples of five points."""
    if not shown:
        return 0.0, 1.0
    low = math.floor(20 * min(estimate.low for estimate in shown)) / 20
    high = math.ceil(20 * max(estimate.high for estimate in shown)) / 20
    return max(low, 0.0), max(min(high, 1.0), low + 0.05)


def template(name: str) -> Any:
    """A page's jinja2 template, with the filters that the pages use."""
    templates = environment("clip_har.evaluation")
    templates.filters["interval"] = _interval
    templates.filters["gain"] = _gain
    templates.filters["along"] = lambda value, axis: round(100 * (value - axis[0]) / (axis[1] - axis[0]), 2)
    templates.filters["duration"] = _duration
    return templates.get_template(name)


def _interval(estimate: Estimate | Mapping[str, float]) -> str:
    low, high = (estimate["low"], estimate["high"]) if isinstance(estimate, Mapping) else (estimate.low, estimate.high)
    return _signed(f"{100 * low:.1f} to {100 * high:.1f}")


def _gain(value: float) -> str:
    """A difference in points with its sign; none before a zero."""
    points = round(100 * value, 1) + 0.0
    return _signed(f"{points:+.1f}") if points else "0.0"


def _signed(text: str) -> str:
    """Hyphens before numbers become minus signs."""
    return re.sub(r"-(?=\d)", "\u2212", text)


def _duration(seconds: float) -> str:
    if seconds >= 90:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{seconds:.1f} s"


def _headline(evaluation: EvaluationReport) -> str:
    accuracy = evaluation.metrics["accuracy"]
    return (
        f"recognises {len(evaluation.labels)} actions with {100 * accuracy.value:.1f} % accuracy "
        f"(95 % interval {100 * accuracy.low:.1f} to {100 * accuracy.high:.1f}) on {evaluation.samples} photographs of "
        f"the {evaluation.split} split."
    )


def _baseline_rows(evaluation: EvaluationReport) -> list[tuple[str, Estimate, Estimate]]:
    if evaluation.baseline is None:
        return []
    return [
        (title, evaluation.baseline.metrics[name], evaluation.metrics[name])
        for name, title in _SHOWN.items()
        if name in evaluation.metrics and not name.startswith("weighted")
    ]


def _mixed_up(evaluation: EvaluationReport) -> list[tuple[str, str, int, int]]:
    """The pairs of classes that are mixed up most: true class, taken for, times, photographs of the true class."""
    pairs = []
    for row in evaluation.per_class:
        if row["confused_with"] and row["confused_times"] >= max(2, _REMARKABLE_SHARE * row["support"]):
            pairs.append((row["label"], row["confused_with"], row["confused_times"], row["support"]))
    return sorted(pairs, key=lambda pair: -pair[2] / pair[3])[:4]


def confusion_rows(
    labels: Sequence[str], confusion: Sequence[Sequence[int]]
) -> list[tuple[str, list[tuple[int, float]]]]:
    """For each true class its counts and their shares of the row."""
    rows = []
    for label, counts in zip(labels, confusion, strict=True):
        total = sum(counts) or 1
        rows.append((label, [(count, count / total) for count in counts]))
    return rows
