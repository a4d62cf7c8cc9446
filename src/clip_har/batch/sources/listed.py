"""A text file with a path on each line."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import Field

from clip_har.batch.sources.base import BatchSource, BatchSourceConfig, Fingerprint, Item, stamp_of
from clip_har.batch.sources.folder import read_found
from clip_har.data.image import ImageLimits
from clip_har.data.sources.base import printable


class ListSourceConfig(BatchSourceConfig):
    """A list of pictures."""

    kind: Literal["list"] = "list"
    root: str = Field(".", description="Folder that relative paths in the list start from; the current one.")


class ListSource(BatchSource):
    """The files that a list names, in its order. Empty lines are left out; a file that is missing is a row."""

    Config = ListSourceConfig
    config: ListSourceConfig

    def __init__(self, config: ListSourceConfig, limits: ImageLimits) -> None:
        super().__init__(config, limits)
        self._root = Path(config.root).expanduser().absolute()

    def check(self) -> None:
        self.require_file()

    def fingerprint(self) -> Fingerprint:
        digest, count = hashlib.sha256(str(self._root).encode("utf-8", "surrogateescape")), 0
        for line in self._lines():
            digest.update(line + b"\0" + stamp_of(self._root / os.fsdecode(line)).encode() + b"\0")
            count += 1
        return Fingerprint(digest.hexdigest(), count)

    def items(self, start: int = 0, stop: int | None = None) -> Iterator[Item]:
        for line in islice(self._lines(), start, stop):
            name = os.fsdecode(line)
            shown = printable(name)
            yield Item(shown, partial(read_found, self._root / name, shown, self.limits))

    def _lines(self) -> Iterator[bytes]:
        with open(self.place, "rb") as file:
            for line in file:
                stripped = line.rstrip(b"\r\n")
                if stripped.strip():
                    yield stripped
