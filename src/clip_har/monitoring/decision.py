"""From alarms to a decision, with hysteresis: one bad window is watched, several in a row ask for retraining."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.models.estimates import Estimate
from clip_har.monitoring.config import DecisionConfig
from clip_har.monitoring.report import AccuracyFigures, Decided, DriftReport, State

_REMEMBERED = 200  # windows that a state knows again


class MonitoringState(ComponentConfig):
    """What the windows so far say of one model."""

    model_id: str = Field(description="Of the model.")
    state: State = Field("ok", description="ok, watch or retrain.")
    since: str | None = Field(None, description="Last picture of the window that brought this state; ISO 8601 in UTC.")
    alarms_in_a_row: int = Field(0, ge=0, description="Windows with an alarm, up to the last one.")
    clear_in_a_row: int = Field(0, ge=0, description="Windows without one, up to the last one.")
    windows: int = Field(0, ge=0, description="Windows that counted.")
    alarm: bool | None = Field(None, description="Whether the last one that counted had an alarm.")
    until: str | None = Field(None, description="Last picture of the latest window that counted; ISO 8601 in UTC.")
    seen: tuple[str, ...] = Field((), description="Ids of the latest windows that counted.")


def decide(
    report: DriftReport, state: MonitoringState | None, config: DecisionConfig
) -> tuple[Decided, MonitoringState]:
    """The decision on a window, and the state after it. Pure.

    Args:
        state: after the window before; None, or another model's: this is the first window of the model.
    """
    if state is None or state.model_id != report.model_id:
        state = MonitoringState(model_id=report.model_id)
    before = state.state if state.windows else None
    uncounted = _why_not_counted(report, state, config)
    if uncounted is None:
        alarms = state.alarms_in_a_row + 1 if report.alarm else 0
        clear = 0 if report.alarm else state.clear_in_a_row + 1
    else:
        alarms, clear = state.alarms_in_a_row, state.clear_in_a_row
    fall = _fall(report.accuracy, config.accuracy_drop)
    found, reasons = state.state, []
    if fall is not None:
        found, reasons = "retrain", [fall]
    elif uncounted is None:
        found, reasons = _by_alarms(report, state.state, alarms, clear, config)
    if uncounted is not None:
        reasons.append(uncounted)
    decided = Decided(
        state=found,
        before=before,
        reasons=tuple(reasons),
        alarms_in_a_row=alarms,
        clear_in_a_row=clear,
        counted=uncounted is None,
    )
    changed = {"state": found, "since": report.window.last} if found != state.state or not state.windows else {}
    if uncounted is None:
        changed |= {
            "alarms_in_a_row": alarms,
            "clear_in_a_row": clear,
            "windows": state.windows + 1,
            "alarm": report.alarm,
            "until": report.window.last,
            "seen": (*state.seen, report.window.id)[-_REMEMBERED:],
        }
    return decided, state.model_copy(update=changed)


def _by_alarms(
    report: DriftReport, state: State, alarms: int, clear: int, config: DecisionConfig
) -> tuple[State, list[str]]:
    """The state after a window that counts, and why."""
    if report.alarm:
        found = f"{_windows(alarms)} with an alarm{' in a row' if alarms > 1 else ''} ({_named(report)})"
        if alarms >= config.retrain_after or state == "retrain":
            return "retrain", [f"{found}; {config.retrain_after} ask for retraining."]
        return "watch", [f"{found}; retraining is asked for after {config.retrain_after}."]
    if state == "ok":
        return "ok", ["No check found drift."]
    found = f"{_windows(clear)} without an alarm{' in a row' if clear > 1 else ''}"
    if clear >= config.clear_after:
        return "ok", [f"{found}: all is well again."]
    return state, [f"{found}; all is well again after {config.clear_after}."]


def _why_not_counted(report: DriftReport, state: MonitoringState, config: DecisionConfig) -> str | None:
    """Why a window changes no count, in a sentence; None if it counts."""
    window = report.window
    if window.id in state.seen:
        return "This window was looked at before, and does not count again."
    if state.alarm is not report.alarm or None in (window.first, window.last, state.until):
        return None
    first, last, until = (datetime.fromisoformat(moment) for moment in (window.first, window.last, state.until))
    length = (last - first).total_seconds()
    overlap = 1.0 if length <= 0 else (until - first).total_seconds() / length
    if until < first or min(overlap, 1.0) <= config.overlap:
        return None
    return (
        f"{100 * min(overlap, 1.0):.0f} % of the time of this window was looked at before, with the same verdict: it does "
        f"not count again."
    )


def _fall(accuracy: AccuracyFigures | None, drop: float) -> str | None:
    """A fall of the accuracy by more than `drop`, its whole interval below, in a sentence; None without one."""
    if accuracy is None:
        return None
    measured, estimated = accuracy.measured, accuracy.estimated
    if measured is not None and _is_below(accuracy.reference, measured, drop):
        return _said("measured", f" on {accuracy.labelled} labelled pictures", measured, accuracy.reference, drop)
    contradicted = measured is not None and estimated is not None and measured.low > estimated.high
    if estimated is not None and not contradicted and _is_below(accuracy.reference, estimated, drop):
        return _said("estimated", "", estimated, accuracy.reference, drop)
    return None


def _is_below(reference: Estimate, current: Estimate, drop: float) -> bool:
    return reference.value - current.high > drop


def _said(how: str, on: str, current: Estimate, reference: Estimate, drop: float) -> str:
    return (
        f"The accuracy {how}{on} is {100 * current.value:.1f} % ({100 * current.low:.1f} to {100 * current.high:.1f}), more "
        f"than {100 * drop:.0f} points below the reference's {100 * reference.value:.1f} %: retraining is asked for at once."
    )


def _windows(count: int) -> str:
    return "1 window" if count == 1 else f"{count} windows"


def _named(report: DriftReport) -> str:
    return ", ".join(check.title for check in report.alarmed)
