"""The step that illustrates a report: from the capture, or from files."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from clip_har.capture.images import keep_image
from clip_har.monitoring.config import MonitorConfig, ProfileConfig
from clip_har.monitoring.profile import ReferenceProfile
from steps.monitoring import report_drift as step
from tests.monitoring.observed import observations
from tests.monitoring.reported import drift_report

REFERENCE = observations(100, 0)


@pytest.fixture(autouse=True)
def profile(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(observations=REFERENCE, config=ProfileConfig())
    monkeypatch.setattr(ReferenceProfile, "of", lambda bundle: found)


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), (90, 20, 20)).save(buffer, "JPEG")
    return buffer.getvalue()


def illustrated(window, workspace: Path, **settings):
    monitor = MonitorConfig(evidently=False, **settings)
    report = drift_report(window)
    return step.report_drift.entrypoint(
        bundle=None, window=window, report=report, monitor=monitor, workspace=str(workspace)
    )


def test_pictures_come_from_the_capture_and_distributions_from_the_profile(tmp_path):
    images = tmp_path / "capture" / "images"
    images.mkdir(parents=True)
    name = keep_image(tmp_path / "capture", jpeg(), "JPEG")
    window = replace(observations(60, 1), pictures=(name, *("",) * 59))
    report, evidently = illustrated(window, tmp_path)
    assert [bool(one.picture) for one in report.farthest] == [True, False, False, False]
    drawn = {check.name: check.distribution is not None for check in report.checks}
    assert drawn == {"brightness": True, "confidence": True, "predicted_labels": True, "accuracy": False}
    assert not evidently


def test_pictures_of_a_folder_come_from_its_files(tmp_path):
    (tmp_path / "one.jpg").write_bytes(jpeg())
    window = replace(observations(60, 1), pictures=(str(tmp_path / "one.jpg"), *(str(tmp_path / "gone.jpg"),) * 59))
    report, _ = illustrated(window, tmp_path, source=str(tmp_path))
    assert [bool(one.picture) for one in report.farthest] == [True, False, False, False]


def test_evidently_is_given_reference_window_and_what_was_found(tmp_path, monkeypatch):
    given: list = []
    monkeypatch.setattr(step, "evidently_report", lambda *all_of_it: given.extend(all_of_it) or "made")
    window, monitor = observations(60, 1), MonitorConfig()
    report, made = step.report_drift.entrypoint(
        bundle=None, window=window, report=drift_report(window), monitor=monitor, workspace=str(tmp_path)
    )
    assert made == "made"
    assert given[0] is REFERENCE
    assert given[1] is window
    assert given[3] is monitor
    assert given[2].checks[0].name == report.checks[0].name
