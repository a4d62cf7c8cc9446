"""`clip-har watch`: pictures are answered as they come into a folder."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from clip_har.client import ServiceProblem
from clip_har.errors import ConfigError
from clip_har.terminal.printing import JsonLines, Lines, Printer, code_of, failed
from clip_har.terminal.recognisers import Recogniser, add_arguments, asked, open_recogniser
from clip_har.terminal.watching import FolderWatch

# What a picture that somebody is still writing looks like.
_HALF_WRITTEN = ("truncated", "empty_file", "not_an_image")
_GONE = "missing_file"
_NOT_NOW = (429, 502, 503, 504)
_PAUSE_SECONDS, _LONGEST_PAUSE = 1.0, 30.0


def main(arguments: Sequence[str]) -> int:
    """Watch until Ctrl-C."""
    options = _parser().parse_args(arguments)
    wanted = asked(options, top_k=1)
    if not options.folder.is_dir():
        raise ConfigError(f"There is no folder {str(options.folder)!r} to watch.")
    for name in ("interval", "settle", "patience"):
        if not getattr(options, name) >= 0:
            raise ConfigError(f"--{name}: seconds are wanted, got {getattr(options, name)}.")
    watch = FolderWatch(
        options.folder, settle_seconds=options.settle, patience_seconds=options.patience, existing=options.existing
    )
    if not options.existing:
        watch.look()  # before the model is loaded: what comes meanwhile is new
    recogniser = open_recogniser(options, wanted)
    print(recogniser.about, file=sys.stderr)
    print(f"Watching {options.folder}. Ctrl-C stops.", file=sys.stderr, flush=True)
    try:
        Watcher(watch, recogniser, JsonLines() if options.json else Lines()).run(options.interval)
    finally:
        recogniser.close()
    return 0


class Watcher:
    """Answers what comes.

    Args:
        watch: says what has come.
        recogniser: answers.
        printer: prints.
    """

    def __init__(self, watch: FolderWatch, recogniser: Recogniser, printer: Printer) -> None:
        self._watch, self._recogniser, self._printer = watch, recogniser, printer
        self._said = ""
        self._pause = 0.0

    def run(self, interval: float) -> None:
        """For ever.

        Args:
            interval: seconds between two looks.
        """
        while True:
            self.once()
            time.sleep(max(interval, self._pause))

    def once(self) -> None:
        """One look, and the answers to what was found."""
        try:
            ready = self._watch.look()
        except OSError as error:
            self._trouble(f"The folder cannot be read: {error.strerror}. Looking again.")
            return
        left, refused = dict.fromkeys(ready), False
        try:
            for path, outcome in self._recogniser.outcomes(ready):
                del left[path]
                if isinstance(outcome, ServiceProblem) and outcome.status in _NOT_NOW:
                    self._trouble(f"{outcome} Trying again.")
                    self._watch.give_again(path)
                    refused = True
                    continue
                code = code_of(outcome) if failed(outcome) else ""
                if code == _GONE or (code in _HALF_WRITTEN and self._watch.not_whole(path)):
                    continue
                self._printer.add(str(path), outcome)
        except ServiceProblem as problem:
            if problem.status is not None:  # it answers, and would say the same to every picture
                raise
            self._trouble(f"{problem} Trying again.")
            for path in left:
                self._watch.give_again(path)
            return
        if not refused:
            self._said, self._pause = "", 0.0

    def _trouble(self, what: str) -> None:
        if what != self._said:
            print(what, file=sys.stderr, flush=True)
        self._said, self._pause = what, min(_LONGEST_PAUSE, 2 * self._pause or _PAUSE_SECONDS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clip-har watch", description="Answer pictures as they come into a folder, or below it, until Ctrl-C."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="a line of JSON for each picture")
    parser.add_argument("--existing", action="store_true", help="also those that are there already")
    parser.add_argument(
        "--interval", type=float, default=0.5, metavar="S", help="seconds between two looks (default: %(default)s)"
    )
    parser.add_argument(
        "--settle",
        type=float,
        default=0.5,
        metavar="S",
        help="seconds for which a file must not have changed (default: %(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds after which a picture that is half there is reported as damaged (default: %(default)s)",
    )
    return parser
