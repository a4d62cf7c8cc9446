"""Times as people write them: a time, or an age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from clip_har.capture.errors import CaptureError

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment_of(option: str, text: str, now: datetime | None = None) -> datetime:
    """A time like 2026-11-26T08:00 (UTC if it names no zone), or an age like 90m, 12h, 7d, 2w before now.

    Args:
        option: where the text was given, for the message.

    Raises:
        CaptureError: if it is neither.
    """
    try:
        if text[-1:] in _UNITS:
            return (now or datetime.now(UTC)) - timedelta(**{_UNITS[text[-1]]: float(text[:-1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise CaptureError(
            f"{option}: {text!r} is neither a time like 2026-11-26T08:00 nor an age like 90m, 12h, 7d or 2w."
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
