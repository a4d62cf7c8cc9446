"""Evidently's own report of a window, and the workspace that keeps them all."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest

from clip_har.monitoring.config import MonitorConfig
from clip_har.monitoring.evidently_report import EvidentlyFiles, _frames, add_to_workspace, evidently_report
from clip_har.monitoring.observations import Observations
from tests.monitoring.observed import observations
from tests.monitoring.reported import drift_report

pytestmark = pytest.mark.filterwarnings("ignore")


def few_columns(found: Observations) -> Observations:
    """Evidently's time goes with the columns."""
    return replace(found, figures={name: found.figures[name] for name in ("brightness", "aspect")})


REFERENCE = few_columns(observations(150, 0))
WINDOW = few_columns(observations(130, 1, darker=2.0, labelled=0.5))
REPORT = drift_report(WINDOW)


@pytest.fixture(scope="module")
def files() -> EvidentlyFiles:
    return evidently_report(REFERENCE, WINDOW, REPORT, MonitorConfig(evidently_rows=120))


class Fetched(HTMLParser):
    """What a page would fetch when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = ("src", "srcset", "data", "poster") + (("href",) if tag in ("link", "base", "use") else ())
        self.found += [value for name, value in attrs if name in wanted and value and not value.startswith("data:")]


def test_its_page_fetches_nothing(files):
    parser = Fetched()
    parser.feed(files.html.decode())
    assert parser.found == []
    assert b"brightness" in files.html
    assert b"component 1" in files.html
    assert len(files.html) > 1_000_000


def values(files: EvidentlyFiles) -> dict[tuple[str, str], object]:
    """(metric, column) → value."""
    return {
        (row["config"]["type"].rpartition(":")[2], row["config"].get("column", "")): row["value"]
        for row in files.json["metrics"]
    }


def test_its_metrics_tell_the_darkened_window_from_the_reference(files):
    found = values(files)
    fall = REFERENCE.figures["brightness"].mean() - WINDOW.figures["brightness"].mean()
    spread = REFERENCE.figures["brightness"].std()
    assert found["ValueDrift", "brightness"] == pytest.approx(fall / spread, rel=0.15)  # Wasserstein, normalised
    assert found["ValueDrift", "aspect"] < 0.4
    columns = {column for metric, column in found if metric == "ValueDrift"}
    assert columns == {
        *(f"component {number}" for number in range(1, 6)),
        *("brightness", "aspect", "confidence", "entropy", "predicted label"),
    }
    assert found["RowCount", ""] == 120
    truth = WINDOW.truth >= 0
    measured = (WINDOW.truth == WINDOW.predicted)[truth].mean()
    assert found["Accuracy", ""] == pytest.approx(measured, abs=0.06)  # of the 120 sampled


def test_nothing_in_its_files_names_a_picture(files):
    for content in (files.html, json.dumps(files.json).encode(), files.snapshot):
        assert not any(one.encode() in content for one in WINDOW.ids)


def test_files_are_the_same_after_a_folder(files, tmp_path):
    files.write(tmp_path)
    again = EvidentlyFiles.read(tmp_path)
    assert again == files
    assert again.content_hash == files.content_hash
    EvidentlyFiles().write(tmp_path / "none")
    assert not EvidentlyFiles.read(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_its_workspace_keeps_the_latest_runs_of_each_model(files, tmp_path):
    from evidently.ui.workspace import Workspace

    other = REPORT.model_copy(update={"model_id": "b" * 64})
    for number in (1, 2):
        time = datetime(2026, 11, number, 12, tzinfo=UTC)
        name = add_to_workspace(tmp_path / "w", files, REPORT, run=f"run {number}", time=time, most=1)
    add_to_workspace(tmp_path / "w", files, other, run="run 3")
    workspace = Workspace(str(tmp_path / "w"))
    assert name == f"linear_probe {'a' * 12}"
    assert {project.name for project in workspace.list_projects()} == {name, f"linear_probe {'b' * 12}"}
    (project,) = workspace.search_project(name)
    runs = [workspace.get_run(project.id, one) for one in workspace.list_runs(project.id)]
    assert sorted((run.name, run.timestamp.astimezone(UTC).day) for run in runs) == [("run 2", 2)]
    assert all(run.tags == ["watch"] and run.metadata["clip-har alarms"] == "Brightness, Confidence" for run in runs)
    titles = [panel.title for panel in project.dashboard.model().panels]
    assert titles[0] == "Share of columns that drifted"
    assert len(titles) == len(set(titles)) == 5


def test_columns_are_those_that_both_sides_have():
    bare = replace(WINDOW, embeddings=None, probabilities=None, truth=None)
    before, now = _frames(REFERENCE, replace(bare, figures={"aspect": WINDOW.figures["aspect"]}))
    assert list(before) == list(now) == ["aspect", "confidence", "predicted label"]
    empty = WINDOW.figures | {"brightness": np.full(len(WINDOW), np.nan)}
    assert "brightness" not in _frames(REFERENCE, replace(WINDOW, figures=empty))[0]


def test_feedback_about_two_labels_alone_is_no_classification():
    """Of two, Evidently makes a binary task whose positive label is 1, and fails."""
    kept = (WINDOW.truth < 2) & (WINDOW.predicted < 2)
    two = WINDOW.take(kept)
    assert set(two.truth[two.truth >= 0]) == {0, 1}
    made = evidently_report(REFERENCE, two, REPORT, MonitorConfig())
    assert ("ValueDrift", "predicted label") in values(made)
    assert "Accuracy" not in {metric for metric, _ in values(made)}


def test_components_are_of_the_reference_and_of_one_sign():
    before, now = _frames(REFERENCE, WINDOW)
    components = [name for name in before if name.startswith("component")]
    assert len(components) == 5
    assert np.allclose(before[components].mean(), 0, atol=1e-5)
    spreads = before[components].var().to_numpy()
    assert (np.diff(spreads) <= 1e-6).all()
    again, _ = _frames(REFERENCE, REFERENCE)
    assert np.array_equal(again[components], before[components])
    assert now["true label"].notna().sum() == (WINDOW.truth >= 0).sum()
