"""Small DriftReports, for what is decided, kept and told of them."""

from __future__ import annotations

from typing import Any

from clip_har.models.estimates import Estimate
from clip_har.monitoring.report import AccuracyFigures, CheckResult, DriftReport, Example, WindowFacts


def drift_report(window: str = "w", *, alarm: bool = False, model_id: str = "m" * 64, **more: Any) -> DriftReport:
    """A report on a window of 200 pictures; with `alarm`, brightness has drifted.

    Args:
        more: fields of the report; those of the window too (`first`, `last`).
    """
    facts = {name: more.pop(name) for name in ("first", "last", "labelled") if name in more}
    check = CheckResult(
        name="brightness", title="Brightness", kind="image", verdict="drift" if alarm else "ok", said="It is darker."
    )
    return DriftReport(
        model_id=model_id,
        method="linear_probe",
        window=WindowFacts(source="captured", id=window, pictures=200, tested=200, **facts),
        reference_pictures=400,
        reference_splits=("calibration",),
        partitions=400,
        false_alarm_rate=0.05,
        checks=(check,),
        cause="brightness" if alarm else None,
        said=("Pictures are darker: 0.31 instead of 0.52 <on average>.",) if alarm else (),
        farthest=(Example(id="p", label="running", confidence=0.5, distance=0.4, picture="data:image/jpeg;base64,AA"),),
        **more,
    )


def accuracy(reference: float, *, estimated: float | None = None, measured: float | None = None, half: float = 0.02):
    """Accuracies with intervals of so much on each side."""

    def of(value: float | None) -> Estimate | None:
        return None if value is None else Estimate(value=value, low=value - half, high=value + half)

    labelled = 0 if measured is None else 80
    return AccuracyFigures(reference=of(reference), estimated=of(estimated), measured=of(measured), labelled=labelled)
