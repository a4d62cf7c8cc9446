"""Errors of the capture."""

from __future__ import annotations

from clip_har.errors import ClipHarError


class CaptureError(ClipHarError):
    """Captured data that cannot be read, written or asked for in this way."""
