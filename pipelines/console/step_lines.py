"""A line a step, out of ZenML's talk."""

from __future__ import annotations

import logging
import re
import sys

from clip_har.errors import ClipHarError

_STARTED = re.compile(r"Step `?(\S+?)`? has started")
_FINISHED = re.compile(r"Step `?(\S+?)`? has finished in `?([^`]+?)`?\.$")
_CACHED = re.compile(r"Using cached version of step `?(\S+?)`?\.$")


class StepLines(logging.Filter):
    """Turns ZenML's talk into a line a step; warnings pass, users' mistakes lose their traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], ClipHarError | KeyboardInterrupt):
            return False
        if not record.name.startswith("zenml"):
            return record.levelno >= logging.WARNING
        if not getattr(record, "_is_shown", False):  # ZenML has several handlers, and each asks
            record._is_shown = True
            self._show(record.getMessage())
        # what a step failed of is raised, and shown once, by run.py
        return record.levelno >= logging.ERROR and not record.getMessage().startswith("Failed to run step")

    def _show(self, text: str) -> None:
        if match := _CACHED.search(text):
            print(f"  = {match[1]} (cached)", file=sys.stderr, flush=True)
        elif match := _FINISHED.search(text):
            print(f"  ✓ {match[1]} ({match[2]})", file=sys.stderr, flush=True)
        elif match := _STARTED.search(text):
            print(f"  … {match[1]}", file=sys.stderr, flush=True)


def quieten() -> None:
    """Put the filter on every handler of the root logger; called after ZenML has set up its own."""
    logging.raiseExceptions = False  # a library's log file that cannot be written is no matter of the user's
    for handler in logging.getLogger().handlers:
        if not any(isinstance(present, StepLines) for present in handler.filters):
            handler.addFilter(StepLines())
