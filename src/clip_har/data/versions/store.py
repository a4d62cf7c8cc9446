"""VersionStore: publish versions of the data, find them by name, open them, share them."""

from __future__ import annotations

import errno
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from clip_har.data.manifest import Manifest
from clip_har.data.sources.base import Progress
from clip_har.data.versions import checkout
from clip_har.data.versions.config import DataVersion
from clip_har.data.versions.locking import only_writer
from clip_har.data.versions.objects import INCOMING, Directory, ObjectCache, Stored
from clip_har.data.versions.remote_setting import read_remote, write_remote
from clip_har.data.versions.repository import IMAGES, MANIFEST, Content, VersionRepository
from clip_har.data.versions.transfer import RemoteStorage
from clip_har.errors import DataError
from clip_har.storage import write_atomic

if TYPE_CHECKING:
    from clip_har.data.validation import Inspection, ValidationReport

_REPOSITORY, _VERSIONS, _DEFAULT_REMOTE = "data", "versions", "remote"
_MANIFEST_FILE, _REPORT, _INSPECTION = "manifest.parquet", "validation", "inspection"
_DESCRIPTION = ".description."
_LEFTOVERS = (
    f".{_REPOSITORY}.*.partial",
    f"{_DESCRIPTION}*",
    f"{_VERSIONS}/.*.partial",
    f"{_REPOSITORY}/{INCOMING.as_posix()}",
    f"{_REPOSITORY}/.dvc/.*.partial",
)


@dataclass(frozen=True)
class PublishedData:
    """A version opened.

    Attributes:
        version: which one.
        manifest: its Manifest; `root` is where the pictures lie, `data_revision` the Git commit in every row, `dvc_hash`
            DVC's md5 of the pictures.
        report: what validation found.
        inspection: what validation measured of each picture.
        folder: where it is laid out: `images/` and `manifest/`, read-only.
    """

    version: DataVersion
    manifest: Manifest
    report: ValidationReport
    inspection: Inspection
    folder: Path


@dataclass(frozen=True)
class Garbage:
    """What `collect_garbage` found that no branch and no tag leads to."""

    objects: int
    folders: int
    remote_objects: int


class VersionStore:
    """The versions in a workspace. Nothing is made on disk before the first version is published.

    One process writes at a time; others wait. Whatever a killed process left half-done is cleared away by the next.

    Args:
        workspace: the folder; versions live in `data/` (Git + DVC), `versions/` (laid out) and, by default, `remote/`.
        remote: DVC remote, a folder or a URL; None: the one that the workspace has been using, at first `remote/`.
    """

    def __init__(self, workspace: str | Path, remote: str | None = None) -> None:
        self.workspace = Path(workspace).absolute()
        self.repository = self.workspace / _REPOSITORY
        self._git = VersionRepository(self.repository)
        self._remote = remote

    @property
    def remote(self) -> str:
        """URL of the DVC remote."""
        if self._remote is not None:
            return self._remote if "://" in self._remote else str(Path(self._remote).expanduser().absolute())
        return read_remote(self.repository) or str(self.workspace / _DEFAULT_REMOTE)

    def publish(
        self,
        manifest: Manifest,
        report: ValidationReport,
        inspection: Inspection,
        *,
        source_key: str,
        files: dict[str, bytes | str] | None = None,
        tag: str | None = None,
        push: bool = True,
        progress: Progress | None = None,
    ) -> DataVersion:
        """Make a version of the accepted pictures and what is known of them.

        Only pictures that the newest version lacks are copied. Publishing the same again gives the version that is
        there; a new tag is still set. A push that fails leaves the version here and warns: `push` can be repeated.

        Args:
            source_key: what the data were made from and how.
            files: further files to keep beside the Manifest: name → content.
            tag: Git tag for the version.
            progress: of copying, then of sending.

        Raises:
            DataError: if a picture has changed or gone since validation, the tag names another version, or the disk is
                full; nothing is published then.
        """
        with self._writing() as objects:
            self._git.initialise()
            write_remote(self.repository, self.remote)
            tagged = None if tag is None else self._git.check_tag(tag)
            head = self._git.head()
            images = self._put_images(manifest, head, objects, progress)
            described = self._put_description(manifest, report, inspection, files or {}, objects)
            version = head
            if head is None or not self._is(head, images, described, source_key):
                if tagged is not None:
                    self._git.tag(tag, "")  # says which version has it
                about = {"manifest_hash": manifest.content_hash, "source_key": source_key, "samples": len(manifest)}
                message = f"{len(manifest)} pictures, {len(manifest.labels)} classes"
                version = self._git.commit(images, described, about, message)
            if tag is not None:
                self._git.tag(tag, version.git_revision)
            self._git.tidy()
            if push:
                try:
                    self._push(progress)
                except DataError as error:
                    warnings.warn(
                        f"The version {version.git_revision[:12]} is published in {self.repository}, but not everything "
                        f"was pushed: {error} Repeat it with: clip-har data push",
                        stacklevel=2,
                    )
            return self._git.resolve(version.git_revision)

    def current(self) -> DataVersion | None:
        """The newest version: the tip of `main`."""
        return self._git.head()

    def resolve(self, name: str) -> DataVersion:
        """The version that a Git tag, branch or commit names.

        Raises:
            DataError: if there is none; the message names the nearest.
        """
        return self._git.resolve(name)

    def versions(self) -> list[DataVersion]:
        """All versions that a branch or tag leads to, the newest first."""
        return self._git.log()

    def open(self, version: DataVersion, progress: Progress | None = None) -> PublishedData:
        """Open a version: laid out once under `versions/`, from DVC's cache or, what that lacks, from the remote.

        Every file is checked against its md5 when it is laid out; a later change to one is noticed by its size or
        time of change, and the version is laid out anew.

        Raises:
            DataError: if something is neither whole here nor in the remote.
        """
        from clip_har.data.validation import Inspection, ValidationReport

        folder = self.workspace / _VERSIONS / checkout.name_of(version)
        if not checkout.is_whole(folder):
            with self._writing() as objects:
                if not checkout.is_whole(folder):  # else another process has just done it
                    content = self._git.content(version.git_revision)
                    checkout.lay_out(folder, content, objects, self._storage(), progress)
        about = folder / MANIFEST
        stored = Manifest.read(about / _MANIFEST_FILE)
        manifest = replace(
            stored,
            frame=stored.frame.assign(data_revision=version.git_revision),
            root=str(folder / IMAGES),
            dvc_hash=version.dvc_hash,
        )
        if manifest.content_hash != version.manifest_hash:
            raise DataError(
                f"The Manifest of {version.git_revision[:12]} is not the one that was published: the commit was changed "
                "by hand. Publish the data again."
            )
        report, inspection = ValidationReport.read(about / _REPORT), Inspection.read(about / _INSPECTION)
        return PublishedData(version, manifest, report, inspection, folder)

    def read(self, version: DataVersion, name: str) -> bytes | None:
        """A file of a version's `manifest/`, without laying the version out; None if it has no such file.

        Raises:
            DataError: if it is neither whole here nor in the remote.
        """
        with self._writing() as objects:
            about = checkout.directory(self._git.content(version.git_revision).manifest, objects, self._storage())
            if name not in about:
                return None
            checkout.fetch(objects.unusable([about[name]]), objects, self._storage())
            return objects.path(about[name]).read_bytes()

    def tag(self, name: str, version: DataVersion) -> DataVersion:
        """Give a version a Git tag.

        Raises:
            DataError: if the tag names another version, or cannot be a tag.
        """
        with self._writing():
            self._git.tag(name, version.git_revision)
        return self._git.resolve(version.git_revision)

    def push(self, progress: Progress | None = None) -> None:
        """Send what branches and tags lead to: the data to the DVC remote, then commits and tags to Git's `origin`.

        Raises:
            DataError: if not everything could be sent; what was need not be sent again.
        """
        self._require_repository()
        with self._writing():
            self._push(progress)

    def pull(self, version: str | None = None, progress: Progress | None = None) -> DataVersion:
        """Fetch commits and tags from Git's `origin`, if there is one, and the data of a version into the cache.

        Args:
            version: its name; the newest one's if not given.

        Raises:
            DataError: if something could not be fetched.
        """
        self._require_repository()
        with self._writing() as objects:
            self._git.fetch()
            self._git.tidy()
            wanted = self._git.resolve(version or "main")
            self._fetch(wanted, objects, progress)
            return wanted

    def collect_garbage(
        self, *, all_commits: bool = False, include_remote: bool = False, dry_run: bool = False
    ) -> Garbage:
        """Remove data that no branch and no tag names, from the cache and from `versions/`.

        Args:
            all_commits: keep the data of all older commits on branches too.
            include_remote: also clean the remote. It keeps nothing for other repositories that use the same remote.
            dry_run: only count.

        Raises:
            DataError: if a version to be kept is incomplete both here and in the remote.
        """
        self._require_repository()
        with self._writing() as objects:
            revisions = {version.git_revision for version in self.versions()} if all_commits else set()
            revisions |= set(self._git.tips().values())
            used: set[str] = set()
            for content in {self._git.content(revision) for revision in revisions}:
                for oid in (content.images, content.manifest):
                    used |= {oid, *checkout.directory(oid, objects, self._storage()).values()}
            kept = {revision[:12] for revision in revisions}
            folders = [path for path in (self.workspace / _VERSIONS).glob("*") if path.name not in kept]
            unused = objects.unused(used)
            if not dry_run:
                for folder in folders:
                    shutil.rmtree(folder)
                for path in unused:
                    path.unlink()
            removed = self._storage().collect_garbage(used, dry_run=dry_run) if include_remote else 0
            return Garbage(len(unused), len(folders), removed)

    @classmethod
    def clone(
        cls, git_url: str, workspace: str | Path, remote: str | None = None, progress: Progress | None = None
    ) -> VersionStore:
        """Start a workspace from another one's Git repository, with the data of its newest version.

        Args:
            git_url: any URL that Git takes, or the folder of a workspace or of its repository.
            remote: the DVC remote that the other pushes to. If not given and the other is a folder on this machine: the
                one that it uses.

        Raises:
            DataError: if there are versions in the workspace already, or something cannot be fetched.
        """
        store = cls(workspace, remote)
        place = Path(git_url)
        if (place / _REPOSITORY / ".git").is_dir():
            place = place / _REPOSITORY
        if place.is_dir():
            git_url = str(place.absolute())
            if remote is None and (place / ".dvc").is_dir():
                store._remote = cls(place.absolute().parent).remote
        with store._writing() as objects:
            store._git.clone(git_url)
            write_remote(store.repository, store.remote)
            version = store.current() or store.versions()[0]
            store._fetch(version, objects, progress)
        return store

    def _put_images(
        self, manifest: Manifest, head: DataVersion | None, objects: ObjectCache, progress: Progress | None
    ) -> Directory:
        """Copy what the cache lacks. A picture whose id the newest version has is known by its md5."""
        known = {} if head is None else self._md5_by_id(head, objects)
        rows = list(zip(manifest.frame["uri"], manifest.frame["id"], strict=True))
        stored: dict[str, Stored] = {}
        new: list[tuple[str, str]] = []
        for uri, identity in rows:
            _require_inside(uri)
            md5 = known.get(identity)
            size = None if md5 is None else objects.size(md5)
            if size is None:
                new.append((uri, identity))
            else:
                stored[uri] = Stored(md5, size)
        root = Path(manifest.root)
        copied = objects.take_all([(root / uri, identity) for uri, identity in new], progress)
        stored |= {uri: item for (uri, _), item in zip(new, copied, strict=True)}
        if len({item.md5 for item in stored.values()}) != len(rows):
            raise DataError(
                "Two different pictures have the same md5, which DVC cannot tell apart: remove one of them."
            )
        return objects.put_directory({uri: stored[uri] for uri, _ in rows})

    def _md5_by_id(self, head: DataVersion, objects: ObjectCache) -> dict[str, str]:
        content = self._git.content(head.git_revision)
        images, about = objects.files_of(content.images), objects.files_of(content.manifest)
        if images is None or about is None or objects.unusable([about[_MANIFEST_FILE]]):
            return {}
        frame = Manifest.read(objects.path(about[_MANIFEST_FILE])).frame
        return {identity: images[uri] for uri, identity in zip(frame["uri"], frame["id"], strict=True) if uri in images}

    def _put_description(
        self,
        manifest: Manifest,
        report: ValidationReport,
        inspection: Inspection,
        files: dict[str, bytes | str],
        objects: ObjectCache,
    ) -> Directory:
        stored = replace(manifest, frame=manifest.frame.assign(data_revision=""), root=IMAGES, dvc_hash="")
        with tempfile.TemporaryDirectory(dir=self.workspace, prefix=_DESCRIPTION) as temporary:
            folder = Path(temporary)
            stored.write(folder / _MANIFEST_FILE)
            for name, part in ((_REPORT, report), (_INSPECTION, inspection)):
                (folder / name).mkdir()
                part.write(folder / name)
            for name, data in files.items():
                _require_inside(name)
                if (folder / name).exists():
                    raise DataError(f"A file beside the Manifest cannot be called {name!r}: that is a part of it.")
                write_atomic(folder / name, data)
            paths = sorted(path for path in folder.rglob("*") if path.is_file())
            return objects.put_directory({path.relative_to(folder).as_posix(): objects.take(path) for path in paths})

    def _is(self, version: DataVersion, images: Directory, description: Directory, source_key: str) -> bool:
        wanted = Content(images.oid, description.oid)
        return version.source_key == source_key and self._git.content(version.git_revision) == wanted

    def _push(self, progress: Progress | None) -> None:
        contents = {self._git.content(revision) for revision in set(self._git.tips().values())}
        self._storage().push({oid for item in contents for oid in (item.images, item.manifest)}, progress)
        self._git.send()

    def _fetch(self, version: DataVersion, objects: ObjectCache, progress: Progress | None) -> None:
        content = self._git.content(version.git_revision)
        wanted: set[str] = set()
        for oid in (content.images, content.manifest):
            wanted |= set(checkout.directory(oid, objects, self._storage()).values())
        checkout.fetch(objects.unusable(wanted), objects, self._storage(), progress)

    def _storage(self) -> RemoteStorage:
        return RemoteStorage(self.repository, self.remote)

    def _require_repository(self) -> None:
        if not self._git.exists:
            raise DataError(f"No version of the data has been published in {self.workspace} yet.")

    @contextmanager
    def _writing(self) -> Iterator[ObjectCache]:
        try:
            with only_writer(self.workspace, self.repository, _LEFTOVERS):
                yield ObjectCache(self.repository)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                free = shutil.disk_usage(self.workspace).free
                raise DataError(
                    f"There is no space left for the data's versions in {self.workspace} ({free / 1e6:,.0f} MB are free). "
                    "Make room (clip-har data gc shows what no tag needs) and run the same again: it goes on from there."
                ) from error
            raise


def _require_inside(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or PurePosixPath(path).as_posix() != path:
        raise DataError(f"{path!r} is not a plain path below the folder of the data, so it cannot be published.")
