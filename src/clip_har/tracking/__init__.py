"""Experiment tracking behind one interface. A tracker that fails is reported and dropped; it never stops a run.

Steps record into an `Outbox`. To add a tracker: write a class with the methods of `Tracker`, and name it in `TRACKERS` (see
docs/extending.md).
"""

from __future__ import annotations

from clip_har.tracking.delivery import DeliveryConfig
from clip_har.tracking.outbox import Outbox, Recording
from clip_har.tracking.tracker import RunIdentity, Tracker
from clip_har.tracking.trackers import TRACKERS, trackers_of

__all__ = ["TRACKERS", "DeliveryConfig", "Outbox", "Recording", "RunIdentity", "Tracker", "trackers_of"]
