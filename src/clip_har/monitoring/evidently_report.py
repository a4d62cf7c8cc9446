"""Evidently's own look at a window, beside ours: its report as a page and as JSON, and its workspace with all windows.

Its verdicts are its own, a test a column; what decides here are the joint thresholds of `checks`.
"""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.component import Artifact
from clip_har.hashing import sha256_bytes, sha256_json
from clip_har.monitoring.distributions import entropy_of
from clip_har.monitoring.observations import IMAGE_FIGURES, Observations
from clip_har.storage import write_atomic, write_json

if TYPE_CHECKING:
    import pandas as pd

    from clip_har.monitoring.config import MonitorConfig
    from clip_har.monitoring.report import DriftReport

HTML, JSON, SNAPSHOT = "evidently.html", "evidently.json", "evidently_snapshot.json"
COMPONENTS = 5
"""Principal components of the embeddings that Evidently is given: hundreds of columns are slow, and nobody reads them."""

_PREDICTED, _TRUTH = "predicted label", "true label"
# Distances at any number of rows: by itself Evidently takes p-values below a thousand, and a history would mix the two. Its own bound
# of 0.1 (standard deviations, of the numbers) is what two samples of 200 pictures differ by.
_DISTANCE = 0.2
_PROJECTED = 4000  # reference rows that the components are taken from


@dataclass(frozen=True)
class EvidentlyFiles(Artifact):
    """What Evidently made of a window.

    Attributes:
        html: its report, a page that opens offline; empty where none was wanted.
        json: its metrics and their values.
        snapshot: all that its workspace keeps of the run, as its JSON.
    """

    html: bytes = b""
    json: dict[str, Any] | None = None
    snapshot: bytes = b""

    def __bool__(self) -> bool:
        return bool(self.html)

    @property
    def content_hash(self) -> str:
        return sha256_json([sha256_bytes(self.html), self.json, sha256_bytes(self.snapshot)])

    def write(self, folder: str | Path) -> None:
        """`evidently.html`, `evidently.json` and `evidently_snapshot.json` in a folder; nothing where none was wanted."""
        if self:
            write_atomic(Path(folder) / HTML, self.html)
            write_json(Path(folder) / JSON, self.json)
            write_atomic(Path(folder) / SNAPSHOT, self.snapshot)

    @classmethod
    def read(cls, folder: str | Path) -> EvidentlyFiles:
        """The same again."""
        if not (Path(folder) / HTML).is_file():
            return cls()
        found = json.loads((Path(folder) / JSON).read_text(encoding="utf-8"))
        return cls((Path(folder) / HTML).read_bytes(), found, (Path(folder) / SNAPSHOT).read_bytes())


def evidently_report(
    reference: Observations, window: Observations, report: DriftReport, config: MonitorConfig
) -> EvidentlyFiles:
    """Evidently's data drift and data summary, and its classification quality where true labels are known on both sides.

    Args:
        reference: of the profile.
        report: ours, of which its workspace is told.
        config: `evidently_rows`, of which more are sampled; `seed`.
    """
    _no_telemetry()
    from evidently import DataDefinition, Dataset, MulticlassClassification, Report
    from evidently.presets import ClassificationPreset, DataDriftPreset, DataSummaryPreset

    sampled = [
        _sample(one, config.evidently_rows, config.seed + place) for place, one in enumerate((reference, window))
    ]
    before, now = _frames(*sampled)
    measured = [name for name in before.columns if name not in (_PREDICTED, _TRUTH)]
    compared = [*measured, _PREDICTED]
    drift = DataDriftPreset(
        columns=compared,
        num_method="wasserstein",
        cat_method="jensenshannon",
        num_threshold=_DISTANCE,
        cat_threshold=_DISTANCE,
    )
    presets: list[Any] = [drift, DataSummaryPreset(columns=compared)]
    tasks = []
    if _TRUTH in before.columns:
        tasks.append(MulticlassClassification(target=_TRUTH, prediction_labels=_PREDICTED))
        presets.append(ClassificationPreset())
    definition = DataDefinition(
        numerical_columns=measured, categorical_columns=[_PREDICTED], classification=tasks or None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of correlations with a figure that is the same everywhere
        snapshot = Report(presets, include_tests=False).run(
            Dataset.from_pandas(now, definition),
            Dataset.from_pandas(before, definition),
            timestamp=_moment(report.window.last),
            name=f"window {report.window.id[:12]}",
            metadata={
                "model": report.model_id,
                "pictures": str(report.window.pictures),
                "clip-har alarms": ", ".join(check.title for check in report.alarmed) or "none",
            },
        )
        return EvidentlyFiles(
            html=snapshot.get_html_str(as_iframe=False).encode(),
            json=json.loads(snapshot.json()),
            snapshot=snapshot.dumps().encode(),
        )


def add_to_workspace(
    folder: str | Path,
    files: EvidentlyFiles,
    report: DriftReport,
    *,
    run: str,
    time: datetime | None = None,
    most: int = 100,
) -> str:
    """Add a window to an Evidently workspace, in the project of its model; `evidently ui --workspace FOLDER` shows them all.

    Args:
        folder: the workspace; made if it is not there.
        report: with the decision, which becomes a tag.
        run: name of the run.
        time: of the run; now if not given.
        most: runs that are kept of a model: each takes some megabytes.

    Returns:
        Name of the project.
    """
    _no_telemetry()
    from evidently.core.report import Snapshot
    from evidently.ui.workspace import Workspace

    Path(folder).mkdir(parents=True, exist_ok=True)
    workspace = Workspace.create(str(folder))
    name = f"{report.method} {report.model_id[:12]}"
    found = workspace.search_project(name)
    project = (
        found[0] if found else workspace.create_project(name, f"Windows that the model {report.model_id} answered.")
    )
    content = json.loads(files.snapshot)
    content |= {"name": run, "timestamp": _local(time or datetime.now(UTC)).isoformat()}
    if report.decided is not None:
        content["tags"] = [report.decided.state]
    runs = sorted(workspace.list_runs(project.id), key=str)  # their ids are in the order of time
    for one in runs[: max(len(runs) + 1 - most, 0)]:
        workspace.delete_run(project.id, one)
    workspace.add_run(project.id, Snapshot.load_dict(content))
    if not found:
        _furnish(project, [row["config"] for row in (files.json or {}).get("metrics", ())])
    return name


def _furnish(project: Any, metrics: list[dict[str, Any]]) -> None:
    """A dashboard over time: the share of drifted columns, the drift of each, and the quality where it is measured."""
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import line_plot_panel

    columns = [row["column"] for row in metrics if row["type"].endswith(":ValueDrift")]
    there = {row["type"].rpartition(":")[2] for row in metrics}

    def line(metric: str, legend: str, **labels: str) -> Any:
        return PanelMetric(legend=legend, metric=metric, metric_labels=labels)

    def plot(title: str, values: list[Any], size: str = "half") -> None:
        project.dashboard.add_panel(line_plot_panel(title=title, values=values, size=size))

    plot("Share of columns that drifted", [line("DriftedColumnsCount", "share", value_type="share")])
    plot("Mean confidence", [line("MeanValue", "mean", column="confidence")])
    pictured = [name for name in columns if name in IMAGE_FIGURES]
    for title, names in (
        ("Drift of what was answered, and of the embeddings", [name for name in columns if name not in pictured]),
        ("Drift of the pictures", pictured),
    ):
        if names:
            plot(title, [line("ValueDrift", name, column=name) for name in names], "full")
    if "Accuracy" in there:
        plot("Accuracy of labelled pictures", [line("Accuracy", "accuracy")])


def _frames(reference: Observations, window: Observations) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row a picture: components, figures, confidence, entropy, predicted label, and the true one where both have any."""
    import pandas as pd

    columns: list[dict[str, Any]] = [{}, {}]
    both = (reference, window)
    if all(one.embeddings is not None for one in both):
        assert reference.embeddings is not None
        centre, axes = _components(reference.embeddings)
        for found, one in zip(columns, both, strict=True):
            projected = (one.embeddings - centre) @ axes
            found |= {f"component {place + 1}": projected[:, place] for place in range(projected.shape[1])}
    for name in IMAGE_FIGURES:
        if all(name in one.figures and np.isfinite(one.figures[name]).any() for one in both):
            for found, one in zip(columns, both, strict=True):
                found[name] = one.figures[name]
    for found, one in zip(columns, both, strict=True):
        found["confidence"] = one.confidence
        if all(other.probabilities is not None for other in both):
            found["entropy"] = entropy_of(one.probabilities)
        names = np.array(one.labels, dtype=object)
        found[_PREDICTED] = names[one.predicted]
        if all(_shows_classes(other) for other in both):
            assert one.truth is not None
            found[_TRUTH] = np.where(one.truth >= 0, names[one.truth], None)
    before, now = (pd.DataFrame(found) for found in columns)
    return before, now


def _shows_classes(one: Observations) -> bool:
    """Whether three labels are met among the pictures whose truth is known: of two, Evidently makes a binary task of its own."""
    if one.truth is None:
        return False
    known = one.truth >= 0
    return len(np.union1d(one.truth[known], one.predicted[known])) > 2


def _components(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [d] and leading principal axes [d, k] of embeddings [n, d], each axis with its largest entry positive."""
    taken = embeddings[:_PROJECTED].astype(np.float64)
    centre = taken.mean(axis=0)
    _, _, axes = np.linalg.svd(taken - centre, full_matrices=False)
    axes = axes[:COMPONENTS].T
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return centre.astype(np.float32), (axes * signs).astype(np.float32)


def _sample(one: Observations, most: int, seed: int) -> Observations:
    if len(one) <= most:
        return one
    return one.take(np.sort(np.random.default_rng(seed).choice(len(one), most, replace=False)))


def _moment(time: str | None) -> datetime:
    """Of the newest picture, or now; Evidently wants local times without a zone, as its own are."""
    return _local(datetime.fromisoformat(time) if time else datetime.now(UTC))


def _local(time: datetime) -> datetime:
    return time.astimezone().replace(tzinfo=None)


def _no_telemetry() -> None:
    os.environ.setdefault("DO_NOT_TRACK", "1")
