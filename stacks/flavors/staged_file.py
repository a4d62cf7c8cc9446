"""A file being written: what counts is what it holds when it is closed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any


class StagedFile:
    """A file object over a temporary file, handed over when it is closed.

    Left by an exception, or never closed, it is thrown away: half-written files are never stored.

    Args:
        temporary: the file to write to; this object's to remove.
        mode: as for `open`.
        commit: takes the temporary file's name once it is closed.
        name: how the store calls the file.
    """

    def __init__(self, temporary: str, mode: str, commit: Callable[[str], None], name: str) -> None:
        self._temporary = temporary
        self._commit = commit
        self._file = open(temporary, mode, encoding=None if "b" in mode else "utf-8")  # noqa: SIM115
        self.name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_file"], name)

    def __enter__(self) -> StagedFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)

    def close(self) -> None:
        """Store the file; closing again does nothing."""
        if self._file.closed:
            return
        try:
            self._file.close()
            self._commit(self._temporary)
        finally:
            self._remove()

    def discard(self) -> None:
        """Close without storing."""
        self._file.close()
        self._remove()

    def __del__(self) -> None:
        file = self.__dict__.get("_file")
        if file is not None and not file.closed:
            warnings.warn(f"{self.name} was never closed, so it was not stored.", ResourceWarning, stacklevel=2)
            self.discard()

    def _remove(self) -> None:
        with suppress(FileNotFoundError):  # it was moved into the cache
            os.unlink(self._temporary)
