"""DVC's cache of a repository: files by the md5 of their bytes, directories as lists of them.

Files are put under their final name by a rename, whole and read-only, so that a killed writer leaves nothing half-made. It
is DVC's own layout (`files/md5`), which `dvc checkout`, `dvc push` and `dvc gc` work with.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from clip_har.data.sources.base import Progress
from clip_har.errors import DataError

CACHE = Path(".dvc") / "cache" / "files" / "md5"
INCOMING = Path(".dvc") / "tmp" / "incoming"
_READ_ONLY = 0o444
_CHUNK = 1 << 20
_AT_ONCE = 1024  # files handed to the threads together, so that their queue does not grow with the data


@dataclass(frozen=True)
class Stored:
    """A file in the cache: its md5, and its size in bytes."""

    md5: str
    size: int


@dataclass(frozen=True)
class Directory:
    """What DVC tracks: a directory by the md5 of the list of its files.

    Attributes:
        oid: md5 of that list, with `.dir`.
        files: path below the directory → md5.
        size: bytes of all files.
    """

    oid: str
    files: dict[str, str]
    size: int


class ObjectCache:
    """The cache of the repository in a folder."""

    def __init__(self, repository: Path) -> None:
        self.folder = repository / CACHE
        self._incoming = repository / INCOMING
        self._reflink_works = True
        self._link = _links()

    def path(self, oid: str) -> Path:
        """Where an object is, or would be."""
        return self.folder / oid[:2] / oid[2:]

    def size(self, md5: str) -> int | None:
        """Size of a file in bytes; None if the cache lacks it."""
        try:
            return self.path(md5).stat().st_size
        except FileNotFoundError:
            return None

    def take(self, source: Path, sha256: str | None = None) -> Stored:
        """Put a copy of a file in. The file itself is never linked: whoever edits it must not edit the cache.

        Args:
            sha256: what its bytes must be.

        Raises:
            DataError: if it is gone or has other bytes.
        """
        self._incoming.mkdir(parents=True, exist_ok=True)
        partial = self._incoming / uuid.uuid4().hex
        try:
            copied = self._copy(source, partial)
            if sha256 is not None and copied.sha256 != sha256:
                raise DataError(
                    f"{source} has changed since it was validated (its bytes have the sha256 {copied.sha256[:12]}…, not "
                    f"{sha256[:12]}…). Run the data pipeline again."
                )
            self._place(partial, copied.md5)
        except FileNotFoundError as error:
            raise DataError(
                f"{source} was there when the data were validated and is gone. Run the data pipeline again."
            ) from error
        finally:
            partial.unlink(missing_ok=True)
        return Stored(copied.md5, copied.size)

    def take_all(self, files: list[tuple[Path, str]], progress: Progress | None = None) -> list[Stored]:
        """`take` for many files with their sha256, in order."""
        stored: list[Stored] = []
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(files), _AT_ONCE):
                for item in pool.map(lambda file: self.take(*file), files[start : start + _AT_ONCE]):
                    stored.append(item)
                    if progress:
                        progress(len(stored), len(files))
        return stored

    def put_directory(self, files: dict[str, Stored]) -> Directory:
        """Put in the list of a directory's files, whose contents are in already."""
        entries = [{"md5": item.md5, "relpath": path} for path, item in files.items()]
        entries.sort(key=lambda entry: entry["relpath"])  # DVC's order and JSON, so that its md5 is the same
        data = json.dumps(entries, sort_keys=True).encode()
        oid = f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}.dir"
        if not self.path(oid).is_file():
            self._incoming.mkdir(parents=True, exist_ok=True)
            partial = self._incoming / uuid.uuid4().hex
            try:
                partial.write_bytes(data)
                self._place(partial, oid)
            finally:
                partial.unlink(missing_ok=True)
        return Directory(
            oid, {path: item.md5 for path, item in files.items()}, sum(item.size for item in files.values())
        )

    def files_of(self, oid: str) -> dict[str, str] | None:
        """Path → md5 of a directory's files; None if the cache lacks the list, or has it damaged (then it is removed)."""
        path = self.path(oid)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != oid.removesuffix(".dir"):
            path.unlink()
            return None
        return {entry["relpath"]: entry["md5"] for entry in json.loads(data)}

    def missing(self, md5s: Iterable[str]) -> set[str]:
        """Those that the cache lacks."""
        return {md5 for md5 in md5s if self.size(md5) is None}

    def unusable(self, md5s: Iterable[str], progress: Progress | None = None) -> set[str]:
        """Those that the cache lacks or whose bytes are not what they were; the latter are removed from it."""
        wanted = list(dict.fromkeys(md5s))
        bad = set()
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(wanted), _AT_ONCE):
                part = wanted[start : start + _AT_ONCE]
                for md5, whole in zip(part, pool.map(self._is_whole, part), strict=True):
                    if not whole:
                        bad.add(md5)
                if progress:
                    progress(min(start + _AT_ONCE, len(wanted)), len(wanted))
        return bad

    def unused(self, used: set[str]) -> list[Path]:
        """Everything in the cache but these, and what an interrupted fetch left there."""
        return [path for path in self.folder.glob("*/*") if path.parent.name + path.name not in used]

    def link_out(self, files: dict[str, str], target: Path, progress: Progress | None = None) -> None:
        """Lay files out below a folder: cloned where the file system can, else hard-linked, else copied. Read-only."""
        made = {target}
        for number, (name, md5) in enumerate(files.items(), start=1):
            place = target / name
            if place.parent not in made:
                place.parent.mkdir(parents=True, exist_ok=True)
                made.add(place.parent)
            self._lay(self.path(md5), place)
            if progress:
                progress(number, len(files))

    def _lay(self, source: Path, target: Path) -> None:
        while True:
            try:
                self._link[0](source, target)
                break
            except OSError as error:
                if len(self._link) == 1 or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.ENOENT):
                    raise
                self._link = self._link[1:]
        if target.stat().st_mode & 0o777 != _READ_ONLY:
            target.chmod(_READ_ONLY)

    def _is_whole(self, md5: str) -> bool:
        path = self.path(md5)
        try:
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        except FileNotFoundError:
            return False
        if found != md5:
            path.unlink(missing_ok=True)
        return found == md5

    def _copy(self, source: Path, target: Path) -> _Copied:
        from dvc_objects.fs.system import reflink

        if self._reflink_works:
            try:
                reflink(source, target)
                return _digest(target)
            except FileNotFoundError:
                raise
            except OSError:
                self._reflink_works = False
        return _digest(source, target)

    def _place(self, partial: Path, oid: str) -> None:
        path = self.path(oid)
        partial.chmod(_READ_ONLY)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial, path)


@dataclass(frozen=True)
class _Copied:
    md5: str
    sha256: str
    size: int


def _digest(source: Path, target: Path | None = None) -> _Copied:
    """Both hashes of a file, which is copied on the way if a target is given."""
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with open(source, "rb") as file, open(target or os.devnull, "wb") as copy:
        while chunk := file.read(_CHUNK):
            md5.update(chunk)
            sha256.update(chunk)
            size += copy.write(chunk)
    return _Copied(md5.hexdigest(), sha256.hexdigest(), size)


def _links() -> tuple:
    """Ways to lay a file out, the best first."""
    from dvc_objects.fs.system import hardlink, reflink

    return reflink, hardlink, shutil.copyfile
