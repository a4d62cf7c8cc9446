"""`clip-har labelling`: show, sheet, read, forget."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from clip_har.commands import Command, run_command
from clip_har.labelling.config import LabellingConfig
from clip_har.labelling.errors import LabellingError

_HERE = "clip_har.labelling.command"
COMMANDS = {
    "show": Command("what is labelled, and which feedback can become labels", f"{_HERE}:show"),
    "sheet": Command("choose captured pictures, and write a sheet to label them on", f"{_HERE}:sheet"),
    "read": Command("take in sheets that are filled in, and feedback", f"{_HERE}:read"),
    "forget": Command("remove labelled pictures by the ids of their predictions", f"{_HERE}:forget"),
}


def main(arguments: Sequence[str]) -> int:
    """Call one of `COMMANDS`."""
    return run_command("clip-har labelling", "Captured pictures that people give labels.", COMMANDS, arguments)


def show(arguments: Sequence[str]) -> int:
    """`show`."""
    from clip_har.labelling.labelled import LabelledStore

    parser = _parser("show")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(arguments)
    store = LabelledStore.of(options.workspace, options.folder)
    rows, aside = store.rows(), store.set_aside()
    classes = Counter(row.label for row in rows)
    facts = {
        "folder": str(store.folder),
        "labelled": len({row.id for row in rows}),
        "set_aside": len(aside),
        "published": len({row.id for row in rows if row.published}),
        "sources": dict(Counter(row.source for row in rows)),
        "labels": dict(sorted(classes.items())),
        "conflicts": {name: list(said) for name, said in store.conflicts().items()},
    }
    if options.json:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    if not rows and not aside:
        print(
            f"Nothing is labelled yet in {store.folder}. `clip-har labelling sheet` chooses pictures, `read` takes labels in."
        )
        return 0
    told = ", ".join(f"{number} by {source}" for source, number in facts["sources"].items())
    print(f"{facts['labelled']} labelled pictures in {store.folder} ({told or 'none'}), {len(aside)} set aside.")
    print(f"{facts['published']} of them are known to be in a published version of the data.\n")
    for label, number in sorted(classes.items(), key=lambda pair: (-pair[1], pair[0])):
        print(f"  {number:>7,}  {_plain(label)}")
    for name, said in store.conflicts().items():
        print(f"{name[:12]}… has different labels: {_plain(', '.join(said))}. Label it on a sheet, or `forget` it.")
    return 0


def sheet(arguments: Sequence[str]) -> int:
    """`sheet`."""
    from clip_har.capture.moments import moment_of
    from clip_har.labelling.labelled import LabelledStore
    from clip_har.labelling.selection import make_sheet, newest_model, select, sheet_folder

    defaults = LabellingConfig()
    parser = _parser("sheet", labels=True)
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where (default: sheets in the labelling folder)")
    parser.add_argument(
        "--count", type=int, default=defaults.budget, metavar="N", help="how many pictures (default: %(default)s)"
    )
    parser.add_argument("--since", metavar="T", help="only pictures from then on: a time, or an age like 12h, 7d")
    parser.add_argument("--until", metavar="T", help="only pictures before then")
    parser.add_argument(
        "--uncertainty",
        type=float,
        default=defaults.uncertainty,
        metavar="U",
        help="weight of the model's doubt beside diversity, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another one gives another choice")
    options = parser.parse_args(arguments)
    if options.count < 1 or not 0 <= options.uncertainty <= 1:
        raise LabellingError("--count from 1, and --uncertainty from 0 to 1, are wanted.")
    capture, store = _capture(options), LabelledStore.of(options.workspace, options.folder)
    window = {
        name: None if (text := getattr(options, name)) is None else moment_of(f"--{name}", text)
        for name in ("since", "until")
    }
    store.from_feedback(capture, labels=_accepted(options, newest_model(capture)))
    chosen = select(capture, store, options.count, uncertainty=options.uncertainty, seed=options.seed, **window)
    labels = _accepted(options, chosen.model_id).known
    folder, number = make_sheet(capture, chosen, labels, options.output or sheet_folder(store))
    print(f"{number} of {chosen.candidates:,} pictures are on the sheet {folder}")
    for why, left in chosen.left_out.items():
        print(f"  {left:,} were left out: {why}")
    print(
        f"Look at {folder / 'sheet.html'}, fill in the column `label` of {folder / 'labels.csv'}, then: "
        f"clip-har labelling read {folder}"
    )
    return 0


def read(arguments: Sequence[str]) -> int:
    """`read`; 1 if rows could not be taken."""
    from clip_har.labelling.labelled import LabelledStore

    parser = _parser("read", labels=True)
    parser.add_argument("sheets", nargs="*", type=Path, metavar="SHEET", help="folders of sheets; all of ours if none")
    parser.add_argument("--new-labels", action="store_true", help="labels that the model does not know become classes")
    parser.add_argument("--no-feedback", action="store_true", help="leave feedback alone")
    options = parser.parse_args(arguments)
    store = LabelledStore.of(options.workspace, options.folder)
    capture = None if options.no_feedback and options.sheets else _capture(options, wanted=not options.sheets)
    labels = _accepted(options, None if capture is None else _newest(capture), new=options.new_labels)
    added = None
    for one in options.sheets:
        found = store.from_sheet(one, labels)
        added = found if added is None else added + found
    if added is None:
        added = store.from_sheets(labels)
    if capture is not None and not options.no_feedback:
        added += store.from_feedback(capture, labels=labels)
    print(
        f"{added.added} pictures were added, {added.replaced} have another label now, {added.unchanged} were known, "
        f"{added.set_aside} are set aside."
    )
    for label in added.new_labels:
        print(f"New class: {_plain(label)}")
    for why, number in added.unused.items():
        print(f"  {number:,} not used: {_plain(why)}")
    for name, said in added.conflicts.items():
        print(f"  {name[:12]}… has different labels: {_plain(', '.join(said))}. Label it on a sheet, or `forget` it.")
    for problem in added.problems:
        print(_plain(problem), file=sys.stderr)
    print(f"{len(store.rows()):,} labelled pictures are in {store.folder} now.")
    return 1 if added.problems else 0


def forget(arguments: Sequence[str]) -> int:
    """`forget`."""
    from clip_har.labelling.labelled import LabelledStore

    parser = _parser("forget")
    parser.add_argument("ids", nargs="+", metavar="ID", help="of predictions, or sha256 of pictures")
    options = parser.parse_args(arguments)
    store = LabelledStore.of(options.workspace, options.folder)
    removed = store.forget(options.ids)
    print(f"{len(removed.pictures)} labelled pictures removed, with their labels.")
    told = removed.told()
    if told:
        print(told)
    return 0


def _parser(name: str, labels: bool = False) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"clip-har labelling {name}", description=COMMANDS[name].purpose)
    parser.add_argument(
        "--workspace", type=Path, default=Path("workspace"), metavar="W", help="workspace folder (default: %(default)s)"
    )
    parser.add_argument("--folder", metavar="F", help="labelled pictures (default: labelling in the workspace)")
    if labels:
        parser.add_argument(
            "--capture", type=Path, metavar="F", help="captured data (default: capture in the workspace)"
        )
        parser.add_argument(
            "--labels", metavar="A,B", help="the labels (default: those of the model that answered last)"
        )
    return parser


def _capture(options: argparse.Namespace, wanted: bool = True):
    from clip_har.capture import CaptureStore

    folder = options.capture or options.workspace / "capture"
    if not folder.is_dir():
        if not wanted:
            return None
        given = "--workspace" if options.capture is None else "--capture"
        raise LabellingError(
            f"{given}: nothing has been captured in {str(folder)!r}. A running service captures there: make serve"
        )
    return CaptureStore(folder)


def _newest(capture) -> str | None:
    from clip_har.labelling.selection import newest_model

    return newest_model(capture)


def _accepted(options: argparse.Namespace, model_id: str | None, new: bool = False):
    """The labels: those that are named, the registered model's, or those that it was captured to answer."""
    from clip_har.labelling.answers import Labels
    from clip_har.labelling.selection import labels_of_model

    if options.labels:
        named = tuple(label.strip() for label in options.labels.split(",") if label.strip())
        return Labels(named, new)
    if model_id is None:
        return Labels((), new)
    capture = _capture(options)
    return Labels(labels_of_model(options.workspace, capture, model_id), new)


def _plain(text: str) -> str:
    """Without what a terminal would obey: labels come from strangers."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
