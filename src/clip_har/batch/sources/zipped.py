"""A ZIP archive, read where it lies: nothing is unpacked to disk, and names in it are only ever text.

Python's `zipfile` holds an object for each member. Here the archive's directory is read as a stream, and each member on its
own, in the thread that decodes it (APPNOTE.TXT 6.3.10, sections 4.3 to 4.5).
"""

from __future__ import annotations

import bz2
import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import BinaryIO, Literal

from clip_har.batch.sources.base import BatchSource, BatchSourceConfig, Fingerprint, Item, is_hidden, stamp_of
from clip_har.data.sources.base import printable
from clip_har.errors import DataError, ImageError

_END, _END64, _LOCATOR64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
_ENTRY, _LOCAL = struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 1 << 16
_STORED, _DEFLATED, _BZIP2 = 0, 8, 12
_ENCRYPTED, _UTF8 = 0x1, 0x800
_UNIX, _LINK = 3, 0o120000
_READ = 1 << 16


class ZipSourceConfig(BatchSourceConfig):
    """A ZIP archive of pictures."""

    kind: Literal["zip"] = "zip"


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    is_link: bool


@dataclass(frozen=True)
class _Directory:
    start: int
    size: int
    shift: int  # bytes that were put before the archive


class ZipSource(BatchSource):
    """The files of a ZIP archive, in the order of its directory. A damaged, encrypted or oversized member is a row."""

    Config = ZipSourceConfig
    config: ZipSourceConfig

    def check(self) -> None:
        self.require_file()
        with open(self.place, "rb") as file:
            self._directory(file)

    def fingerprint(self) -> Fingerprint:
        with open(self.place, "rb") as file:
            directory = self._directory(file)
            file.seek(directory.start)
            digest = hashlib.sha256(stamp_of(self.place).encode())
            left = directory.size
            while left and (chunk := file.read(min(left, _READ))):
                digest.update(chunk)
                left -= len(chunk)
        return Fingerprint(digest.hexdigest(), sum(1 for _ in self._members()))

    def items(self, start: int = 0, stop: int | None = None) -> Iterator[Item]:
        for shift, member in islice(self._members(), start, stop):
            shown = printable(f"{self.config.path}!{member.name}")
            yield Item(shown, partial(self._fetch, member, shift, shown))

    def _members(self) -> Iterator[tuple[int, _Member]]:
        with open(self.place, "rb") as file:
            directory = self._directory(file)
            place, end = directory.start, directory.start + directory.size
            while place < end:
                file.seek(place)
                fixed = file.read(_ENTRY.size)
                if len(fixed) < _ENTRY.size or not fixed.startswith(b"PK\1\2"):
                    raise DataError(f"batch.source: the directory of {self.config.path} is damaged.")
                values = _ENTRY.unpack(fixed)
                lengths = values[10:13]
                name, extra = file.read(lengths[0]), file.read(lengths[1])
                place += _ENTRY.size + sum(lengths)
                member = _member(values, name, extra)
                if not member.name.endswith("/") and not any(map(is_hidden, member.name.split("/"))):
                    yield directory.shift, member

    def _directory(self, file: BinaryIO) -> _Directory:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - _LONGEST_COMMENT - _END.size)
        file.seek(start)
        tail = file.read()
        at = _end_record(tail)
        if at is None:
            raise DataError(f"batch.source: {self.config.path!r} is no ZIP archive, or its end is missing.")
        values = _END.unpack_from(tail, at)
        end, length, offset = start + at, values[5], values[6]
        if values[1] not in (0, 0xFFFF):
            raise DataError(
                f"batch.source: {self.config.path!r} is one of several parts of an archive; join them first."
            )
        file.seek(max(0, end - _LOCATOR64.size))
        locator = file.read(_LOCATOR64.size)
        if locator.startswith(b"PK\6\7") and (0xFFFFFFFF in (length, offset) or values[4] == 0xFFFF):
            end = end - _LOCATOR64.size - _END64.size
            file.seek(max(0, end))
            record = file.read(_END64.size)
            if not record.startswith(b"PK\6\6"):
                raise DataError(f"batch.source: the end of the archive {self.config.path!r} is damaged.")
            length, offset = _END64.unpack(record)[8:10]
        if length + offset > end:
            raise DataError(f"batch.source: the archive {self.config.path!r} is cut short or damaged.")
        return _Directory(end - length, length, end - length - offset)

    def _fetch(self, member: _Member, shift: int, shown: str) -> bytes:
        limit = self.limits.max_bytes
        if member.is_link:
            raise ImageError("not_an_image", f"{shown} is a link; links in archives are not followed.")
        if member.flags & _ENCRYPTED:
            raise ImageError("not_an_image", f"{shown} is encrypted.")
        if member.method not in (_STORED, _DEFLATED, _BZIP2):
            raise ImageError("not_an_image", f"{shown} is packed in a way ({member.method}) that is not read here.")
        if max(member.size, member.packed) > limit:
            raise ImageError("too_many_bytes", f"{shown} has {member.size:,} bytes; at most {limit:,} are allowed.")
        with open(self.place, "rb") as file:
            file.seek(member.offset + shift)
            local = file.read(_LOCAL.size)
            if len(local) < _LOCAL.size or not local.startswith(b"PK\3\4"):
                raise ImageError("truncated", f"{shown} is not where the archive's directory says.")
            file.seek(sum(_LOCAL.unpack(local)[9:11]), os.SEEK_CUR)
            packed = file.read(member.packed)
        data = _unpacked(packed, member.method, limit, shown)
        if len(data) > limit:
            raise ImageError("too_many_bytes", f"{shown} has more than the {limit:,} bytes that are allowed.")
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise ImageError("truncated", f"{shown} is damaged in the archive.")
        return data


def _end_record(tail: bytes) -> int | None:
    """Where the end record begins: the last that its own comment brings to the end exactly (a comment may hold anything);
    the last of all if something was added behind the archive.
    """
    at, last = tail.rfind(b"PK\5\6"), None
    while at >= 0:
        if len(tail) - at >= _END.size:
            if at + _END.size + _END.unpack_from(tail, at)[7] == len(tail):
                return at
            last = at if last is None else last
        at = tail.rfind(b"PK\5\6", 0, at)
    return last


def _member(values: tuple, name: bytes, extra: bytes) -> _Member:
    packed, size, offset = values[8], values[9], values[16]
    if 0xFFFFFFFF in (packed, size, offset):
        wide = _zip64(extra)
        numbers = iter(struct.unpack(f"<{len(wide) // 8}Q", wide[: len(wide) // 8 * 8]))
        size = next(numbers, size) if size == 0xFFFFFFFF else size
        packed = next(numbers, packed) if packed == 0xFFFFFFFF else packed
        offset = next(numbers, offset) if offset == 0xFFFFFFFF else offset
    flags = values[3]
    # names without the flag are in CP437 by the book, and in the writer's own encoding in practice: UTF-8 where it is that
    text = name.decode("utf-8", "surrogateescape") if flags & _UTF8 or _is_utf8(name) else name.decode("cp437")
    is_link = values[1] >> 8 == _UNIX and (values[15] >> 16) & 0o170000 == _LINK
    return _Member(text.replace("\0", "\\0"), flags, values[4], values[7], packed, size, offset, is_link)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _zip64(extra: bytes) -> bytes:
    """The ZIP64 part of the extra fields."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == 1:
            return extra[place + 4 : place + 4 + length]
        place += 4 + length
    return b""


def _unpacked(packed: bytes, method: int, limit: int, shown: str) -> bytes:
    """What was packed, or its first `limit` + 1 bytes: an archive that unpacks to gigabytes costs no more than that."""
    try:
        if method == _DEFLATED:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, limit + 1)
        if method == _BZIP2:
            return bz2.BZ2Decompressor().decompress(packed, limit + 1)
    except (zlib.error, OSError, ValueError) as error:
        raise ImageError("truncated", f"{shown} is damaged in the archive: {error}.") from error
    return packed
