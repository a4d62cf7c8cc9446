"""A ZenML artifact store on DVC's object storage.

What a step writes becomes objects named by their content, in a cache on this machine and in a remote (any that DVC
knows), and an index in the remote says which artifact has which of them. Objects go first, the index after them: what a
reader finds listed is there. `docs/artifact-store.md` says more.
"""

from __future__ import annotations

import json
import os
import posixpath
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlparse

from pydantic import Field, field_validator
from zenml.artifact_stores.base_artifact_store import (
    BaseArtifactStore,
    BaseArtifactStoreConfig,
    BaseArtifactStoreFlavor,
    PathType,
)

from clip_har.errors import ConfigError
from stacks.flavors.artifact_index import ArtifactIndex, StoredFile, parent_of
from stacks.flavors.object_storage import ObjectStorage, copy_out, open_remote
from stacks.flavors.staged_file import StagedFile

SCHEME = "dvc://"
WORKSPACE = "CLIP_HAR_WORKSPACE"


class DvcArtifactStoreConfig(BaseArtifactStoreConfig):
    """Where artifacts are. Nothing in it is of one machine, unless the remote is a folder outside the workspace."""

    SUPPORTED_SCHEMES: ClassVar[set[str]] = {SCHEME}
    # each batch of log lines is a file of its own, merged when the step ends: nothing is read to be written again
    IS_IMMUTABLE_FILESYSTEM: ClassVar[bool] = True

    path: str = Field(f"{SCHEME}artifacts", description="What artifacts' addresses begin with: dvc:// and a name.")
    remote: str = Field(
        "artifact-remote",
        description="Where artifacts are kept: what `dvc remote add` takes, or a folder; a relative one is in the workspace.",
    )
    cache: str = Field(
        "artifact-cache", description="A folder for copies on this machine; a relative one is in the workspace."
    )
    prefix: str = Field("zenml-artifacts", description="The folder in the remote that is this store's alone.")
    options: dict[str, str] = Field({}, description="Options of the remote, as `dvc remote modify` sets them.")
    grace_hours: float = Field(
        24.0, gt=0, description="For how long garbage collection leaves alone what nothing refers to (yet), hours."
    )

    @field_validator("prefix")
    @classmethod
    def _a_place_apart(cls, prefix: str) -> str:
        parts = prefix.split("/")
        # `files` and two hexadecimal digits are where DVC keeps data versions, `runs` its experiments
        taken = parts[0] in ("files", "runs") or (len(parts[0]) == 2 and set(parts[0]) <= set("0123456789abcdef"))
        if taken or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"prefix: {prefix!r} is no folder of its own; a name like zenml-artifacts is.")
        return prefix

    @property
    def is_local(self) -> bool:
        return urlparse(self.remote).scheme == ""


class Storage:
    """The index and the objects of one place, with the empty folders that this process has made there."""

    def __init__(self, remote: str, options: dict[str, str], prefix: str, cache: Path, grace: float) -> None:
        fs, folder = open_remote(remote, options)
        own = fs.join(folder, *prefix.split("/"))
        self.objects = ObjectStorage(cache, fs, own, grace)
        self.index = ArtifactIndex(fs, fs.join(own, "index"), database)
        self.made: set[str] = set()

    def isdir(self, path: str) -> bool:
        return path == "" or path in self.made or bool(self.index.files(path))

    def make(self, path: str) -> None:
        while path:
            self.made.add(path)
            path = parent_of(path)

    def forget(self, path: str) -> None:
        self.made -= {made for made in list(self.made) if made == path or made.startswith(f"{path}/")}


@lru_cache(maxsize=16)
def _storage(remote: str, options: str, prefix: str, cache: Path, grace: float) -> Storage:
    return Storage(remote, json.loads(options), prefix, cache, grace)


def database() -> str:
    from zenml.config.global_config import GlobalConfiguration

    return str(GlobalConfiguration().zen_store.get_store_info().id)


def _of_this_machine(folder: str, key: str) -> str:
    """A folder's absolute path; relative ones are in the workspace."""
    if urlparse(folder).scheme == "" and not os.path.isabs(folder):
        if WORKSPACE not in os.environ:
            raise ConfigError(
                f"artifact store: {key} is {folder!r}, a folder in the workspace, and the environment variable {WORKSPACE} "
                "does not say where that is. Set it to the workspace's absolute path."
            )
        return os.path.join(os.environ[WORKSPACE], folder)
    return folder


class DvcArtifactStore(BaseArtifactStore):
    """Files as content-addressed objects, with an index per artifact.

    Folders are what holds files, as in any object store; one that is still empty is known to its maker only.
    """

    @property
    def config(self) -> DvcArtifactStoreConfig:
        return self._config  # type: ignore[return-value]

    @property
    def storage(self) -> Storage:
        """The index and the objects; shared by all stores of a process with the same settings.

        Raises:
            ConfigError: if the remote cannot be used, or it is unknown where the workspace is.
        """
        config = self.config
        return _storage(
            _of_this_machine(config.remote, "remote"),
            json.dumps(config.options, sort_keys=True),
            config.prefix,
            Path(_of_this_machine(config.cache, "cache")),
            config.grace_hours * 3600,
        )

    def _add_path_sanitization(self) -> None:
        """ZenML's own check takes every scheme that it does not list for a local path; `_inside` is ours."""

    def _inside(self, path: PathType) -> str:
        """An address without the store's own: "" is the store itself.

        Raises:
            FileNotFoundError: for an address outside of the store.
        """
        address, root = os.fsdecode(path), self.path.removeprefix(SCHEME).strip("/")
        # pathlib, which ZenML uses in places, makes one slash of two
        place = posixpath.normpath(address.removeprefix("dvc:").strip("/").replace("\\", "/"))
        if not address.startswith("dvc:/") or (place != root and not place.startswith(f"{root}/")):
            raise FileNotFoundError(f"{address} is outside of the artifact store {self.path}")
        return place[len(root) + 1 :]

    def _address(self, path: str) -> str:
        return f"{self.path.rstrip('/')}/{path}" if path else self.path

    def _file(self, path: PathType) -> tuple[str, StoredFile]:
        inside = self._inside(path)
        file = self.storage.index.file(inside) if inside else None
        if file is None:
            kind = IsADirectoryError if self.storage.isdir(inside) else FileNotFoundError
            raise kind(f"{self._address(inside)} is no file of the artifact store")
        return inside, file

    # -- files ---------------------------------------------------------------------------------------------------------

    def open(self, path: PathType, mode: str = "r") -> Any:
        """Open a file; what is written is stored when the file is closed.

        Raises:
            FileNotFoundError: if it is to be read and is not in the store.
            ArtifactStoreError: if the index has it and its object is missing from the remote, or damaged there.
        """
        if set(mode) <= set("rbt"):
            inside, file = self._file(path)
            place = self.storage.objects.fetch({self._address(inside): file})[self._address(inside)]
            return open(place, mode, encoding=None if "b" in mode else "utf-8")
        inside, storage = self._inside(path), self.storage
        existing = storage.index.file(inside) if not mode.startswith("w") else None
        if mode.startswith("x") and existing is not None:
            raise FileExistsError(f"{self._address(inside)} exists already")
        if mode.startswith("r") and existing is None:
            raise FileNotFoundError(f"{self._address(inside)} is no file of the artifact store")
        if not inside or inside in storage.made:
            raise IsADirectoryError(f"{self._address(inside)} is a folder")
        temporary = storage.objects.temporary_file()
        if existing is not None:
            copy_out(storage.objects.fetch({self._address(inside): existing})[self._address(inside)], temporary)
        return StagedFile(temporary, mode.replace("x", "w"), partial(self._store, inside), self._address(inside))

    def _store(self, inside: str, temporary: str) -> None:
        file = self.storage.objects.take(temporary)
        self.storage.objects.push([file])
        self.storage.index.add({inside: file})

    def copyfile(self, src: PathType, dst: PathType, overwrite: bool = False) -> None:
        """Copy a file within the store: a line in the index, whatever its size."""
        _, file = self._file(src)
        target = self._free(dst, overwrite)
        self.storage.objects.fetch({self._address(target): file})
        self.storage.objects.push([file])  # so that it is not about to be collected
        self.storage.index.add({target: file})

    def rename(self, src: PathType, dst: PathType, overwrite: bool = False) -> None:
        """Rename a file or a folder; seen at once, within one artifact."""
        source, target = self._inside(src), self._free(dst, overwrite)
        if source == target:
            return
        index = self.storage.index
        file = index.file(source)
        moved = {source: file} if file else index.files(source)
        if not moved and source not in self.storage.made:
            raise FileNotFoundError(f"{self._address(source)} is not in the artifact store")
        if moved:
            replaced = set(index.files(target))
            index.add({target + path[len(source) :]: file for path, file in moved.items()}, replaced | set(moved))
        self.storage.forget(source)
        if not file:
            self.storage.make(target)

    def remove(self, path: PathType) -> None:
        """Remove a file; its object goes with the next garbage collection."""
        inside, _ = self._file(path)
        self.storage.index.remove([inside])

    def exists(self, path: PathType) -> bool:
        inside = self._inside(path)
        return (bool(inside) and self.storage.index.file(inside) is not None) or self.storage.isdir(inside)

    def stat(self, path: PathType) -> os.stat_result:
        """Mode, size and times of a file or folder."""
        inside = self._inside(path)
        file = self.storage.index.file(inside) if inside else None
        if file is None and not self.storage.isdir(inside):
            raise FileNotFoundError(f"{self._address(inside)} is not in the artifact store")
        mode = stat.S_IFREG | 0o444 if file else stat.S_IFDIR | 0o755
        size, time = (file.size, file.time) if file else (0, 0)
        return os.stat_result((mode, 0, 0, 1, 0, 0, size, int(time), int(time), int(time)))

    def size(self, path: PathType) -> int:
        """Bytes of a file, or of all files in a folder."""
        inside = self._inside(path)
        file = self.storage.index.file(inside) if inside else None
        if file is not None:
            return file.size
        if not self.storage.isdir(inside):
            raise FileNotFoundError(f"{self._address(inside)} is not in the artifact store")
        return sum(file.size for file in self.storage.index.files(inside).values())

    # -- folders -------------------------------------------------------------------------------------------------------

    def isdir(self, path: PathType) -> bool:
        return self.storage.isdir(self._inside(path))

    def makedirs(self, path: PathType) -> None:
        inside = self._inside(path)
        if inside and self.storage.index.file(inside) is not None:
            raise FileExistsError(f"{self._address(inside)} is a file")
        self.storage.make(inside)

    def mkdir(self, path: PathType) -> None:
        """As `makedirs`: its parent may be a folder that another process has made, and that is still empty."""
        self.makedirs(path)

    def listdir(self, path: PathType) -> list[PathType]:
        """Names of files and folders in a folder."""
        _, folders, files = self._content(self._inside(path))[0]
        return sorted([*folders, *files])

    def walk(
        self, top: PathType, topdown: bool = True, onerror: Callable[..., None] | None = None
    ) -> Iterable[tuple[PathType, list[PathType], list[PathType]]]:
        """(folder, names of folders in it, names of files in it) of a folder and of all below it."""
        try:
            content = self._content(self._inside(top))
        except OSError as error:
            if onerror is not None:
                onerror(error)
            return
        for folder, folders, files in content if topdown else reversed(content):
            yield self._address(folder), folders, files  # type: ignore[misc]

    def glob(self, pattern: PathType) -> list[PathType]:
        """Addresses of files and folders that match; `**` stands for any number of folders."""
        import re

        from fsspec.utils import glob_translate

        inside = self._inside(pattern)
        plain = inside.split("/")
        while plain and any(set("*?[") & set(part) for part in plain):
            plain.pop()
        base = "/".join(plain)
        if base == inside:
            return [self._address(inside)] if self.exists(pattern) else []
        if not self.storage.isdir(base):
            return []
        matches = re.compile(glob_translate(inside)).match
        found = {
            posixpath.join(folder, name)
            for folder, folders, files in self._content(base)
            for name in (*folders, *files)
            if matches(posixpath.join(folder, name))
        }
        return [self._address(path) for path in sorted(found)]

    def rmtree(self, path: PathType) -> None:
        """Remove a folder: what an artifact has goes at once; objects go with the next garbage collection."""
        inside = self._inside(path)
        if not self.storage.isdir(inside):
            kind = NotADirectoryError if self.storage.index.file(inside) else FileNotFoundError
            raise kind(f"{self._address(inside)} is no folder of the artifact store")
        self.storage.index.remove(list(self.storage.index.files(inside)))
        self.storage.forget(inside)

    # -- many files at once: what `FolderMaterializer` uses ------------------------------------------------------------

    def put_folder(self, folder: str | Path, path: PathType) -> None:
        """Store a local folder's files: objects together, then one entry in the index, so that all appear at once."""
        inside = self._inside(path)
        sources = sorted(place for place in Path(folder).rglob("*") if place.is_file())
        files = {
            posixpath.join(inside, place.relative_to(folder).as_posix()): self.storage.objects.take_copy(place)
            for place in sources
        }
        if not files:
            self.storage.make(inside)
            return
        self.storage.objects.push(list(files.values()))
        self.storage.index.add(files)

    def get_folder(self, path: PathType, folder: str | Path) -> None:
        """Copy a folder of the store into a local one: what is missing from the cache is fetched together.

        Raises:
            FileNotFoundError: if there is no such folder.
            ArtifactStoreError: if an object is missing from the remote, or damaged there.
        """
        inside = self._inside(path)
        if not self.storage.isdir(inside):
            raise FileNotFoundError(f"{self._address(inside)} is no folder of the artifact store")
        files = {self._address(name): file for name, file in self.storage.index.files(inside).items()}
        start = len(self._address(inside)) + 1
        for address, place in self.storage.objects.fetch(files).items():
            target = Path(folder, address[start:])
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_out(place, target)

    def _content(self, inside: str) -> list[tuple[str, list[str], list[str]]]:
        """(folder, folders in it, files in it) from a folder downwards, parents first.

        Raises:
            NotADirectoryError, FileNotFoundError: if it is no folder.
        """
        storage = self.storage
        start = f"{inside}/" if inside else ""
        files = storage.index.files(inside)
        made = {path for path in list(storage.made) if path.startswith(start)}
        if inside and not files and inside not in storage.made:
            kind = NotADirectoryError if storage.index.file(inside) else FileNotFoundError
            raise kind(f"{self._address(inside)} is no folder of the artifact store")
        folders: dict[str, set[str]] = defaultdict(set, {inside: set()})
        names: dict[str, set[str]] = defaultdict(set)
        for path in files:
            names[parent_of(path)].add(posixpath.basename(path))
        for path in made | set(names):
            while path != inside and path.startswith(start):
                folders.setdefault(path, set())
                folders[parent_of(path)].add(posixpath.basename(path))
                path = parent_of(path)
        return [(folder, sorted(folders[folder]), sorted(names[folder])) for folder in sorted(folders)]

    def _free(self, path: PathType, overwrite: bool) -> str:
        inside = self._inside(path)
        if not overwrite and self.exists(path):
            raise FileExistsError(f"{self._address(inside)} exists already, and overwriting was not asked for")
        return inside


class DvcArtifactStoreFlavor(BaseArtifactStoreFlavor):
    """Names the flavor `dvc`."""

    @property
    def name(self) -> str:
        return "dvc"

    @property
    def config_class(self) -> type[DvcArtifactStoreConfig]:
        return DvcArtifactStoreConfig

    @property
    def implementation_class(self) -> type[DvcArtifactStore]:
        return DvcArtifactStore
