"""A drift report as a check of a darkened window would make it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from clip_har.models.estimates import Estimate
from clip_har.monitoring.observations import Observations
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

BEGIN = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def drift_report(window: Observations, *, drifted: bool = True, images: int = 0) -> DriftReport:
    """Brightness has fallen since the middle of the window; nothing has, without `drifted`."""
    moments = [BEGIN + timedelta(hours=4 * part) for part in range(9)]
    levels = [0.45, 0.46, 0.45, 0.44, 0.33, 0.31, 0.3, 0.31] if drifted else [0.45] * 8
    checks = [
        CheckResult(
            name="brightness",
            title="Brightness",
            kind="image",
            statistic_name="Kolmogorov-Smirnov distance",
            statistic=0.41 if drifted else 0.06,
            threshold=0.16,
            p_value=1 / 401 if drifted else 0.55,
            excess=11.2 if drifted else 0.1,
            reference=0.45,
            current=0.38 if drifted else 0.45,
            verdict="drift" if drifted else "ok",
            said="The pictures are darker: brightness fell from 0.45 to 0.38.",
        ),
        CheckResult(
            name="confidence",
            title="Confidence",
            kind="confidence",
            statistic_name="Kolmogorov-Smirnov distance",
            statistic=0.19 if drifted else 0.05,
            threshold=0.17,
            p_value=0.0075 if drifted else 0.6,
            excess=4.1 if drifted else 0.0,
            reference=0.83,
            current=0.74,
            unit="share",
            verdict="drift" if drifted else "ok",
        ),
        CheckResult(
            name="predicted_labels",
            title="Predicted labels",
            kind="labels",
            statistic_name="Jensen-Shannon distance",
            statistic=0.08,
            threshold=0.2,
            p_value=0.31,
            excess=0.4,
            verdict="ok",
        ),
        CheckResult(
            name="accuracy", title="Accuracy", kind="accuracy", verdict="not checked", said="No label is known <yet>."
        ),
    ]
    examples = tuple(
        Example(
            id=window.ids[row],
            label=window.labels[int(window.predicted[row])],
            confidence=float(window.confidence[row]),
            distance=0.4 + row / 100,
            time=BEGIN.isoformat(),
        )
        for row in range(6)
    )
    return DriftReport(
        model_id=window.model_id,
        method="linear_probe",
        window=WindowFacts(
            source="captured",
            id="d" * 64,
            pictures=len(window),
            tested=200,
            refused=7,
            errors={"truncated": 5, "too_many_pixels": 2},
            skipped={"of another model": 12},
            first=moments[0].isoformat(),
            last=moments[-1].isoformat(),
            images=images,
        ),
        reference_pictures=600,
        reference_splits=("calibration", "validation", "test"),
        partitions=400,
        false_alarm_rate=0.05,
        p_value=1 / 401 if drifted else 0.62,
        checks=tuple(checks),
        cause="brightness" if drifted else None,
        said=("The pictures are darker: brightness fell from 0.45 to 0.38.",) if drifted else (),
        changed_since=moments[4].isoformat() if drifted else None,
        accuracy=AccuracyFigures(
            reference=Estimate(value=0.84, low=0.81, high=0.87),
            estimated=Estimate(value=0.71, low=0.66, high=0.76),
            method="mean calibrated confidence",
        ),
        per_class=tuple(
            ClassChange(
                label=label,
                reference_share=0.2 - place / 50,
                current_share=0.1 + place / 50,
                reference_confidence=0.9,
                current_confidence=0.8,
                excess=3.0 - place,
            )
            for place, label in enumerate(window.labels)
        ),
        timeline=tuple(
            Moment(
                start=start.isoformat(),
                end=end.isoformat(),
                pictures=25,
                values={"brightness": level, "confidence": 0.8 - (0.45 - level) / 2},
            )
            for start, end, level in zip(moments, moments[1:], levels, strict=False)
        ),
        farthest=examples[:4],
        nearest=examples[4:],
        decided=Decided(
            state="watch" if drifted else "ok",
            reasons=("1 window with an alarm (brightness, confidence); retraining is asked for after 2.",)
            if drifted
            else ("No check found drift.",),
            alarms_in_a_row=int(drifted),
        ),
    )
