"""`clip-har quarantine`: list, show, requeue, discard, history."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from clip_har.commands import Command, run_command
from clip_har.data.quarantine.decisions import Decision
from clip_har.data.quarantine.lookup import rows_of_reason
from clip_har.data.quarantine.queue import RejectionQueue
from clip_har.data.quarantine.table import Entry
from clip_har.errors import DataError

_HERE = "clip_har.data.quarantine.command"
COMMANDS = {
    "list": Command("print what is rejected, and why", f"{_HERE}:list_entries"),
    "show": Command("write a page with the pictures, to look at", f"{_HERE}:show"),
    "requeue": Command("have samples looked at again: mended, or with an override", f"{_HERE}:requeue"),
    "discard": Command("leave samples out for good", f"{_HERE}:discard"),
    "history": Command("print who decided what and why, and what became of it", f"{_HERE}:history"),
}
_URI_WIDTH = 60
_IDS = (
    "uris, ids or keys as `list` prints them, or the first letters (four or more) of an id or key, or kept files' names"
)


def main(arguments: Sequence[str]) -> int:
    """Call one of `COMMANDS`."""
    about = "The rejection queue: samples that failed validation, with their original bytes and the reason."
    return run_command("clip-har quarantine", about, COMMANDS, arguments)


def list_entries(arguments: Sequence[str]) -> int:
    """`list`."""
    parser = _parser("list")
    parser.add_argument("--reason", metavar="R", help="only this reason")
    options = parser.parse_args(arguments)
    queue = _queue(options)
    rows = rows_of_reason([row for row in queue.rows() if row.status != "resolved"], options.reason)
    if not rows:
        print("Nothing is rejected." if options.reason is None else f"Nothing is rejected as {options.reason}.")
        return 0
    table = [
        (row.key, row.reason, row.status, row.label or "–", _shortened(row.uri) or "–", _told(row)) for row in rows
    ]
    _print_table(("KEY", "REASON", "STATUS", "LABEL", "URI", "DETAILS"), table)
    counts = ", ".join(f"{number} {status}" for status, number in Counter(row.status for row in rows).most_common())
    print(f"\n{len(rows)} rejected: {counts}. Original files: {queue.folder}/<reason>/")
    return 0


def show(arguments: Sequence[str]) -> int:
    """`show`."""
    parser = _parser("show")
    parser.add_argument("--reason", metavar="R", help="only this reason")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: contact_sheet.html in the queue's own folder"
    )
    parser.add_argument(
        "--most", type=int, default=200, metavar="N", help="most samples to show of each reason (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    queue = _queue(options)
    from clip_har.data.quarantine.contact_sheet import render_contact_sheet
    from clip_har.progress import progress
    from clip_har.storage import write_atomic

    if options.most < 1:
        raise DataError(f"--most: a number from 1 is wanted, not {options.most}.")
    target = options.output or queue.folder / "contact_sheet.html"
    if target.is_dir():
        raise DataError(f"--output: {str(target)!r} is a folder; a file is wanted, like {target / 'sheet.html'}.")
    with progress("drawing the pictures") as report:
        page = render_contact_sheet(queue, options.reason, most=options.most, progress=report)
    try:
        write_atomic(target, page)
    except OSError as error:
        raise DataError(f"--output: {str(target)!r} cannot be written: {error.strerror}.") from error
    print(target)
    return 0


def requeue(arguments: Sequence[str]) -> int:
    """`requeue`."""
    parser = _decision_parser("requeue")
    parser.add_argument(
        "--waive", nargs="+", action="extend", default=[], metavar="R", help="reasons that shall not apply to them"
    )
    parser.add_argument("--label", metavar="L", help="the class that they shall have, instead of the listed one")
    options = parser.parse_args(arguments)
    queue = _queue(options)
    rows = {(row.uri, row.id): row for row in queue.find(options.ids)}
    decisions = queue.requeue(options.ids, options.who, options.why, options.waive, options.label)
    for decision in decisions:
        print(_sentence(decision))
    unchanged = [decision.uri for decision in decisions if _changes_nothing(decision, rows)]
    if unchanged:
        print(
            f"Note: {', '.join(unchanged[:5])}{' …' if len(unchanged) > 5 else ''}: the file is as it was, and nothing is "
            "waived. It will be rejected again unless its listing or the settings of validation have been changed "
            "(or: --waive, --label)."
        )
    print("The next run of the data pipeline looks at it again: python run.py --pipeline data")
    return 0


def discard(arguments: Sequence[str]) -> int:
    """`discard`."""
    options = _decision_parser("discard").parse_args(arguments)
    for decision in _queue(options).discard(options.ids, options.who, options.why):
        print(_sentence(decision))
    return 0


def history(arguments: Sequence[str]) -> int:
    """`history`."""
    options = _parser("history").parse_args(arguments)
    queue = _queue(options)
    decisions = queue.decisions().decisions
    for decision in decisions:
        print(f"{decision.time}  {_sentence(decision)}")
    if not decisions:
        print("Nobody has decided anything yet.")
    past = [row for row in queue.rows() if row.status == "resolved"]
    if past:
        print("\nRejected no more:")
        _print_table(
            ("KEY", "REASON", "URI", "SINCE THEN"),
            [(row.key, row.reason, _shortened(row.uri), row.note) for row in past],
        )
    return 0


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"clip-har quarantine {name}", description=COMMANDS[name].purpose)
    parser.add_argument(
        "--workspace", type=Path, default=Path("workspace"), metavar="W", help="workspace folder (default: %(default)s)"
    )
    return parser


def _decision_parser(name: str) -> argparse.ArgumentParser:
    parser = _parser(name)
    parser.add_argument("ids", nargs="+", metavar="ID|URI", help=_IDS)
    parser.add_argument("--who", required=True, metavar="NAME", help="who decides; goes into the record")
    parser.add_argument("--why", required=True, metavar="TEXT", help="why; goes into the record")
    return parser


def _queue(options: argparse.Namespace) -> RejectionQueue:
    queue = RejectionQueue(options.workspace / "quarantine")
    if not queue.exists():
        raise DataError(
            f"--workspace: there is no rejection queue in {str(options.workspace)!r} (looked for {queue.folder}). The data "
            "pipeline makes it: python run.py --pipeline data"
        )
    return queue


def _changes_nothing(decision: Decision, rows: dict[tuple[str, str], Entry]) -> bool:
    same_bytes = decision.rejected_id is None and (decision.uri, decision.id) in rows
    return same_bytes and not decision.waive and decision.label is None


def _told(row: Entry) -> str:
    return "; ".join(part for part in (row.details, row.note) if part)


def _sentence(decision: Decision) -> str:
    overrides = [f"without {', '.join(decision.waive)}"] if decision.waive else []
    overrides += [f"as {decision.label}"] if decision.label else []
    changed = ["changed since it was rejected"] if decision.rejected_id is not None else []
    about = f" ({'; '.join(changed + overrides)})" if changed or overrides else ""
    done = {"requeue": "requeued", "discard": "discarded"}[decision.action]
    return _plain(f"{done} {decision.uri}{about} by {decision.who}: {decision.why}")


def _plain(text: str) -> str:
    """On one line, and without what a terminal would obey: uris come from strangers."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))


def _shortened(uri: str) -> str:
    return uri if len(uri) <= _URI_WIDTH else f"{uri[: _URI_WIDTH // 2 - 1]}…{uri[-_URI_WIDTH // 2 :]}"


def _print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns in their width; on a terminal the last one is cut at its edge."""
    lines = [header, *(tuple(map(_plain, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for line in lines:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        print(text if len(text) <= edge else text[: edge - 1] + "…")
