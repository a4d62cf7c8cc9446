"""Shards of decoded pictures: plain tar files with a picture's pixels in one piece, read at any place.

A shard is what WebDataset calls one: a tar with a member a sample, `<id>.ppm` (a PPM is a line of text and the raw RGB
bytes), so that `tar`, any picture viewer and WebDataset's own loaders read it. Parquet would compress or at least page
many pictures together: training reads single pictures in random order, and would unpack a row group for each. What tar
lacks lies beside it: a table of where each picture's pixels are, and their checksums (`<name>.index.npy`).
"""

from __future__ import annotations

import io
import os
import tarfile
import zlib
from pathlib import Path

import numpy as np

from clip_har.errors import DataError
from clip_har.storage import write_atomic

_INDEX = np.dtype([("name", "S64"), ("offset", "<i8"), ("height", "<i4"), ("width", "<i4"), ("checksum", "<u4")])
_BLOCK = tarfile.BLOCKSIZE
INDEX_SUFFIX = ".index.npy"
MEMBER_BYTES = 3 * _BLOCK + _INDEX.itemsize  # at most, beside the pixels of a picture


class DamagedShard(DataError):
    """A shard whose bytes are not those that were written."""


class ShardWriter:
    """Writes one shard under a temporary name; `publish` renames it into place.

    Args:
        target: the tar file to be.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._partial = target.with_name(f"{target.name}.partial")
        self._rows: list[tuple[bytes, int, int, int, int]] = []
        self._file = open(self._partial, "wb")  # noqa: SIM115 - closed by publish or discard
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, name: str, pixels: np.ndarray) -> None:
        """Append a picture.

        Args:
            name: at most 64 ASCII characters.
            pixels: uint8 [h, w, 3].
        """
        height, width = pixels.shape[:2]
        line = f"P6\n{width} {height}\n255\n".encode()
        raw = np.ascontiguousarray(pixels).tobytes()
        member = tarfile.TarInfo(f"{name}.ppm")
        member.size = len(line) + len(raw)
        header = member.tobuf(tarfile.USTAR_FORMAT)
        offset = self.bytes + len(header) + len(line)
        for part in (header, line, raw, bytes(-member.size % _BLOCK)):
            self._file.write(part)
            self.bytes += len(part)
        self._rows.append((name.encode("ascii"), offset, height, width, zlib.crc32(raw)))

    def publish(self) -> Shard:
        """Close the shard and put it in place, its index last: a shard without an index is none."""
        self._file.write(bytes(2 * _BLOCK))
        self._file.close()
        os.replace(self._partial, self._target)
        index = np.array(self._rows, dtype=_INDEX)
        buffer = io.BytesIO()
        np.save(buffer, index, allow_pickle=False)
        write_atomic(index_of(self._target), buffer.getvalue())
        return Shard(self._target, index)

    def discard(self) -> None:
        """Leave nothing behind."""
        try:
            self._file.close()  # which may have bytes left to write, on a full disk
        except OSError:
            pass
        finally:
            self._partial.unlink(missing_ok=True)


class Shard:
    """A shard open for reading, from any thread. Read by position rather than mapped into memory: a file that has become
    shorter is then an error and not the end of the process.

    Attributes:
        index: a row a picture: name, offset, height, width, checksum.
    """

    def __init__(self, path: Path, index: np.ndarray) -> None:
        self.path = path
        self.index = index
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Open a published shard.

        Raises:
            DamagedShard: if it or its index cannot be read.
        """
        try:
            index = np.load(index_of(path), allow_pickle=False)
            if index.dtype != _INDEX or index.ndim != 1:
                raise DamagedShard(f"{index_of(path)} is not a shard's index.")
            return cls(path, index)
        except (OSError, ValueError, EOFError) as error:
            raise DamagedShard(f"{path} cannot be opened: {error}") from error

    def read(self, row: int) -> np.ndarray:
        """uint8 [h, w, 3] of the picture in a row of the index, its checksum compared; not writeable.

        Raises:
            DamagedShard: if the bytes are not those that were written.
        """
        _, offset, height, width, checksum = self.index[row]
        try:
            raw = os.pread(self._descriptor, int(height) * int(width) * 3, int(offset))
            if zlib.crc32(raw) == checksum:
                return np.frombuffer(raw, dtype=np.uint8).reshape(int(height), int(width), 3)
        except (OSError, ValueError, OverflowError) as error:
            raise DamagedShard(f"{self.path} cannot be read: {error}") from error
        raise DamagedShard(f"{self.path} is damaged: a picture's bytes are not those that were written.")


def index_of(path: Path) -> Path:
    """Where a shard's index lies."""
    return path.with_name(path.name.removesuffix(".tar") + INDEX_SUFFIX)


def remove_shard(path: Path) -> None:
    """Take a shard away, its index first."""
    index_of(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
