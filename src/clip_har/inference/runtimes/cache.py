"""What was found out about this machine, kept in the user's cache folder."""

from __future__ import annotations

import json
import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from clip_har.storage import write_json


def cache_folder() -> Path | None:
    """`clip-har` in XDG_CACHE_HOME or ~/.cache, made if it is not there; None if it cannot be written to (said once)."""
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(home) if home and Path(home).is_absolute() else Path.home() / ".cache") / "clip-har"
    except RuntimeError as error:  # no home
        _say_once(f"there is no cache folder ({error})")
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _say_once(f"{folder} cannot be made ({error.strerror})")
        return None
    if not os.access(folder, os.W_OK | os.X_OK):
        _say_once(f"{folder} cannot be written to")
        return None
    return folder


def read_cached(kind: str, key: str) -> dict[str, Any] | None:
    """What `write_cached` kept under this key; None if there is nothing, or nothing that can be read."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        found = json.loads((folder / kind / f"{key}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # it is found out again, and written anew
    return found if isinstance(found, dict) else None


def write_cached(kind: str, key: str, value: dict[str, Any]) -> None:
    """Keep a JSON object for later processes, if there is a place for it."""
    folder = cache_folder()
    if folder is None:
        return
    try:
        write_json(folder / kind / f"{key}.json", value)
    except OSError as error:
        _say_once(f"{folder / kind} cannot be written to ({error.strerror})")


@cache
def _say_once(what: str) -> None:
    warnings.warn(
        f"Which runtime is fastest will be measured at each start: {what}. Set XDG_CACHE_HOME to a folder that can be "
        "written to.",
        RuntimeWarning,
        stacklevel=3,
    )
