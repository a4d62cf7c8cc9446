"""A report's figures for the trackers."""

from __future__ import annotations

from clip_har.models.estimates import Estimate
from clip_har.monitoring.figures import drift_metrics
from tests.monitoring.observed import observations
from tests.monitoring.reported import drift_report

REPORT = drift_report(observations(400, 1))


def test_each_check_has_its_figures():
    found = drift_metrics(REPORT)
    assert found["drift/brightness/statistic"] == 0.41
    assert found["drift/brightness/threshold"] == 0.16
    assert found["drift/brightness/excess"] == 11.2
    assert found["drift/brightness/alarm"] == 1
    assert found["drift/predicted_labels/alarm"] == 0
    assert (found["drift/alarm"], found["drift/alarms"], found["drift/state"]) == (1, 2, 1)
    assert found["accuracy/estimated"] == 0.71
    assert found["accuracy/reference_low"] == 0.81
    assert found["window/pictures"] == 400
    assert found["window/refused"] == 7


def test_what_is_not_known_is_left_out():
    found = drift_metrics(REPORT.model_copy(update={"accuracy": None, "decided": None, "p_value": None}))
    assert not [name for name in found if name.startswith(("accuracy", "drift/accuracy/"))]
    assert not {"drift/state", "drift/p_value", "drift/predicted_labels/reference"} & set(found)
    measured = REPORT.accuracy.model_copy(update={"measured": Estimate(value=0.6, low=0.5, high=0.7)})
    assert drift_metrics(REPORT.model_copy(update={"accuracy": measured}))["accuracy/measured_high"] == 0.7
    assert all(isinstance(value, float) for value in found.values())
