"""What was named on the command line → picture files: files, folders, patterns that no shell has expanded."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from clip_har.client.folders import SUFFIXES, files_of
from clip_har.errors import ConfigError, did_you_mean

STDIN = "-"


def picture_paths(given: Sequence[str]) -> tuple[Iterator[Path], int]:
    """The files, one after the other, and how many there are.

    Raises:
        ConfigError: if something is not there, or a folder or pattern has no picture.
    """
    parts: list[Iterator[Path]] = []
    total = 0
    for name in given:
        files, count = _named(name)
        parts.append(files)
        total += count
    return chain.from_iterable(parts), total


def _named(name: str) -> tuple[Iterator[Path], int]:
    path = Path(name)
    if _is_there(path):
        files, count = files_of(path)
        if not count:
            raise ConfigError(
                f"There is no picture in the folder {name!r}; their names end with {', '.join(SUFFIXES)}."
            )
        return files, count or 0
    if glob.has_magic(name):
        found = [path for one in sorted(glob.glob(name, recursive=True)) if (path := Path(one)).is_file()]
        if not found:
            raise ConfigError(f"No file fits {name!r}.")
        return iter(found), len(found)
    raise ConfigError(f"There is no file or folder {name!r}.{_nearest(path)}")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL
        raise ConfigError(f"{str(path)[:80]!r} is no file's name: {error}.") from None


def _nearest(path: Path) -> str:
    try:
        beside = [one.name for one in path.parent.iterdir()]
    except OSError:
        return ""
    said = did_you_mean(path.name, beside)
    return f" {said}" if said.startswith("Did") else ""
