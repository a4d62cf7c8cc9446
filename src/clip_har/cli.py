"""`clip-har`: what is done by hand, outside pipelines. Each command is imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from clip_har.commands import Command, run_command

COMMANDS = {
    "quarantine": Command("look at rejected samples, and decide about them", "clip_har.data.quarantine.command:main"),
    "data": Command("published versions of the data: list, tag, share", "clip_har.data.versions.command:main"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code: 0, 2 for a user's mistake, 130 for Ctrl-C."""
    return run_command(
        "clip-har", "Human action recognition in images with CLIP. Pipelines are run by run.py.", COMMANDS, arguments
    )


if __name__ == "__main__":
    sys.exit(main())
