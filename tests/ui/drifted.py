"""A drift report as monitoring writes it: of its own types, so that what the page reads is what there is."""

from __future__ import annotations

from typing import Any

from clip_har.models.estimates import Estimate
from clip_har.monitoring.report import (
    AccuracyFigures,
    CheckResult,
    ClassChange,
    Decided,
    DriftReport,
    Example,
    Moment,
    WindowFacts,
)
from tests.ui.stand_in import LABELS, MODEL_ID

PICTURE = "data:image/png;base64,AAAA"


def check(name: str, verdict: str = "ok", **changes: Any) -> CheckResult:
    """One that was made."""
    values: dict[str, Any] = {
        "title": name.replace("_", " ").capitalize(),
        "kind": "image",
        "statistic_name": "Kolmogorov-Smirnov distance",
        "statistic": 0.1,
        "threshold": 0.2,
        "p_value": 0.4,
        "excess": 0.3,
        "reference": 0.51,
        "current": 0.5,
    }
    return CheckResult(name=name, verdict=verdict, **(values | changes))


def drift_report(state: str = "watch", **changes: Any) -> dict[str, Any]:
    """A window that has become dark: its JSON."""
    dark = check(
        "brightness", "drift", statistic=0.62, p_value=0.0005, excess=14.2, current=0.22, said="Pictures are darker."
    )
    values: dict[str, Any] = {
        "model_id": MODEL_ID,
        "method": "linear_probe",
        "window": WindowFacts(
            source="captured",
            id="5" * 64,
            pictures=230,
            tested=200,
            refused=3,
            errors={"truncated": 3},
            first="2026-11-20T08:00:00+00:00",
            last="2026-11-26T16:00:00+00:00",
            labelled=40,
            images=8,
        ),
        "reference_pictures": 600,
        "reference_splits": ("calibration", "test"),
        "partitions": 1000,
        "false_alarm_rate": 0.01,
        "p_value": 0.0005,
        "checks": (
            check("contrast", reference=0.2, current=0.19),
            dark,
            check("embedding_mmd", "drift", kind="embeddings", statistic=0.3, excess=20.0, reference=None, current=None),
            check("abstentions", kind="abstention", unit="share", reference=0.1, current=0.12),
            check("accuracy", "not checked", kind="accuracy", statistic=None, threshold=None, p_value=None, excess=None,
                  reference=None, current=None, said="Too few labels."),
        ),
        "cause": "brightness",
        "said": ("Pictures are darker: brightness 0.22, 0.51 in the reference.",),
        "changed_since": "2026-11-24T12:00:00+00:00",
        "accuracy": AccuracyFigures(
            reference=Estimate(value=0.8, low=0.76, high=0.84),
            estimated=Estimate(value=0.61, low=0.55, high=0.67),
            method="mean calibrated confidence",
            measured=Estimate(value=0.58, low=0.42, high=0.72),
            labelled=40,
            estimated_of_labelled=0.6,
        ),
        "per_class": tuple(
            ClassChange(label=label, reference_share=0.25, current_share=share, excess=excess, labelled=10, right=6)
            for label, share, excess in zip(LABELS, (0.55, 0.25, 0.15, 0.05), (8.0, 0.0, -2.1, -4.0), strict=True)
        ),
        "timeline": tuple(
            Moment(start=f"2026-11-{day}T00:00:00+00:00", end=f"2026-11-{day + 1}T00:00:00+00:00", pictures=38,
                   values={"brightness": value, "contrast": 0.2})
            for day, value in zip(range(20, 26), (0.5, 0.52, 0.49, 0.5, 0.24, 0.21), strict=True)
        ),
        "farthest": (
            Example(id="1", label="using_laptop", confidence=0.31, distance=0.42, picture=PICTURE),
            Example(id="2", label="calling", confidence=0.4, distance=0.4, time="2026-11-25T12:00:00+00:00"),
        ),
        "nearest": (Example(id="3", label="calling", confidence=0.9, distance=0.05, picture="https://example.org/spy.png"),),
        "decided": Decided(state=state, before="ok", reasons=("One window with an alarm.",), alarms_in_a_row=1),
    }  # fmt: skip
    return DriftReport(**(values | changes)).model_dump(mode="json")
