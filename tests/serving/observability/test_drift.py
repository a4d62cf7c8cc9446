"""The last drift report as gauges."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from clip_har.serving.observability.drift import FILE, watch_drift
from clip_har.serving.observability.metrics import ServiceMetrics

SERVED = "a" * 64
REPORT = {
    "model_id": SERVED,
    "checks": [
        {"name": "brightness", "verdict": "drift", "statistic": 0.41, "threshold": 0.16},
        {"name": "confidence", "verdict": "ok", "statistic": 0.05, "threshold": 0.17},
        {"name": "accuracy", "verdict": "not checked", "statistic": None, "threshold": None},
    ],
    "accuracy": {"reference": {"value": 0.84}, "estimated": {"value": 0.71}, "measured": None},
    "decided": {"state": "retrain"},
}


@pytest.fixture
def metrics(tmp_path: Path) -> ServiceMetrics:
    made = ServiceMetrics()
    watch_drift(made, tmp_path, lambda: SERVED)
    return made


def write(workspace: Path, content: object) -> None:
    file = workspace / FILE
    file.parent.mkdir(exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    file.with_suffix(".new").write_text(text)
    os.replace(file.with_suffix(".new"), file)


def drift(metrics: ServiceMetrics) -> dict[str, float]:
    return {
        sample.name.removeprefix("clip_har_") + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if "drift" in sample.name or "accuracy" in sample.name
    }


def test_what_was_found_and_decided_is_shown(metrics, tmp_path):
    write(tmp_path, REPORT)
    os.utime(tmp_path / FILE, (1_000_000_000, 1_000_000_000))
    found = drift(metrics)
    assert found.pop("drift_report_age_seconds") > 500_000_000
    assert found == {
        "drift_statistic brightness": 0.41,
        "drift_threshold brightness": 0.16,
        "drift_alarm brightness": 1.0,
        "drift_statistic confidence": 0.05,
        "drift_threshold confidence": 0.17,
        "drift_alarm confidence": 0.0,
        "drift_state": 2.0,
        "estimated_accuracy": 0.71,
    }


def test_there_is_nothing_before_the_first_report_and_a_new_one_is_seen(metrics, tmp_path):
    assert drift(metrics) == {}
    write(tmp_path, REPORT)
    assert drift(metrics)["drift_state"] == 2
    write(tmp_path, REPORT | {"decided": {"state": "ok"}, "checks": REPORT["checks"][1:]})
    found = drift(metrics)
    assert found["drift_state"] == 0
    assert "drift_alarm brightness" not in found
    (tmp_path / FILE).unlink()
    assert drift(metrics) == {}


def test_a_report_about_another_model_is_none(metrics, tmp_path):
    write(tmp_path, REPORT | {"model_id": "b" * 64})
    assert drift(metrics) == {}


def test_a_file_is_read_once(metrics, tmp_path, monkeypatch):
    write(tmp_path, REPORT)
    assert drift(metrics)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read again"))
    assert drift(metrics)["drift_state"] == 2


@pytest.mark.parametrize(
    "content", ["{", "[]", "null", '"text"', "{}", {"model_id": SERVED, "checks": [3]}, REPORT | {"decided": "retrain"}]
)
def test_a_file_that_is_no_report_costs_its_own_figures_only(metrics, tmp_path, content):
    write(tmp_path, content)
    assert drift(metrics) == {}
    assert "clip_har_build_info" in metrics.render().decode()
