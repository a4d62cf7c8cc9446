"""Errors of labelling."""

from __future__ import annotations

from clip_har.errors import ClipHarError


class LabellingError(ClipHarError):
    """A labelling sheet, or labelled pictures, that cannot be made, read or changed in this way."""
