"""What can be wrong with what is to be monitored."""

from __future__ import annotations

from clip_har.errors import ClipHarError


class MonitoringError(ClipHarError):
    """There is nothing to look at, or nothing to compare it with."""
