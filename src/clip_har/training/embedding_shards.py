"""Rows of numbers by sample on disk: what one encoder made of photographs, in shards that are only ever added.

A shard is a safetensors file with `ids` (uint8 [n, 32], the samples' sha256), `rows` (float32 [n, d]) and a checksum over
both. It is written under a temporary name and renamed, so that nobody reads half of one. One process at a time adds to a
folder (a lock that dies with its holder); others read meanwhile, and see when the holder gets on.
"""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from clip_har.data.cache_folders import in_use, modified
from clip_har.hashing import sha256_arrays
from clip_har.storage import write_atomic, write_json

logger = logging.getLogger(__name__)

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SECONDS_OF_A_WRITE = 600.0  # a temporary file that is older is a killed writer's


class RowFolder:
    """The shards of one kind of rows; used by one call at a time.

    Args:
        folder: made when it is opened.
        about: what made the rows, for people who look there.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self._about = dict(about)
        self._used: IO[bytes] | None = None
        self._turn: IO[bytes] | None = None
        self._seen: set[str] = set()

    def open(self) -> None:
        """Keep it from being dropped until `close`."""
        self._used = in_use(self.folder)
        if not (self.folder / "about.json").is_file():
            write_json(self.folder / "about.json", self._about)

    def close(self) -> None:
        """Let it go."""
        for file in (self._used, self._turn):
            if file is not None:
                file.close()  # which lets go of the lock too
        self._used = self._turn = None

    def fresh(self) -> list[tuple[list[str], np.ndarray]]:
        """(ids, rows float32 [n, d]) of each shard that was added since the last call; a damaged one is removed."""
        found = []
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name in self._seen:
                continue
            self._seen.add(path.name)
            try:
                found.append(_read(path))
            except FileNotFoundError:  # another process has just removed it
                continue
            except OSError as error:  # too many open files, say: the shard may be whole
                logger.warning("The shard %s of the embedding cache cannot be read: %s.", path, error)
            except ValueError as error:
                logger.warning(
                    "The shard %s of the embedding cache is damaged (%s): it is removed, and its photographs are encoded "
                    "again.",
                    path,
                    error,
                )
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        return found

    def add(self, ids: Sequence[str], rows: np.ndarray) -> None:
        """Put a shard in place.

        Raises:
            OSError: if it cannot be written; nothing of it is left then.
        """
        path = self.folder / f"{uuid.uuid4().hex[:16]}.safetensors"
        self._seen.add(path.name)
        write_atomic(path, _packed(ids, rows))

    def take_turn(self) -> bool:
        """Be the one who adds, until `close`; False while another process is. A killed predecessor's rest is removed."""
        import fcntl

        if self._turn is not None:
            return True
        lock = open(self.folder / "writing", "ab")  # noqa: SIM115 - close() closes it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._turn = lock
        self.show_headway()
        for partial in self.folder.glob(".*.partial"):
            if time.time() - modified(partial) > _SECONDS_OF_A_WRITE:
                partial.unlink(missing_ok=True)
        return True

    def show_headway(self) -> None:
        """Let those who wait know that their turn is being worked for."""
        if self._turn is not None:
            os.utime(self.folder / "writing")

    def seconds_without_headway(self) -> float:
        """Since the process whose turn it is got on."""
        return time.time() - modified(self.folder / "writing")


def size_of_shard(rows: int, width: int) -> int:
    """Bytes of a shard, at most."""
    return rows * (32 + 4 * width) + 1024


def can_be_kept(identity: str) -> bool:
    """Whether a sample's id may be a hash of its bytes at all."""
    return _SHA256.fullmatch(identity) is not None


def _packed(ids: Sequence[str], rows: np.ndarray) -> bytes:
    from safetensors.numpy import save

    packed = np.frombuffer(b"".join(map(bytes.fromhex, ids)), dtype=np.uint8).reshape(len(ids), 32)
    arrays = {"ids": packed, "rows": np.ascontiguousarray(rows, dtype=np.float32)}
    return save(arrays, {"sha256": sha256_arrays(arrays)})


def _read(path: Path) -> tuple[list[str], np.ndarray]:
    """ids and rows of a shard.

    Raises:
        ValueError: if its bytes are not those that were written.
        FileNotFoundError: if it is not there.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            written = (file.metadata() or {}).get("sha256")
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    if set(arrays) != {"ids", "rows"} or sha256_arrays(arrays) != written:
        raise ValueError("its checksum is another")
    return [row.tobytes().hex() for row in arrays["ids"]], arrays["rows"]
