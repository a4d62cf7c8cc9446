"""`clip-har predict`: what people do in pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from clip_har.client import Outcome, PictureResult, heat_map_of
from clip_har.errors import ConfigError
from clip_har.progress import progress
from clip_har.storage import write_atomic
from clip_har.terminal.inputs import STDIN, picture_paths
from clip_har.terminal.printing import Csv, JsonLines, Printer, Tables, failed
from clip_har.terminal.recognisers import Recogniser, add_arguments, asked, open_recogniser

_TOP_K = 3
_NAME_OF_STDIN = "standard input"


def main(arguments: Sequence[str]) -> int:
    """Answer for each picture; 0 if all could be answered, 1 if some could not."""
    options = _parser().parse_args(arguments)
    wanted = asked(options, top_k=_TOP_K, explain=options.explain is not None)
    stdin = STDIN in options.files
    if stdin and len(options.files) > 1:
        raise ConfigError("'-' (a picture from standard input) stands alone, without other files.")
    paths, total = (iter(()), 1) if stdin else picture_paths(options.files)
    maps = None if options.explain is None else HeatMaps(options.explain, total)
    recogniser = open_recogniser(options, wanted)
    print(recogniser.about, file=sys.stderr)
    try:
        answers = _from_stdin(recogniser) if stdin else ((str(path), one) for path, one in recogniser.outcomes(paths))
        printer = JsonLines() if options.json else Csv() if options.csv else Tables()
        bad = _print(answers, printer, maps, total)
    finally:
        recogniser.close()
    if bad and total > 1:
        print(f"{bad} of {total} pictures could not be answered.", file=sys.stderr)
    return 1 if bad else 0


class HeatMaps:
    """Where heat maps are written.

    Args:
        place: a folder; or, for one picture, a file that ends with .png.
        total: pictures that there are.

    Raises:
        ConfigError: if it is no such place.
    """

    def __init__(self, place: Path, total: int) -> None:
        self._single = place.suffix.lower() == ".png"
        self._place, self._used = place, set[str]()
        if self._single and total > 1:
            raise ConfigError(f"--explain: {total} heat maps do not go into one file; name a folder.")
        if not self._single and place.exists() and not place.is_dir():
            raise ConfigError(f"--explain: {place} is a file; a folder, or a name that ends with .png, is wanted.")

    def write(self, name: str, png: bytes) -> Path:
        """The file of one."""
        target = self._place
        if not self._single:
            stem, number = Path(name).name, 1
            free = f"{stem}.png"
            while free in self._used:
                number += 1
                free = f"{stem}.{number}.png"
            self._used.add(free)
            target = self._place / free
        return write_atomic(target, png)


def _print(answers: Iterator[tuple[str, Outcome]], printer: Printer, maps: HeatMaps | None, total: int) -> int:
    """How many there was no answer for."""
    bad = 0
    # A bar would be drawn through the table.
    shown = nullcontext(lambda done, total: None) if total < 2 or sys.stdout.isatty() else progress("pictures")
    with shown as report:
        for done, (name, outcome) in enumerate(answers, start=1):
            written = None
            if maps is not None and isinstance(outcome, PictureResult) and (png := heat_map_of(outcome)) is not None:
                written = maps.write(name, png)
            printer.add(name, outcome, written)
            bad += failed(outcome)
            report(done, total)
    printer.close()
    return bad


def _from_stdin(recogniser: Recogniser) -> Iterator[tuple[str, Outcome]]:
    yield _NAME_OF_STDIN, recogniser.one(sys.stdin.buffer.read())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clip-har predict",
        description="What people do in pictures. A key for the service is taken from the environment's CLIP_HAR_KEY.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, folders, patterns; - for standard input")
    add_arguments(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a line of JSON for each picture")
    form.add_argument("--csv", action="store_true", help="a row for each picture; lists with | between")
    parser.add_argument(
        "--explain", type=Path, metavar="OUT", help="write heat maps into this folder; or, for one picture, this .png"
    )
    return parser
