"""`clip-har`: what is done by hand, outside pipelines. Each command is imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from clip_har.commands import Command, run_command

COMMANDS = {
    "quarantine": Command("look at rejected samples, and decide about them", "clip_har.data.quarantine.command:main"),
    "data": Command("published versions of the data: list, tag, share", "clip_har.data.versions.command:main"),
    "hub": Command("the Hugging Face Hub: fetch a bundle, share the data", "clip_har.registry.hub.command:main"),
    "registry": Command("versions of the model, and the champion among them", "clip_har.registry.command:main"),
    "capture": Command("what the service saw: list, delete, export", "clip_har.capture.command:main"),
    "labelling": Command(
        "labels for captured pictures: sheets, and what came of them", "clip_har.labelling.command:main"
    ),
    "predict": Command("what people do in pictures: a table, JSON or CSV", "clip_har.terminal.predict:main"),
    "watch": Command("the same for pictures as they come into a folder", "clip_har.terminal.watch:main"),
    "feedback": Command("say what a predicted picture really showed", "clip_har.terminal.feedback:main"),
    "compare": Command(
        "two runs, before and after a change, as Markdown", "clip_har.evaluation.comparison_comment:main"
    ),
    "keys": Command("API keys of the service: add, list, remove", "clip_har.serving.security.command:main"),
    "tracking": Command("what MLflow or W&B missed: list, replay", "clip_har.tracking.command:main"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code: 0, 2 for a user's mistake, 130 for Ctrl-C."""
    return run_command(
        "clip-har", "Human action recognition in images with CLIP. Pipelines are run by run.py.", COMMANDS, arguments
    )


if __name__ == "__main__":
    sys.exit(main())
