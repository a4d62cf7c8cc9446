"""Garbage collection of a DVC-backed artifact store: what nothing in ZenML refers to any more.

Only the store's own prefix in the remote is looked at, so data versions, in the same remote or not, are out of reach.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stacks.flavors.artifact_index import ArtifactStoreError, Entry, artifact_of, parent_of, state_of
from stacks.flavors.object_storage import remove_old

if TYPE_CHECKING:
    from stacks.flavors.dvc_artifact_store import DvcArtifactStore

_OBJECT = re.compile(r"[0-9a-f]{2}/[0-9a-f]{30}")
_LOG = re.compile(r"logs/([0-9a-f-]{36})(?:/|\.log$)")
_CODE = "code_uploads/"  # ZenML's snapshots name their code by the hash of its content: cheap, and kept


@dataclass(frozen=True)
class Collected:
    """What was removed, or would be.

    Attributes:
        files: files of artifacts that ZenML does not know any more.
        objects: objects in the remote that no file refers to.
        bytes: their size.
        entries: entries of the index that later ones had made pointless.
        cached: objects in this machine's cache that no file refers to.
    """

    files: int
    objects: int
    bytes: int
    entries: int
    cached: int


def collect_garbage(
    store: DvcArtifactStore,
    dry_run: bool = False,
    *,
    grace: float | None = None,
    foreign: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Collected:
    """Remove what no artifact version and no log of ZenML refers to.

    Runs and artifacts are ZenML's to delete (`zenml pipeline runs delete`, `zenml artifact prune`); what is left without
    them goes here. What is younger than the grace period stays: it may be of an artifact that is being written.

    Args:
        store: the artifact store.
        dry_run: count only.
        grace: seconds; default: the store's `grace_hours`.
        foreign: also what was written with another ZenML database; right only if that is no longer used.
        progress: called with (done, total) of the objects looked at.

    Raises:
        ArtifactStoreError: if an entry of the index cannot be read; nothing is removed then.
    """
    storage = store.storage
    young = time.time() - (storage.objects.grace if grace is None else grace)
    # objects before the index: an object that is put after this listing is not looked at
    objects = list(_objects(storage.objects.remote))
    index = storage.index
    entries = index.entries()
    damaged = [key for key in index.unreadable() if _written(store, key) < young]
    if damaged:
        raise ArtifactStoreError(
            f"Nothing was collected: {len(damaged)} entries of the index cannot be read, like {damaged[0]}. Restore it, or "
            "delete it if its artifact is lost."
        )
    database = _this_database()
    ours = [entry for entry in entries if foreign or entry.database == database]
    old = [entry for entry in ours if entry.sequence < young * 1e9]
    state = state_of(entries)
    is_known = _known_to_zenml(store)
    candidates = {path for entry in old for path in entry.files if state[path][1] is entry}
    unknown = {path for path in candidates if not is_known(path)}
    pointless = _pointless(entries, old)
    if not dry_run:
        index.remove(unknown)
        for artifact in {artifact_of(parent_of(path)) for path in unknown}:
            storage.forget(artifact)
        index.delete(pointless)
        entries = index.entries()
    live = _still_referred_to(entries, unknown, young)
    removed = size = 0
    for done, (key, md5) in enumerate(objects, start=1):
        if md5 not in live and (bytes_ := _remove_object(store, key, young, dry_run)) is not None:
            removed, size = removed + 1, size + bytes_
        if progress is not None:
            progress(done, len(objects))
    cached = _clean_cache(store, live, young, dry_run)
    return Collected(files=len(unknown), objects=removed, bytes=size, entries=len(pointless), cached=cached)


def _objects(odb: Any) -> Iterator[tuple[str, str | None]]:
    """(key, MD5) of each object; None for what an interrupted put has left."""
    start = len(odb.path.rstrip("/")) + 1
    odb.fs.fs.invalidate_cache(odb.path)
    with suppress(FileNotFoundError):
        for key in odb.fs.find(odb.path):
            name = key[start:].replace(os.sep, "/")
            yield key, name.replace("/", "") if _OBJECT.fullmatch(name) else None


def _written(store: DvcArtifactStore, key: str) -> float:
    try:
        return store.storage.objects.modified(key) or 0.0
    except FileNotFoundError:
        return time.time()


def _this_database() -> str:
    from stacks.flavors.dvc_artifact_store import database

    return database()


def _known_to_zenml(store: DvcArtifactStore) -> Callable[[str], bool]:
    """A test of whether ZenML has something at a path, in any project and any store with this one's address."""
    from zenml.client import Client
    from zenml.utils.pagination_utils import depaginate

    client = Client()
    root = store.path.rstrip("/") + "/"
    known: set[str] = set()
    for project in depaginate(client.list_projects):
        versions = depaginate(client.list_artifact_versions, project=project.id, uri=f"startswith:{root}", size=1000)
        known |= {version.uri.removeprefix(root).rstrip("/") for version in versions}
    logs: dict[str, bool] = {}

    def is_known(path: str) -> bool:
        parts = path.split("/")
        if path.startswith(_CODE) or any("/".join(parts[:end]) in known for end in range(1, len(parts) + 1)):
            return True
        named = _LOG.match(path)
        if named is None:
            return False
        if named[1] not in logs:
            logs[named[1]] = _has_log(client, named[1])
        return logs[named[1]]

    return is_known


def _has_log(client: Any, name: str) -> bool:
    from uuid import UUID

    try:
        client.zen_store.get_logs(UUID(name), hydrate=False)
    except (KeyError, ValueError):
        return False
    return True


def _pointless(entries: list[Entry], old: list[Entry]) -> list[Entry]:
    """Old entries all of whose paths later ones speak of, and removals with nothing left to remove."""
    state = state_of(entries)
    superseded = [entry for entry in old if all(state[path][1] is not entry for path in entry.paths)]
    left = {path for entry in entries if entry not in superseded for path in entry.files}
    return superseded + [
        entry for entry in old if not entry.files and not entry.removed & left and entry not in superseded
    ]


def _still_referred_to(entries: list[Entry], unknown: set[str], young: float) -> set[str]:
    """MD5s that a reader may ask for: of what is listed now, of what was before the grace period began, and since."""
    before = [entry for entry in entries if entry.sequence < young * 1e9]
    states = (state_of(entries), state_of(before))
    listed = [(path, file) for state in states for path, (file, _) in state.items() if file is not None]
    since = [item for entry in entries if entry.sequence >= young * 1e9 for item in entry.files.items()]
    return {file.md5 for path, file in [*listed, *since] if path not in unknown}


def _remove_object(store: DvcArtifactStore, key: str, young: float, dry_run: bool) -> int | None:
    """Remove an object that is old and is still so now; its size, or None if it stays."""
    storage = store.storage.objects
    try:
        size = storage.remote.fs.size(key) or 0
        put = storage.modified(key)  # None: the remote does not say, and it stays
        if put is None or put >= young:
            return None
        if not dry_run:
            storage.remote.fs.remove(key)
    except FileNotFoundError:
        return None
    return size


def _clean_cache(store: DvcArtifactStore, live: set[str], young: float, dry_run: bool) -> int:
    storage, removed = store.storage.objects, 0
    for key, md5 in list(_objects(storage.cache)):
        with suppress(FileNotFoundError):
            if md5 not in live and os.path.getmtime(key) < young:
                removed += 1
                if not dry_run:
                    os.unlink(key)
    if not dry_run:
        remove_old(storage.temporary, young)
    return removed
