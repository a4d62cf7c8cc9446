"""The rejection queue: where samples that cannot be trusted wait for a person, and what people decided about them."""

from __future__ import annotations

from clip_har.data.quarantine.decisions import Decision, Decisions
from clip_har.data.quarantine.queue import QuarantineConfig, QueueSummary, RejectionQueue
from clip_har.data.quarantine.table import QUEUE_COLUMNS, Entry

__all__ = ["QUEUE_COLUMNS", "Decision", "Decisions", "Entry", "QuarantineConfig", "QueueSummary", "RejectionQueue"]
