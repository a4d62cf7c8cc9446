"""`clip-har tracking`: list, replay."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from clip_har.commands import Command, run_command
from clip_har.errors import DataError

_HERE = "clip_har.tracking.command"
COMMANDS = {
    "list": Command("list the runs of which a tracker has not got everything", f"{_HERE}:list_journals"),
    "replay": Command("deliver what trackers missed", f"{_HERE}:replay_journals"),
}


def main(arguments: Sequence[str]) -> int:
    """Call one of `COMMANDS`."""
    about = "What experiment trackers (MLflow, W&B) missed while they were slow, dead or out of disk."
    return run_command("clip-har tracking", about, COMMANDS, arguments)


def list_journals(arguments: Sequence[str]) -> int:
    """`list`."""
    from clip_har.tracking.replay import journals

    options = _parser("list").parse_args(arguments)
    found = journals(_folder(options))
    for state in found:
        began = datetime.fromtimestamp(state.began).strftime("%Y-%m-%d %H:%M")
        print(f"{state.name}  {began}  {state.events:,} events")
        for name, delivered in state.delivered.items():
            said = state.failures.get(name)
            print(f"  {name:8} has {delivered:,} for sure" + (f"; {said}" if said else ""))
    if not found:
        print("Trackers have everything.", file=sys.stderr)
    return 0


def replay_journals(arguments: Sequence[str]) -> int:
    """`replay`."""
    from clip_har.tracking.replay import journals, replay

    parser = _parser("replay")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="as `list` names them (default: all)")
    parser.add_argument("--tracking-uri", metavar="URI", help="of MLflow, if it is not where it was")
    options = parser.parse_args(arguments)
    folder = _folder(options)
    names = options.runs or [state.name for state in journals(folder)]
    settings = {"tracking_uri": options.tracking_uri} if options.tracking_uri else None
    failed = []
    for name in names:
        for tracker, failure in replay(folder, name, settings=settings).items():
            print(f"{name}: {tracker} " + ("has everything." if failure is None else f"could not be told: {failure}"))
            if failure is not None:
                failed.append(f"{name} ({tracker})")
    if not names:
        print("Trackers have everything.", file=sys.stderr)
    if failed:
        raise DataError(f"Not delivered: {', '.join(failed)}. The journals stay; try again when the tracker is back.")
    return 0


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"clip-har tracking {name}", description=COMMANDS[name].purpose)
    parser.add_argument(
        "--workspace", type=Path, default=Path("workspace"), metavar="W", help="workspace folder (default: %(default)s)"
    )
    return parser


def _folder(options: argparse.Namespace) -> Path:
    from clip_har.tracking.outbox import JOURNALS

    if not options.workspace.is_dir():
        raise DataError(f"--workspace: there is no folder {str(options.workspace)!r}.")
    return options.workspace / JOURNALS
