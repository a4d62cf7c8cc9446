"""A cache of decoded and resized pictures, so that a JPEG is decoded once for many epochs and runs.

One folder for each way of making pictures (`<key>/`: the hash of decoding and resizing), in it shards (`pixel_shards`)
with pictures by sample id, which is the hash of the file's bytes: a picture that changes is another picture.

Many processes may use a cache at one time. One of them at a time adds to a folder (a lock that dies with its holder);
the others read what is there and decode the rest. What a killed writer leaves is no shard yet, and the next one removes
it. Every picture's checksum is compared when it is read: a damaged shard is dropped and its pictures are made again.
"""

from __future__ import annotations

import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Literal

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.data.cache_folders import bytes_of, decoded_by, in_use, make_room
from clip_har.data.image import ImageLimits, read_image_bytes
from clip_har.data.pixel_shards import (
    INDEX_SUFFIX,
    MEMBER_BYTES,
    DamagedShard,
    Shard,
    ShardWriter,
    index_of,
    remove_shard,
)
from clip_har.hashing import sha256_bytes, sha256_json
from clip_har.storage import write_json

_FORMAT = 1
_GIGABYTE = 10**9
_SHARD_BYTES = 256 * 10**6
_MOST_SHARDS = 200  # they are all open at one time


class PixelCacheConfig(ComponentConfig):
    """Whether and how much of decoded pictures is kept on disk, in `pixels/` of the workspace."""

    enabled: Literal["auto", "always", "never"] = Field(
        "auto", description="auto: for data sets of more than `above` photographs."
    )
    above: int = Field(20_000, ge=0, description="Photographs above which auto keeps them.")
    max_gb: float = Field(
        20.0,
        gt=0,
        description="Most that is kept, in gigabytes (10^9 bytes); pictures made for what was used least recently go first.",
    )


class PixelCache:
    """Pictures kept on disk, by what was done to them and by sample.

    Args:
        folder: the cache's own; made when it is first used.
        config: what is kept.
    """

    def __init__(self, folder: str | Path, config: PixelCacheConfig | None = None) -> None:
        self.folder = Path(folder)
        self.config = config or PixelCacheConfig()
        self.max_bytes = round(self.config.max_gb * _GIGABYTE)

    def serves(self, samples: int) -> bool:
        """Whether a data set of so many photographs is kept."""
        if self.config.enabled == "auto":
            return samples > self.config.above
        return self.config.enabled == "always"

    @contextmanager
    def open(self, made: Mapping[str, Any], code: Sequence[ModuleType] = ()) -> Iterator[CachedPictures]:
        """The pictures that are made in one way; what is added in the block is in place when it ends.

        Args:
            made: all that a picture's pixels depend on, its file apart, as JSON.
            code: modules that make them, beside the decoder: pictures that other code made are others.
        """
        about = {"format": _FORMAT, "made": dict(made), **decoded_by(code)}
        folder = self.folder / sha256_json(about)[:16]
        pictures = CachedPictures(folder, self)
        used: IO[bytes] | None = None
        try:
            used = in_use(folder)
            if not (folder / "about.json").is_file():
                write_json(folder / "about.json", about)
            pictures.refresh()
        except OSError as error:
            pictures.stop(error)
        try:
            yield pictures
        finally:
            pictures.close()
            if used is not None:
                used.close()

    def bytes(self) -> int:
        """Bytes of everything in it."""
        return bytes_of(self.folder)

    def room(self, wanted: int, keep: Path) -> int:
        """Bytes that more pictures may take, after dropping folders until `wanted` are free or none can be dropped.

        Args:
            keep: the folder that they are for. Folders in use stay too; the least recently used go first.
        """
        return make_room(self.folder, wanted, self.max_bytes, (keep,))


@dataclass(frozen=True)
class _Table:
    """Where pictures are: sorted names, and for each the number of its shard and its row there."""

    shards: tuple[Shard, ...]
    names: np.ndarray
    numbers: np.ndarray
    rows: np.ndarray

    def place_of(self, identity: str) -> tuple[Shard, int] | None:
        wanted = np.bytes_(identity.encode())
        at = int(np.searchsorted(self.names, wanted))
        if at == len(self.names) or self.names[at] != wanted:
            return None
        return self.shards[self.numbers[at]], int(self.rows[at])


def _table(shards: tuple[Shard, ...]) -> _Table:
    names = np.concatenate([np.empty(0, dtype="S64"), *(shard.index["name"] for shard in shards)])
    lengths = [len(shard.index) for shard in shards]
    numbers = np.repeat(np.arange(len(shards), dtype=np.int32), lengths)
    rows = np.concatenate([np.empty(0, dtype=np.int32), *(np.arange(length, dtype=np.int32) for length in lengths)])
    order = np.argsort(names, kind="stable")
    return _Table(shards, names[order], numbers[order], rows[order])


class CachedPictures:
    """Pictures made in one way; safe for many threads.

    Attributes:
        hits: pictures that were read.
        decoded: pictures that were not there.
        damaged: shards that were dropped since they were damaged.
    """

    def __init__(self, folder: Path, cache: PixelCache) -> None:
        self.hits = self.decoded = self.damaged = 0
        self._folder, self._cache = folder, cache
        self._table = _table(())
        self._lock = threading.RLock()
        self._stopped = False
        self._writing: IO[bytes] | None = None
        self._writer: ShardWriter | None = None
        self._room = 0
        self._pending: set[str] = set()
        self._shard_bytes = max(min(_SHARD_BYTES, cache.max_bytes // 8), cache.max_bytes // _MOST_SHARDS)

    def get(
        self,
        identity: str,
        path: str | Path,
        make: Callable[[bytes], np.ndarray],
        limits: ImageLimits | None = None,
    ) -> np.ndarray:
        """A picture: read, or made and kept.

        Args:
            identity: sha256 of the file's bytes. Pictures of a file that has other bytes now are made and not kept.
            path: the file.
            make: the file's bytes → uint8 [h, w, 3].
            limits: of the file's size.

        Raises:
            ImageError: if the file cannot be read, or `make` raises it.
        """
        found = self._find(identity)
        if found is not None:
            return found
        data = read_image_bytes(path, limits or ImageLimits())
        pixels = make(data)
        verified = not self._stopped and sha256_bytes(data) == identity
        with self._lock:
            self.decoded += 1
            if verified:
                self._keep(identity, pixels)
        return pixels

    def __len__(self) -> int:
        return len(self._table.names)

    def refresh(self) -> None:
        """See what is in place now; damaged shards are removed."""
        shards = []
        for index in sorted(self._folder.glob(f"*{INDEX_SUFFIX}")):
            path = index.with_name(index.name.removesuffix(INDEX_SUFFIX) + ".tar")
            try:
                shards.append(Shard.open(path))
            except DamagedShard:
                if index.exists():  # else another process has just removed it
                    self.damaged += 1
                    remove_shard(path)
        self._table = _table(tuple(shards))

    def _find(self, identity: str) -> np.ndarray | None:
        table = self._table
        place = table.place_of(identity)
        if place is None:
            return None
        shard, row = place
        try:
            pixels = shard.read(row)
        except DamagedShard:
            self._forget(shard)
            return None
        with self._lock:
            self.hits += 1
        return pixels

    def _forget(self, shard: Shard) -> None:
        with self._lock:
            if shard in self._table.shards:
                self.damaged += 1
                remove_shard(shard.path)
                self._table = _table(tuple(other for other in self._table.shards if other is not shard))

    def _keep(self, identity: str, pixels: np.ndarray) -> None:
        if self._stopped or identity in self._pending:
            return
        try:
            if not self._may_write():
                return
            size = pixels.nbytes + MEMBER_BYTES
            if self._writer is not None and self._writer.bytes + size > self._room:
                self._publish()
            if self._writer is None:
                self._room = min(self._shard_bytes, self._cache.room(self._shard_bytes, self._folder))
                if size > self._room:
                    self._stopped = True  # full
                    return
                self._writer = ShardWriter(self._folder / f"{uuid.uuid4().hex[:12]}.tar")
            self._writer.add(identity, pixels)
            self._pending.add(identity)
        except OSError as error:
            self.stop(error)

    def _may_write(self) -> bool:
        import fcntl

        if self._writing is not None:
            return True
        lock = open(self._folder / "writing", "ab")  # noqa: SIM115 - closed by close()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            self._stopped = True  # another process adds pictures
            return False
        self._writing = lock
        for killed in (*self._folder.glob("*.tar*"), *self._folder.glob(f".*{INDEX_SUFFIX}.*")):
            if killed.suffix == ".partial" or not index_of(killed).exists():
                killed.unlink(missing_ok=True)
        return True

    def _publish(self) -> None:
        writer = self._writer
        assert writer is not None
        self._table = _table((*self._table.shards, writer.publish()))
        self._writer = None
        self._pending.clear()

    def stop(self, error: OSError) -> None:
        """Go on without adding: a full or read-only disk stops no training."""
        self._stopped = True
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
        warnings.warn(
            f"The pixel cache {self._folder} cannot be written ({error.strerror or error}): pictures that are not in it "
            "are decoded each time.",
            stacklevel=2,
        )

    def close(self) -> None:
        """Put what was added in place and let others add."""
        with self._lock:
            self._stopped = True
            try:
                if self._writer is not None and len(self._writer):
                    self._publish()
            except OSError as error:
                self.stop(error)
            finally:
                if self._writing is not None:
                    self._writing.close()
                    self._writing = None
