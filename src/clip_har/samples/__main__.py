"""`python -m clip_har.samples`: look at the drawn world, or write pictures of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from clip_har.component import validated
from clip_har.errors import ClipHarError, ConfigError
from clip_har.progress import progress


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; 0 if it was done, 2 if it cannot be."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        _run(chosen)
    except ClipHarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m clip_har.samples", description="Photo-like scenes of people who act, drawn from a seed."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--contact-sheet", metavar="FILE", help="draw some pictures of each action into one PNG or JPEG")
    what.add_argument("--write", metavar="FOLDER", help="write a sample data set: a folder a class, with some flaws")
    what.add_argument("--pairs", metavar="FOLDER", help="write pictures with captions: images/ and pairs.parquet")
    parser.add_argument("--count", type=int, metavar="N", help="pictures of each action (with --pairs: of all)")
    parser.add_argument("--size", metavar="WxH", help="size of each picture in pixels, like 240x160")
    parser.add_argument("--actions", metavar="A,B", help="some of the actions; default: the 15 of HAR, or all 27")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed gives other pictures")
    parser.add_argument(
        "--dial", action="append", default=[], metavar="NAME=VALUE", help="a nuisance, 0 to 1, like light=0.6"
    )
    return parser


def _run(chosen: argparse.Namespace) -> None:
    from clip_har.samples.nuisances import Nuisances
    from clip_har.samples.pairs import PairsConfig, write_pairs
    from clip_har.samples.sample import SampleConfig, write_sample

    options: dict[str, Any] = {"seed": chosen.seed, "nuisances": validated(Nuisances, _dials(chosen.dial), "--dial")}
    if chosen.size:
        options |= dict(zip(("width", "height"), _size(chosen.size), strict=True))
    if chosen.actions:
        options["actions"] = tuple(part.strip() for part in chosen.actions.split(",") if part.strip())
    if chosen.contact_sheet:
        _write_sheet(chosen.contact_sheet, options | ({"per_action": chosen.count} if chosen.count is not None else {}))
        return
    kind, write, key = (
        (PairsConfig, write_pairs, "count") if chosen.pairs else (SampleConfig, write_sample, "per_class")
    )
    options |= {key: chosen.count} if chosen.count is not None else {}
    config = validated(kind, options)
    with progress("Drawing") as report:
        folder = write(chosen.pairs or chosen.write, config, report)
    print(folder)


def _write_sheet(file: str, options: dict[str, Any]) -> None:
    from clip_har.samples.sheet import contact_sheet

    place = Path(file)
    if place.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ConfigError(f"--contact-sheet: {file!r} should end in .png or .jpg.")
    try:
        sheet = contact_sheet(**options)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(place)
    except OSError as error:
        raise ConfigError(f"--contact-sheet: {file!r} cannot be written: {error}.") from error
    print(place)


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--size: width x height in pixels is wanted, like 240x160, not {text!r}.")
    return int(parts[0]), int(parts[1])


def _dials(texts: list[str]) -> dict[str, float]:
    dials = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            dials[name.strip()] = float(value)
        except ValueError:
            raise ConfigError(f"--dial: NAME=VALUE is wanted, like light=0.6, not {text!r}.") from None
    return dials


if __name__ == "__main__":
    sys.exit(main())
