"""Errors for the person who must act: what was wrong, where, what would be right.

Every error that a user can cause is a `ClipHarError`: entry points print its message, without a traceback, and end with
exit code 2 (or a 4xx answer). Anything else is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ClipHarError(Exception):
    """A mistake that its reader can mend."""


class ConfigError(ClipHarError):
    """A configuration that cannot be used."""


class DataError(ClipHarError):
    """Data that cannot be used: a folder, a table or a data set as a whole."""


class ModelError(ClipHarError):
    """A backbone or an encoder that cannot be used."""


class BundleError(ClipHarError):
    """A model bundle that is damaged, incomplete or of another format."""


class TrainingError(ClipHarError):
    """Training that cannot go on."""


class ImageError(ClipHarError):
    """One image that cannot be used.

    Attributes:
        reason: short machine-readable reason, one of `clip_har.data.image.REASONS`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple:
        return type(self), (self.reason, str(self))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, or None when nothing is alike."""
    by_folded_case = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(str(word).lower(), by_folded_case, n=1, cutoff=0.55)
    return by_folded_case[matches[0]] if matches else None


def did_you_mean(word: str, known: Iterable[str], limit: int = 20) -> str:
    """A sentence for a message: the nearest known word, or the list of them."""
    known = [str(candidate) for candidate in known]
    match = nearest(word, known)
    if match is not None:
        return f"Did you mean {match!r}?"
    if not known:
        return "There are none."
    shown = ", ".join(sorted(known)[:limit])
    return f"Known: {shown}{' …' if len(known) > limit else ''}."
