"""A report's figures, for a run's metrics and the trackers' history."""

from __future__ import annotations

from clip_har.monitoring.report import DriftReport

STATE_NUMBERS = {"ok": 0.0, "watch": 1.0, "retrain": 2.0}


def drift_metrics(report: DriftReport) -> dict[str, float]:
    """Keys with slashes: `drift/<check>/statistic`, `drift/alarm`, `accuracy/estimated` and so on. What is not known is left out.

    No times and no ids: the same window gives the same figures.
    """
    found: dict[str, float | None] = {}
    for check in report.checks:
        if check.verdict == "not checked":
            continue
        for name in ("statistic", "threshold", "excess", "p_value", "reference", "current"):
            found[f"drift/{check.name}/{name}"] = getattr(check, name)
        found[f"drift/{check.name}/alarm"] = float(check.verdict == "drift")
    found |= {
        "drift/alarm": float(report.alarm),
        "drift/alarms": float(len(report.alarmed)),
        "drift/p_value": report.p_value,
        "drift/state": None if report.decided is None else STATE_NUMBERS[report.decided.state],
        "window/pictures": float(report.window.pictures),
        "window/tested": float(report.window.tested),
        "window/refused": float(report.window.refused),
        "window/labelled": float(report.window.labelled),
    }
    if report.accuracy is not None:
        for name in ("reference", "estimated", "measured"):
            estimate = getattr(report.accuracy, name)
            if estimate is not None:
                found |= {f"accuracy/{name}": estimate.value, f"accuracy/{name}_low": estimate.low}
                found[f"accuracy/{name}_high"] = estimate.high
        found["accuracy/estimated_of_labelled"] = report.accuracy.estimated_of_labelled
    return {name: float(value) for name, value in found.items() if value is not None}
