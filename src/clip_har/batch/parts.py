"""The parts of a table that is being made, in a folder here or at any place that fsspec knows, and what they belong to."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_har.batch.table import parquet_bytes, write_table
from clip_har.errors import ConfigError, DataError
from clip_har.storage import write_atomic

if TYPE_CHECKING:
    import pyarrow as pa

_MANIFEST = "_clip_har_batch.json"  # readers of partitioned tables leave out what begins with an underscore
_NAME = re.compile(r"part-(\d{6,})\.(parquet|csv|jsonl)")


class PartStore:
    """Numbered parts, each written whole or not at all. Can be pickled.

    Args:
        url: a folder, or a URL that fsspec knows.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ConfigError(f"batch.output: {url!r} cannot be written to: {error}.") from error
        self.url = url
        self._local = "file" in (
            self._files.protocol if isinstance(self._files.protocol, tuple) else (self._files.protocol,)
        )

    def is_inside(self, folder: Path) -> bool:
        """Whether the parts are written below a folder of this machine."""
        return self._local and Path(self._root).resolve().is_relative_to(folder.resolve())

    def manifest(self) -> dict[str, Any] | None:
        """What the parts belong to; None if there is none that can be read."""
        try:
            found = json.loads(self._files.cat_file(self._path(_MANIFEST)))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write down what the parts belong to."""
        self._write(_MANIFEST, (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode())

    def begin(self, manifest: dict[str, Any]) -> None:
        """Remove all parts and begin with others.

        Raises:
            DataError: if there are parts that no job of ours has left.
        """
        names = self._names()
        if names and self.manifest() is None:
            raise DataError(
                f"batch.output: {self.url} holds {names[0]} already, which no unfinished job has left. Name an empty folder."
            )
        for name in names:
            self._files.rm_file(self._path(name))
        self.write_manifest(manifest)

    def numbers(self) -> list[int]:
        """Numbers of the parts that are there, rising."""
        found = (_NAME.fullmatch(name) for name in self._names())
        return sorted(int(match[1]) for match in found if match and match[2] == "parquet")

    def rows(self, number: int) -> int:
        """Rows of a part; 0 if it is damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self._files.open(self._path(_name(number)), "rb") as file:
                return pq.read_metadata(file).num_rows
        except (pa.ArrowException, OSError):
            return 0

    def write(self, number: int, table: pa.Table) -> None:
        """Write a part."""
        self._write(_name(number), parquet_bytes(table))

    def remove(self, number: int) -> None:
        """Remove a part."""
        self._files.rm_file(self._path(_name(number)))

    def tables(self) -> Iterator[pa.Table]:
        """All parts in order, one at a time."""
        for number in self.numbers():
            yield self.read(number)

    def read(self, number: int) -> pa.Table:
        """A part."""
        import pyarrow.parquet as pq

        with self._files.open(self._path(_name(number)), "rb") as file:
            return pq.read_table(file)

    def convert(self, kind: str) -> None:
        """Make each part one of another format."""
        for number in self.numbers():
            buffer = io.BytesIO()
            write_table([self.read(number)], buffer, kind)
            self._write(_name(number, kind), buffer.getvalue())
        for number in self.numbers():
            self.remove(number)

    def clear(self) -> None:
        """Remove all of it."""
        self._files.rm(self._root, recursive=True)

    def _names(self) -> list[str]:
        self._files.invalidate_cache()
        try:
            found = self._files.ls(self._root, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for path in found if _NAME.fullmatch(name := path.rstrip("/").rsplit("/", 1)[-1]))

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _write(self, name: str, data: bytes) -> None:
        if self._local:
            write_atomic(self._path(name), data)
        else:  # object stores show a file when all of it is there
            self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(self._path(name), data)


def _name(number: int, kind: str = "parquet") -> str:
    return f"part-{number:06d}.{kind}"
