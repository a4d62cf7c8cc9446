"""The last drift report about the served model, as gauges: read from the workspace when they are asked for."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from clip_har.serving.observability.metrics import ServiceMetrics
from clip_har.serving.observability.series import Labels

FILE = Path("reports") / "drift.json"
"""In a workspace: what `monitor` leaves there, and `GET /v1/reports/drift` gives."""

_STATES = {"ok": 0.0, "watch": 1.0, "retrain": 2.0}
_MOST_CHECKS = 64
_LARGEST = 50_000_000


def watch_drift(metrics: ServiceMetrics, workspace: Path, model_id: Callable[[], str | None]) -> None:
    """Make the gauges of drift.

    Args:
        workspace: where the report lies.
        model_id: gives the served model's; a report about another model gives no figures.
    """
    report = _Report(workspace / FILE, model_id)
    for name, documentation, labels in (
        ("clip_har_drift_statistic", "What a check of the last drift report found.", ("check",)),
        ("clip_har_drift_threshold", "Above it, that check finds drift.", ("check",)),
        ("clip_har_drift_alarm", "1 for each check that found drift, else 0.", ("check",)),
        ("clip_har_drift_state", "What was decided last: 0 ok, 1 watch, 2 retrain.", ()),
        ("clip_har_drift_report_age_seconds", "Since the last drift report was written.", ()),
        ("clip_har_estimated_accuracy", "Of the last window, estimated without labels.", ()),
        ("clip_har_measured_accuracy", "Of the last window, measured with feedback.", ()),
    ):
        metrics.gauge(name, documentation, labels).watch_all(partial(report.values, name))


class _Report:
    """The file's figures, read again when it was replaced."""

    def __init__(self, file: Path, model_id: Callable[[], str | None]) -> None:
        self._file, self._model_id = file, model_id
        self._known: tuple[int, int, int] | None = None
        self._about: str | None = None
        self._figures: dict[str, dict[Labels, float]] = {}
        self._written = 0.0
        self._lock = threading.Lock()

    def values(self, name: str) -> Mapping[Labels, float]:
        """Of a gauge; none if there is no report about the served model."""
        with self._lock:
            self._renew()
            if not self._figures or self._about != self._model_id():
                return {}
            if name == "clip_har_drift_report_age_seconds":
                return {(): max(time.time() - self._written, 0.0)}
            return self._figures[name]

    def _renew(self) -> None:
        try:
            state = self._file.stat()
            known = (state.st_mtime_ns, state.st_size, state.st_ino)
            if known == self._known:
                return
            self._known, self._written, self._figures = known, state.st_mtime, {}
            report = json.loads(self._file.read_bytes()) if state.st_size <= _LARGEST else {}
            self._about, self._figures = report["model_id"], _figures(report)
        except OSError:
            self._known, self._figures = None, {}
        except (ValueError, KeyError, TypeError, AttributeError):  # not ours: it costs its figures, not all others
            self._figures = {}


def _figures(report: dict[str, Any]) -> dict[str, dict[Labels, float]]:
    made = [check for check in report["checks"] if check["verdict"] != "not checked"][:_MOST_CHECKS]
    accuracy, decided = report.get("accuracy") or {}, report.get("decided") or {}
    found: dict[str, dict[Labels, Any]] = {
        f"clip_har_drift_{name}": {(str(check["name"]),): check.get(name) for check in made}
        for name in ("statistic", "threshold")
    }
    found["clip_har_drift_alarm"] = {(str(check["name"]),): float(check["verdict"] == "drift") for check in made}
    found["clip_har_drift_state"] = {(): _STATES.get(decided.get("state"))}
    for name in ("estimated", "measured"):
        found[f"clip_har_{name}_accuracy"] = {(): (accuracy.get(name) or {}).get("value")}
    return {
        name: {labels: float(value) for labels, value in values.items() if value is not None and math.isfinite(value)}
        for name, values in found.items()
    }
