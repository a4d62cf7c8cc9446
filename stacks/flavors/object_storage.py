"""The bytes: objects named by their MD5, in DVC's layout, in a cache on this machine and in a remote."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from clip_har.errors import ConfigError
from stacks.flavors.artifact_index import ArtifactStoreError, StoredFile

OBJECTS = ("files", "md5")  # as in any DVC cache or remote
_CHUNK = 1 << 20


def open_remote(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """A `dvc_objects` file system and the path in it.

    Args:
        url: a folder, or what `dvc remote add` takes: `s3://bucket/folder`, `ssh://host/folder` …
        options: as `dvc remote modify` sets them: `endpointurl`, `profile`, `user` …

    Raises:
        ConfigError: for an unknown scheme, a plugin that is not installed, or a wrong option.
    """
    from dvc.config import ConfigError as DvcConfigError
    from dvc.fs import MemoryFileSystem, parse_external_url, registry
    from dvc_objects.fs.errors import RemoteMissingDepsError

    scheme = urlparse(url).scheme
    if scheme == "memory":
        return MemoryFileSystem(), f"/{urlparse(url).netloc}{urlparse(url).path}"
    if scheme and scheme not in registry:
        raise ConfigError(f"remote: {url!r} has the scheme {scheme!r}; DVC knows {', '.join(sorted(registry))}.")
    try:
        return parse_external_url(url, dict(options))
    except (ImportError, RemoteMissingDepsError, DvcConfigError) as error:
        raise ConfigError(f"remote: {url!r} cannot be used: {error}") from error


class ObjectStorage:
    """Objects in a cache and in a remote.

    Args:
        cache: a folder of this machine; may be deleted at any time.
        fs: the remote's `dvc_objects` file system.
        folder: the folder in it that is ours alone.
        grace: seconds for which garbage collection leaves alone what nothing refers to.
    """

    def __init__(self, cache: Path, fs: Any, folder: str, grace: float) -> None:
        from dvc_data.hashfile.db import get_odb
        from dvc_objects.fs import localfs

        self.grace = grace
        self.temporary = cache / "tmp"
        self.cache = get_odb(localfs, str(cache.joinpath(*OBJECTS)), hash_name="md5")
        self.remote = get_odb(fs, fs.join(folder, *OBJECTS), hash_name="md5")
        self._folders: set[str] = set()
        self._verified: dict[str, tuple[int, int, int]] = {}

    def temporary_file(self) -> str:
        """A new empty file beside the cache, to be renamed into it."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.temporary)
        os.close(handle)
        return name

    def take(self, name: str) -> StoredFile:
        """Move a `temporary_file` into the cache."""
        from dvc_data.hashfile.hash import file_md5

        return self._keep(name, file_md5(name))

    def take_copy(self, source: str | Path) -> StoredFile:
        """Copy a file into the cache, reading it once."""
        from dvc_data.hashfile.hash import get_hasher

        hasher, name = get_hasher("md5"), self.temporary_file()
        try:
            with open(source, "rb") as reader, open(name, "wb") as writer:
                while chunk := reader.read(_CHUNK):
                    hasher.update(chunk)
                    writer.write(chunk)
            return self._keep(name, hasher.hexdigest())
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)

    def push(self, files: Collection[StoredFile]) -> None:
        """Put objects from the cache into the remote, together; those that it has already are not put again.

        Raises:
            ArtifactStoreError: if one cannot be put.
        """
        missing = self._not_in_remote({file.md5: file.size for file in files})
        if not missing:
            return
        from dvc_objects.fs import generic

        fs, keys = self.remote.fs, [self.remote.oid_to_path(md5) for md5 in missing]
        try:
            for folder in {fs.parent(key) for key in keys} - self._folders:
                fs.makedirs(folder)
                self._folders.add(folder)
            # not `remote.add`: it may clone right into place, where a kill leaves an empty object that it never replaces
            generic.copy(self.cache.fs, [self.cache.oid_to_path(md5) for md5 in missing], fs, keys)
        except OSError as error:
            raise ArtifactStoreError(
                f"{len(missing)} objects could not be put into the remote {self.remote.path}: {error}"
            ) from error
        for key in keys:
            self.remote.protect(key)

    def fetch(self, files: Mapping[str, StoredFile]) -> dict[str, str]:
        """See that the cache has what the paths hold, whole.

        Args:
            files: path → what it holds.

        Returns:
            Path → the object's file in the cache, to be read only.

        Raises:
            ArtifactStoreError: for an object that the remote lacks or holds damaged.
        """
        wanted = {file.md5: path for path, file in files.items() if not self._is_whole(file)}
        if wanted:
            self._download(wanted, {file.md5: file for file in files.values()})
        return {path: self.cache.oid_to_path(file.md5) for path, file in files.items()}

    def modified(self, key: str) -> float | None:
        """When an object was put into the remote, seconds since the epoch; None where the remote does not say."""
        return _time_of(self.remote.fs, key, self.remote.fs.info(key))

    def _keep(self, name: str, md5: str) -> StoredFile:
        place, size = self.cache.oid_to_path(md5), os.path.getsize(name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        self.cache.protect(name)
        os.replace(name, place)
        self._remember(md5, place)
        return StoredFile(md5, size, time.time())

    def _remember(self, md5: str, place: str) -> None:
        self._verified[md5] = _signature(os.stat(place))

    def _is_whole(self, file: StoredFile) -> bool:
        """Whether the cache has the object undamaged; a damaged one is dropped.

        Hashed once in a process, and again when the file has changed since: DVC itself trusts a file's read-only bit.
        """
        from dvc_data.hashfile.hash import file_md5

        place = self.cache.oid_to_path(file.md5)
        try:
            status = os.stat(place)
        except FileNotFoundError:
            return False
        if self._verified.get(file.md5) == _signature(status):
            return True
        if status.st_size == file.size and file_md5(place) == file.md5:
            self._verified[file.md5] = _signature(status)
            return True
        with suppress(FileNotFoundError):
            os.unlink(place)
        return False

    def _not_in_remote(self, sizes: dict[str, int]) -> list[str]:
        """Objects that the remote lacks, holds cut off, or has had for so long that they might be collected now."""
        fs, missing = self.remote.fs, []
        keys = [self.remote.oid_to_path(md5) for md5 in sizes]
        if fs.protocol == "local" or len(keys) == 1:
            found = [fs.info(key, return_exceptions=True) for key in keys]
        else:
            found = fs.info(keys, return_exceptions=True)
        for md5, key, info in zip(sizes, keys, found, strict=True):
            if isinstance(info, FileNotFoundError):
                missing.append(md5)
            elif isinstance(info, Exception):
                raise ArtifactStoreError(f"The remote {self.remote.path} cannot be asked: {info}") from info
            else:
                put = _time_of(fs, key, info)
                if info["size"] != sizes[md5] or (put is not None and put < time.time() - self.grace / 2):
                    missing.append(md5)
        return missing

    def _download(self, wanted: dict[str, str], files: dict[str, StoredFile]) -> None:
        from dvc_data.hashfile.hash import file_md5
        from dvc_objects.fs import generic, localfs

        keys = [self.remote.oid_to_path(md5) for md5 in wanted]
        self.temporary.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.temporary) as folder:
            places = [os.path.join(folder, md5) for md5 in wanted]
            try:
                generic.copy(self.remote.fs, keys, localfs, places)
            except FileNotFoundError as error:
                self._raise_missing(wanted, error)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise
                raise ArtifactStoreError(f"The remote {self.remote.path} could not be read: {error}") from error
            for (md5, path), place in zip(wanted.items(), places, strict=True):
                if os.path.getsize(place) != files[md5].size or file_md5(place) != md5:
                    raise ArtifactStoreError(_trouble(path, md5, "is damaged in", self.remote.path))
                self._keep(place, md5)

    def _raise_missing(self, wanted: dict[str, str], error: Exception) -> None:
        for md5, path in wanted.items():
            if not self.remote.exists(md5):
                raise ArtifactStoreError(_trouble(path, md5, "is missing from", self.remote.path)) from error
        raise error


def copy_out(source: str, target: str | Path) -> None:
    """Copy an object's file out of the cache, writable; shared blocks where the file system has them."""
    from dvc_objects.fs.utils import copyfile

    copyfile(source, str(target))


def remove_old(folder: Path, before: float) -> None:
    """Remove what lies in a folder since before a time."""
    for place in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            if place.stat().st_mtime < before:
                shutil.rmtree(place) if place.is_dir() else place.unlink()


def _signature(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _time_of(fs: Any, key: str, info: Mapping[str, Any]) -> float | None:
    value = next((info[name] for name in ("mtime", "LastModified", "last_modified", "updated") if info.get(name)), None)
    if value is None:
        try:
            value = fs.modified(key)
        except (NotImplementedError, AttributeError, KeyError):
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return float(value) if isinstance(value, (int, float)) else None


def _trouble(path: str, md5: str, what: str, remote: str) -> str:
    artifact, _, name = path.rpartition("/")
    return (
        f"The artifact {artifact} cannot be loaded: the object {md5} of its file {name!r} {what} the remote {remote}, and "
        "the cache of this machine does not have it. Make the artifact again (run.py … --no-cache), or copy "
        f"{'/'.join((*OBJECTS, md5[:2], md5[2:]))} from the cache of the machine that wrote it."
    )
