"""What a source of pictures is: a stream of items in a fixed order, of which few are held at one time."""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from clip_har.capture.statistics import image_statistics
from clip_har.component import ComponentConfig
from clip_har.data.image import ImageLimits
from clip_har.errors import DataError, ImageError
from clip_har.inference.pictures import PendingPicture

if TYPE_CHECKING:
    from PIL import Image

_BYTES_IN_FLIGHT = 256_000_000
Fetched = bytes | np.ndarray


class BatchSourceConfig(ComponentConfig):
    """Base of the sources' configs; `kind` names which one it is."""

    kind: str = Field(description="Kind of the source.")
    path: str = Field(min_length=1, description="Where it is.")


@dataclass(frozen=True)
class Fingerprint:
    """What a source looked like when it was listed.

    Attributes:
        digest: changes when what the source gives may have changed (of files: their sizes and times).
        count: how many items it has; None where that is known only at its end.
    """

    digest: str
    count: int | None


class Item(PendingPicture):
    """One picture of a source.

    Args:
        path: as found, printable.
        fetch: gives a file's bytes or the pixels uint8 [h, w, 3]; raises ImageError.

    Attributes:
        sha256: of what was fetched; None until then, and if it could not be.
        width, height: upright, in pixels; None until it is decoded.
        bytes: of the file; None until it was fetched, and for pixels that were no file.
        measured: whether statistics are wanted.
        statistics: brightness, contrast …; None until it is decoded, and if they are not wanted.
    """

    __slots__ = ("_fetch", "bytes", "height", "measured", "path", "sha256", "statistics", "width")

    def __init__(self, path: str, fetch: Callable[[], Fetched]) -> None:
        self.path = path
        self._fetch: Callable[[], Fetched] | None = fetch
        self.sha256: str | None = None
        self.width: int | None = None
        self.height: int | None = None
        self.bytes: int | None = None
        self.measured = False
        self.statistics: dict[str, float] | None = None

    def read(self) -> Fetched:
        """Fetch it: once, since what was fetched is not kept."""
        assert self._fetch is not None, f"{self.path} was fetched already"
        fetch, self._fetch = self._fetch, None
        data = fetch()
        self.sha256 = hashlib.sha256(data if isinstance(data, bytes) else np.ascontiguousarray(data)).hexdigest()
        self.bytes = len(data) if isinstance(data, bytes) else None
        return data

    def decoded(self, width: int, height: int) -> None:
        """Its size, now that it is known."""
        self.width, self.height = width, height

    def seen(self, picture: Image.Image) -> None:
        """The picture itself; its statistics are taken if they are wanted."""
        if self.measured:
            self.statistics = image_statistics(picture)

    def drop(self) -> None:
        """It will not be fetched: what it holds is let go."""
        fetch, self._fetch = self._fetch, None
        if isinstance(fetch, Held):
            fetch()


class BytesInFlight:
    """A bound on the bytes that items hold between a sequential source and the threads that decode."""

    def __init__(self, limit: int = _BYTES_IN_FLIGHT) -> None:
        self._limit, self._used, self._items = limit, 0, 0
        self._changed = threading.Condition()

    def hold(self, data: Fetched) -> Held:
        """What gives `data` once; waits while too much is held. Two items are always let through: a stream begins with two."""
        size = data.nbytes if isinstance(data, np.ndarray) else len(data)
        with self._changed:
            self._changed.wait_for(lambda: self._items < 2 or self._used + size <= self._limit)
            self._used += size
            self._items += 1
        return Held(data, lambda: self._release(size))

    def _release(self, size: int) -> None:
        with self._changed:
            self._used -= size
            self._items -= 1
            self._changed.notify_all()


class Held:
    """Data that a source had to read when it came to them; given once."""

    def __init__(self, data: Fetched, release: Callable[[], None]) -> None:
        self._data, self._release = data, release

    def __call__(self) -> Fetched:
        self._release()
        return self._data


class BatchSource(ABC):
    """Base of all sources. Can be pickled; nothing is opened until it is asked for items.

    Attributes:
        random_access: whether items can be fetched from the middle at no cost; otherwise all before them are read too.
        expected: about how many items there are, as far as a source that is being read knows; None if it does not.
    """

    Config: ClassVar[type[BatchSourceConfig]]
    random_access: ClassVar[bool] = True

    def __init__(self, config: BatchSourceConfig, limits: ImageLimits) -> None:
        self.config, self.limits = config, limits
        self.place = Path(config.path).expanduser().absolute()
        self.expected: int | None = None

    @abstractmethod
    def check(self) -> None:
        """Find what can be found wrong in a moment.

        Raises:
            ConfigError: if something that it needs is not installed.
            DataError: if it is not there, or not what it should be.
        """

    @abstractmethod
    def fingerprint(self) -> Fingerprint:
        """Look at all of it, without reading pictures where that can be helped."""

    @abstractmethod
    def items(self, start: int = 0, stop: int | None = None) -> Iterator[Item]:
        """Items number `start` up to `stop`, always in the same order. What cannot be used is an item too."""

    def require_file(self) -> None:
        """DataError if the source's path is no file."""
        if not self.place.exists():
            raise DataError(f"batch.source: there is no file {self.config.path!r} (looked in {self.place.parent}).")
        if not self.place.is_file():
            raise DataError(
                f"batch.source: {self.config.path!r} is not a file; for a {self.config.kind} one is wanted."
            )


def failing(reason: str, message: str) -> Callable[[], Fetched]:
    """A fetch of what is known not to be usable."""

    def fetch() -> Fetched:
        raise ImageError(reason, message)

    return fetch


def stamp_of(path: Path) -> str:
    """Size and time of change of a file, which tell that it is another now."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return "-"
    return f"{found.st_size}:{found.st_mtime_ns}"


def is_hidden(name: str) -> bool:
    """Whether a file or folder is a system's own and no picture of anybody's."""
    if name in (".", ".."):  # steps of a path in an archive
        return False
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")
