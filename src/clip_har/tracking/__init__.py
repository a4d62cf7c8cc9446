"""Experiment tracking behind one interface. A tracker that fails is reported and dropped; it never stops a run.

To add one: write a class with the methods of `Tracker`, and name it in `TRACKERS` (see docs/extending.md).
"""

from __future__ import annotations

from clip_har.component import Registry
from clip_har.tracking.tracker import Guarded, Tracker

TRACKERS: Registry[Tracker] = Registry("experiment tracker", {"mlflow": "clip_har.tracking.mlflow:MlflowTracker"})
"""By the flavor of the stack's experiment tracker."""

__all__ = ["TRACKERS", "Guarded", "Tracker"]
