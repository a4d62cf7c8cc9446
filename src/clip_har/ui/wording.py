"""How labels, numbers and times are written on the pages."""

from __future__ import annotations

import re
from collections.abc import Sequence

# What Markdown, and Streamlit's extensions of it (":red[…]", ":material/…:", "$…$"), would take for more than text.
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$:<>&\"'=])")


def plain(text: str) -> str:
    """Text for Markdown that stays text: nothing is formatted, linked or fetched. On one line."""
    kept = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return _SPECIAL.sub(r"\\\1", " ".join(kept.split()))


def words(label: str) -> str:
    """A label as people write it: using_laptop → using laptop."""
    return str(label).replace("_", " ")


def percent(share: float, digits: int = 0) -> str:
    """0.913 → 91 %, with a space that does not break. What is not certain is not shown as 100 %."""
    shown = f"{100 * share:.{digits}f}"
    if share < 1 and float(shown) == 100:
        shown = f"> {99 if digits == 0 else 100 - 10**-digits:.{digits}f}"
    elif share > 0 and float(shown) == 0:
        shown = f"< {10**-digits:.{digits}f}"
    return f"{shown}\u202f%"


def one_of(labels: Sequence[str]) -> str:
    """A label set in words: "calling", or "one of: calling, texting"."""
    written = ", ".join(map(words, labels))
    return (
        written
        if len(labels) == 1
        else f"one of: {written}"
        if labels
        else "none of the labels: nothing fits well enough"
    )


def seconds_in_words(seconds: float) -> str:
    """0.0132 → 13 ms; 2.4 → 2.4 s; 130 → 2 min 10 s."""
    if seconds < 1:
        return f"{max(1, round(1000 * seconds))}\u202fms"
    if seconds < 90:
        return f"{seconds:.1f}\u202fs" if seconds < 10 and seconds != int(seconds) else f"{seconds:.0f}\u202fs"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}\u202fh {minutes % 60}\u202fmin" if minutes >= 60 else f"{minutes}\u202fmin {rest}\u202fs"


def short_id(model_id: str) -> str:
    """A model id as people see it."""
    return model_id[:12]
