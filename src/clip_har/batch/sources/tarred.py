"""A TAR archive, plain or compressed, read once from its beginning to its end: nothing is unpacked to disk."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, Literal

from pydantic import Field

from clip_har.batch.sources.base import (
    BatchSource,
    BatchSourceConfig,
    BytesInFlight,
    Fetched,
    Fingerprint,
    Item,
    failing,
    is_hidden,
    stamp_of,
)
from clip_har.data.sources.base import printable
from clip_har.errors import DataError

_READ = 1 << 20  # also the largest header that is believed
_ALWAYS_ALLOWED = 1 << 30
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_DAMAGES = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)


class TarSourceConfig(BatchSourceConfig):
    """A TAR archive of pictures."""

    kind: Literal["tar"] = "tar"
    max_ratio: float = Field(
        100.0,
        gt=1,
        description="How many times its own size a compressed archive may unpack to (a GB it always may).",
    )


class TarSource(BatchSource):
    """The files of a TAR archive in their order. One that is cut short or damaged ends with a row that says so."""

    Config = TarSourceConfig
    config: TarSourceConfig
    random_access = False

    def check(self) -> None:
        self.require_file()
        with open(self.place, "rb") as file:
            head = file.read(512)
        if not any(head.startswith(magic) for magic in _OPENERS) and head[257:262] != b"ustar":
            raise DataError(f"batch.source: {self.config.path!r} is no TAR archive (plain, gzip, bzip2 or xz).")

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(hashlib.sha256(stamp_of(self.place).encode()).hexdigest(), None)

    def items(self, start: int = 0, stop: int | None = None) -> Iterator[Item]:
        flying, number = BytesInFlight(), 0
        with open(self.place, "rb") as raw:
            size = self.place.stat().st_size
            allowed = max(_ALWAYS_ALLOWED, int(self.config.max_ratio * size))
            try:
                stream = _Forward(_opened(raw), allowed)
                with tarfile.TarFile(fileobj=stream, errorlevel=0) as archive:  # type: ignore[arg-type]
                    while (member := archive.next()) is not None:
                        archive.members = []  # which it would keep
                        if member.isdir() or any(
                            is_hidden(part) for part in member.name.split("/") if part[:2] != ".."
                        ):
                            continue
                        if stop is not None and number >= stop:
                            return
                        if number >= start:
                            shown = printable(f"{self.config.path}!{member.name}")
                            yield Item(shown, self._fetch(archive, member, shown, flying))
                        number += 1
                        self.expected = max(number, round(number * size / max(raw.tell(), 1)))
                    if len(stream.last) != tarfile.BLOCKSIZE or stream.last.strip(b"\0"):
                        raise tarfile.ReadError("no header follows, and no end")  # which tarfile takes for the end
            except _DAMAGES as error:
                if number >= start and (stop is None or number < stop):
                    said = f"The archive {self.config.path} is damaged after {number} files: {error}."
                    yield Item(printable(self.config.path), failing("truncated", said))

    def _fetch(self, archive: tarfile.TarFile, member: tarfile.TarInfo, shown: str, flying: BytesInFlight) -> partial:
        limit = self.limits.max_bytes
        if not member.isreg():
            what = "a link; links" if member.islnk() or member.issym() else "a device; devices"
            return failing("not_an_image", f"{shown} is {what} in archives are not followed.")
        if member.size > limit:
            said = f"{shown} has {member.size:,} bytes; at most {limit:,} are allowed."
            return failing("too_many_bytes", said)
        file, parts = archive.extractfile(member), []
        assert file is not None
        while chunk := file.read(_READ):
            parts.append(chunk)
        data: Fetched = b"".join(parts)
        if len(data) != member.size:
            raise EOFError("it ends early")
        return flying.hold(data)


def _opened(raw: BinaryIO) -> BinaryIO:
    head = raw.read(6)
    raw.seek(0)
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
    return raw if opener is None else opener(raw, "rb")


class _Forward:
    """A stream that is read forward only, no more at a time than a header can need, and no more in all than is allowed.

    Attributes:
        last: what was read last.
    """

    def __init__(self, stream: BinaryIO, allowed: int) -> None:
        self._stream, self._allowed, self._place = stream, allowed, 0
        self.last = b""

    def read(self, size: int) -> bytes:
        if size > _READ + tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        parts = []
        while size > 0 and (part := self._stream.read(size)):
            parts.append(part)
            size -= len(part)
            self._place += len(part)
            if self._place > self._allowed:
                raise tarfile.ReadError(f"it unpacks to more than the {self._allowed:,} bytes that are allowed")
        self.last = b"".join(parts)
        return self.last

    def tell(self) -> int:
        return self._place

    def seek(self, place: int) -> int:
        if place < self._place:
            raise tarfile.StreamError("it would have to be read backward")
        while self._place < place:
            if not self.read(min(place - self._place, _READ)):
                raise tarfile.ReadError("it ends early")
        return self._place
