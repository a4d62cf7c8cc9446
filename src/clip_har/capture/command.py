"""`clip-har capture`: list, show, delete, compact, export."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clip_har.capture.errors import CaptureError
from clip_har.capture.export import export, plain
from clip_har.capture.moments import moment_of
from clip_har.capture.store import CaptureStore, Moment
from clip_har.commands import Command, run_command

_HERE = "clip_har.capture.command"
COMMANDS = {
    "list": Command("print captured predictions, the newest first, and what there is in all", f"{_HERE}:list_rows"),
    "show": Command("all that is kept of one prediction, or a summary", f"{_HERE}:show"),
    "delete": Command("delete predictions, with feedback and images: by id, or by age", f"{_HERE}:delete"),
    "compact": Command("merge small files, and take what is deleted from the disk", f"{_HERE}:compact"),
    "export": Command("write predictions with their feedback as Parquet, CSV or JSON lines", f"{_HERE}:export_rows"),
}


def main(arguments: Sequence[str]) -> int:
    """Call one of `COMMANDS`."""
    return run_command("clip-har capture", "What the service saw and was told.", COMMANDS, arguments)


def list_rows(arguments: Sequence[str]) -> int:
    """`list`."""
    parser = _parser("list", window=True)
    parser.add_argument("--label", metavar="L", help="only predictions of this label")
    parser.add_argument("--most", type=int, default=20, metavar="N", help="most rows to print (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.most < 1:
        raise CaptureError(f"--most: a number from 1 is wanted, not {options.most}.")
    store = _store(options)
    names = ("id", "time", "model_id", "labels", "scores", "abstained", "error")
    newest: list[dict[str, Any]] = []
    found = 0
    for table in store.batches_with_feedback(*_window(options), columns=names):
        rows = table.to_pylist()
        if options.label is not None:
            rows = [row for row in rows if row["labels"][:1] == [options.label]]
        found += len(rows)
        newest = sorted([*newest, *rows], key=lambda row: row["time"], reverse=True)[: options.most]
    if not found:
        print("No prediction is captured that fits.")
        return 0
    _print_table(("TIME (UTC)", "ID", "MODEL", "LABEL", "SCORE", "FEEDBACK"), map(_line, newest))
    print(f"\n{found} predictions{'' if found <= options.most else f', the newest {options.most} of them shown'}.")
    return 0


def show(arguments: Sequence[str]) -> int:
    """`show`."""
    parser = _parser("show")
    parser.add_argument("id", nargs="?", metavar="ID", help="of a prediction; without it, counts")
    parser.add_argument("--json", action="store_true", help="as JSON, with the embedding")
    options = parser.parse_args(arguments)
    store = _store(options)
    if options.id is None:
        facts: dict[str, Any] = store.summary().as_json()
        _print_facts(facts, options.json)
        return 0
    rows = [
        row
        for table in store.batches_with_feedback()
        if options.id in table.column("id").to_pylist()
        for row in table.to_pylist()
        if row["id"] == options.id
    ]
    if not rows:
        raise CaptureError(f"No prediction {options.id!r} is in {store.folder}. `clip-har capture list` prints ids.")
    for row in rows:  # the champion's and the challenger's, if both answered
        facts = {name: plain(value) for name, value in row.items()}
        if not options.json:
            facts["embedding"] = f"{len(row['embedding'] or ())} numbers"
        _print_facts(facts, options.json)
    return 0


def delete(arguments: Sequence[str]) -> int:
    """`delete`."""
    parser = _parser("delete")
    parser.add_argument("ids", nargs="*", metavar="ID", help="of predictions")
    parser.add_argument("--older-than", type=float, metavar="DAYS", help="all that are older")
    options = parser.parse_args(arguments)
    if bool(options.ids) == (options.older_than is not None):
        raise CaptureError("Either ids or --older-than DAYS is wanted.")
    store = _store(options)
    if options.older_than is not None:
        print(f"{store.delete_older_than(options.older_than)} predictions deleted.")
    else:
        found = store.delete(options.ids)
        asked = len(set(options.ids))
        unknown = f" {asked - found} of the ids are not here; their rows will not be kept if they come." * (
            found < asked
        )
        print(f"{found} predictions deleted.{unknown}")
    if removed := store.removed.pictures:
        print(f"{len(removed)} copies of their pictures left labelling sheets and labelled pictures.")
    if told := store.removed.told():
        print(told)
    print("They are in no read from now on. Their rows leave the disk at the next merge: clip-har capture compact")
    return 0


def compact(arguments: Sequence[str]) -> int:
    """`compact`."""
    store = _store(_parser("compact").parse_args(arguments))
    before = store.summary()
    store.compact()
    after = store.summary()
    print(f"{before.files} files of {before.bytes:,} bytes are now {after.files} of {after.bytes:,}.")
    if after.damaged:
        print(f"{after.damaged} files are damaged and left as they are.", file=sys.stderr)
    return 0


def export_rows(arguments: Sequence[str]) -> int:
    """`export`."""
    parser = _parser("export", window=True)
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="ends with .parquet, .csv (no embeddings) or .jsonl"
    )
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="also copy the kept images")
    options = parser.parse_args(arguments)
    rows = export(_store(options), options.output, *_window(options), images=options.images)
    print(f"{rows} predictions: {options.output}")
    return 0


def _parser(name: str, window: bool = False) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"clip-har capture {name}", description=COMMANDS[name].purpose)
    parser.add_argument(
        "--workspace", type=Path, default=Path("workspace"), metavar="W", help="workspace folder (default: %(default)s)"
    )
    parser.add_argument("--folder", type=Path, metavar="F", help="capture folder (default: capture in the workspace)")
    if window:
        moment = "a time like 2026-11-26T08:00 (UTC if it names no zone), or an age like 90m, 12h, 7d, 2w"
        parser.add_argument("--since", metavar="T", help=f"only from then on: {moment}")
        parser.add_argument("--until", metavar="T", help="only before then")
        parser.add_argument("--model", metavar="ID", help="only of this model id, or one that begins so")
    return parser


def _store(options: argparse.Namespace) -> CaptureStore:
    folder = options.folder or options.workspace / "capture"
    if not folder.is_dir():
        given = "--workspace" if options.folder is None else "--folder"
        raise CaptureError(
            f"{given}: nothing has been captured in {str(folder)!r}. A running service captures there: make serve"
        )
    return CaptureStore(folder)


def _window(options: argparse.Namespace) -> tuple[Moment | None, Moment | None, str | None]:
    model = options.model
    if model is not None:
        known = _store(options).summary().models
        fits = [one for one in known if one.startswith(model)]
        if len(fits) != 1:
            listed = ", ".join(sorted(one[:12] for one in known)) or "none"
            raise CaptureError(f"--model: {len(fits)} captured models begin with {model!r}. There are: {listed}")
        model = fits[0]
    return _moment("--since", options.since), _moment("--until", options.until), model


def _moment(option: str, text: str | None) -> datetime | None:
    return None if text is None else moment_of(option, text)


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    label = f"({row['error']})" if row["error"] else (row["labels"] or ["–"])[0]
    return (
        f"{row['time']:%Y-%m-%d %H:%M:%S}",
        row["id"],
        row["model_id"][:12],
        f"{label} (abstained)" if row["abstained"] else label,
        f"{row['scores'][0]:.3f}" if row["scores"] else "–",
        row["feedback_label"] or "–",
    )


def _print_facts(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    width = max(map(len, facts)) + 1
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, number in value.items():
                print(f"  {number:>9,}  {_plain(str(key))}")
        else:
            print(f"{name + ':':{width}} {_plain(str(_readable(name, value)))}")


def _readable(name: str, value: Any) -> Any:
    if name in ("first", "last") and value is not None:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
    if isinstance(value, list):
        return ", ".join(f"{one:.4f}" if isinstance(one, float) else str(one) for one in value)
    return "–" if value is None or value == "" else value


def _plain(text: str) -> str:
    """Without what a terminal would obey: labels and feedback come from strangers."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [tuple(header), *(tuple(map(_plain, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
