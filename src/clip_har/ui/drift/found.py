"""A drift report and the history, as JSON says them; and how their figures are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clip_har.ui.measured.runs import read_json
from clip_har.ui.wording import percent

REPORT = "drift"
"""Of the service's reports."""

STATES = {
    "ok": ("As it was", "Nothing has changed that the checks can tell from chance.", ":material/check_circle:"),
    "watch": ("Something has changed", "It is watched: if it goes on, it is to train again.", ":material/visibility:"),
    "retrain": ("Train again", "What comes is no longer what the model was made for.", ":material/model_training:"),
}  # fmt: skip
"""State → what it is called, what it means, its icon."""

VERDICTS = {"drift": "changed", "ok": "as before", "not checked": "not checked"}
_SHARES = ("share", "accuracy", "%")  # units of what is written in per cent
_NOTHING = 1e-6  # what rounding leaves of a zero
_NEEDED = {"model_id": str, "window": dict, "checks": list}


@dataclass(frozen=True)
class Looked:
    """One run of monitoring, in the history.

    Attributes:
        run: its name.
        time: when it was decided, ISO 8601.
        report: what it found, without pictures.
        retraining: what came of its wish to train again, if it had one.
    """

    run: str
    time: str
    report: dict[str, Any]
    retraining: dict[str, Any] | None

    @property
    def state(self) -> str:
        """ok, watch or retrain; empty if nothing was decided."""
        return str((self.report.get("decided") or {}).get("state") or "")


def is_report(content: Any) -> bool:
    """Whether this is a drift report, and not what something else has put in its place."""
    return (
        isinstance(content, dict)
        and all(isinstance(content.get(name), kind) for name, kind in _NEEDED.items())
        and all(isinstance(check, dict) and "name" in check and "verdict" in check for check in content["checks"])
    )


def read_history(workspace: Path) -> list[Looked]:
    """The runs of monitoring in a workspace, the oldest first; files that are none of ours are passed over."""
    rows = []
    for file in workspace.glob("monitoring/history/*.json"):
        raw = read_json(file)
        if not file.name.startswith(".") and is_report(raw):
            number = raw.get("number")
            row = Looked(file.stem, str(raw.get("time") or ""), raw, raw.get("retraining") or None)
            rows.append((number if isinstance(number, int) else 0, row.time, row.run, row))
    return [row for *_, row in sorted(rows, key=lambda one: one[:3])]


def by_weight(checks: Sequence[dict[str, Any]], cause: str | None) -> list[dict[str, Any]]:
    """The checks in the order to read them: the cause, others that found something, the rest, those not made."""
    order = {"drift": 1, "ok": 2}
    return sorted(
        checks,
        key=lambda one: (
            0 if one["name"] == cause else order.get(one["verdict"], 3),
            -(one.get("excess") or 0.0),
        ),
    )


def title(check: dict[str, Any]) -> str:
    """What a check is called."""
    return str(check.get("title") or check["name"])


def written(value: float | None, unit: str = "") -> str:
    """A figure of a check, with its unit: 45.1 %, 1.83 megapixels; a dash for none."""
    if value is None:
        return "–"
    if unit in _SHARES:
        return percent(value, 1) if value >= 0 else f"−{percent(-value, 1)}"
    value = 0.0 if abs(value) < _NOTHING else value
    return f"{value:.3g} {unit}".strip() if abs(value) < 1000 else f"{value:,.0f} {unit}".strip()


def is_share(unit: str) -> bool:
    """Whether a figure with this unit is a share of 1."""
    return unit in _SHARES


def interval(estimate: dict[str, float]) -> str:
    """91.2 % (88.0 to 93.5)."""
    return f"{percent(estimate['value'], 1)} ({100 * estimate['low']:.1f} to {100 * estimate['high']:.1f})"


def chance(p_value: float | None, *, smallest: float = 0.001) -> str:
    """How often a window without any change looks like this: 12.5 %, or < 0.1 %."""
    if p_value is None:
        return "–"
    if p_value < smallest:
        return f"< {100 * smallest:g}\u202f%"
    return percent(p_value, 1)


def moment(iso: str | None) -> str:
    """2026-11-26 16:09 UTC; a text that is no time stays as it is."""
    if not iso:
        return ""
    try:
        found = datetime.fromisoformat(iso)
    except ValueError:
        return str(iso)
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return f"{found:%Y-%m-%d %H:%M} UTC"
