"""The library that draws charts, got so that it works in any session."""

from __future__ import annotations

from typing import Any


def altair() -> Any:
    """Altair, with pandas whole.

    Altair looks for pandas among the imported modules by itself. Right after the app's start another session's thread may
    be in the middle of importing it, and Altair would use the half of it that is there; to import it is to wait for that.
    """
    import altair as found
    import pandas  # noqa: F401

    return found
