"""Versions laid out as folders: read-only views of DVC's cache, whose files are checked before they are linked.

versions/<first 12 digits of the commit>/
  images/…  manifest/…
  .files.parquet    every file with its size and time of change, by which a later change is noticed
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from clip_har.data.sources.base import Progress
from clip_har.data.versions.config import DataVersion
from clip_har.data.versions.objects import ObjectCache
from clip_har.data.versions.repository import IMAGES, MANIFEST, Content
from clip_har.data.versions.transfer import RemoteStorage
from clip_har.errors import DataError
from clip_har.storage import new_folder

_LISTING = ".files.parquet"


def name_of(version: DataVersion) -> str:
    """Name of a version's folder."""
    return version.git_revision[:12]


def is_whole(folder: Path) -> bool:
    """Whether a version is laid out there and no file has been changed or removed since."""
    import pyarrow.parquet as pq

    if not (folder / _LISTING).is_file():
        return False
    columns = pq.read_table(folder / _LISTING).to_pydict()
    for name, size, changed in zip(columns["path"], columns["size"], columns["changed"], strict=True):
        try:
            found = os.stat(folder / name)
        except FileNotFoundError:
            return False
        if (found.st_size, found.st_mtime_ns) != (size, changed):
            return False
    return True


def lay_out(
    folder: Path, content: Content, objects: ObjectCache, remote: RemoteStorage, progress: Progress | None = None
) -> None:
    """Lay a version out, whole or not at all. What the cache lacks or has damaged comes from the remote.

    Raises:
        DataError: if something is neither whole in the cache nor in the remote.
    """
    files: dict[str, str] = {}
    for name, oid in ((IMAGES, content.images), (MANIFEST, content.manifest)):
        files |= {f"{name}/{path}": md5 for path, md5 in directory(oid, objects, remote).items()}
    fetch(objects.unusable(files.values(), progress), objects, remote, progress)
    shutil.rmtree(folder, ignore_errors=True)
    with new_folder(folder) as partial:
        objects.link_out(files, partial, progress)
        _list(partial, list(files))


def directory(oid: str, objects: ObjectCache, remote: RemoteStorage) -> dict[str, str]:
    """Path → md5 of a directory's files, its list fetched from the remote if need be."""
    files = objects.files_of(oid)
    if files is None:
        remote.pull([oid])
        files = objects.files_of(oid)
    if files is None:
        raise DataError(f"The list of files {oid} is damaged in the remote {remote.url}.")
    return files


def fetch(md5s: set[str], objects: ObjectCache, remote: RemoteStorage, progress: Progress | None = None) -> None:
    """Fetch files from the remote and check what came."""
    if not md5s:
        return
    remote.pull(md5s, progress)
    bad = objects.unusable(md5s)
    if bad:
        raise DataError(
            f"{len(bad)} files are damaged in the remote {remote.url}; one of them: {min(bad)}. Publish the version "
            "again from its source, or push it from another machine after removing them there."
        )


def _list(folder: Path, names: list[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = [os.stat(folder / name) for name in names]
    table = pa.table(
        {"path": names, "size": [item.st_size for item in found], "changed": [item.st_mtime_ns for item in found]}
    )
    pq.write_table(table, folder / _LISTING)
