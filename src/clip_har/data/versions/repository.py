"""The Git side of versions: commits on `main`, tags, and another machine's repository.

Commits are made from objects in memory and appear by the change of one reference, so that a killed writer leaves either the
old state or the new one. The working tree holds only DVC's pointers (`images.dvc`, `manifest.dvc`) and `version.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_har.data.sources.base import CURRENT
from clip_har.data.versions.config import DataVersion
from clip_har.data.versions.objects import Directory
from clip_har.errors import DataError, did_you_mean
from clip_har.storage import new_folder, write_atomic

if TYPE_CHECKING:
    import pygit2

IMAGES, MANIFEST = "images", "manifest"
_MAIN = "refs/heads/main"
_ORIGIN = "origin"
_ABOUT = "version.json"
_AUTHOR = ("clip-har", "clip-har@localhost")  # where the user has told Git no name
_FIXED_FILES = {
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    ".dvc/config": "[core]\n    analytics = false\n    autostage = false\n    check_update = false\n    remote = storage\n"
    '[cache]\n    type = "reflink,hardlink,copy"\n',
    ".dvcignore": "# What DVC leaves alone: https://dvc.org/doc/user-guide/dvcignore\n",
    ".gitignore": f"/{IMAGES}\n/{MANIFEST}\n",
}


@dataclass(frozen=True)
class Content:
    """What DVC keeps of a version: the oids of its two directories."""

    images: str
    manifest: str


class VersionRepository:
    """The Git repository in a folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        """Whether the repository has been made."""
        return (self.folder / ".git").is_dir()

    def initialise(self) -> None:
        """Make the repository whole or not at all, where there is none."""
        import pygit2

        if self.exists:
            return
        if self.folder.exists() and any(self.folder.iterdir()):
            raise DataError(f"{self.folder} exists and is not a repository of data versions: move it away.")
        with new_folder(self.folder) as folder:
            pygit2.init_repository(str(folder), initial_head="main")
            for name, text in _FIXED_FILES.items():
                write_atomic(folder / name, text)

    def clone(self, url: str) -> None:
        """Copy another repository, whole or not at all.

        Raises:
            DataError: if it cannot be reached, or holds no versions.
        """
        from scmrepo.exceptions import SCMError
        from scmrepo.git import Git

        try:
            with new_folder(self.folder) as folder:
                Git.clone(url, str(folder))
                if not VersionRepository(folder).log():
                    raise DataError(f"{url} holds no published version of data: there is no {_ABOUT} in it.")
        except FileExistsError:
            raise DataError(f"{self.folder} exists already: versions are published there.") from None
        except (SCMError, OSError, ValueError) as error:
            reason = error.__cause__ or error
            raise DataError(f"{url} cannot be cloned: {reason or type(reason).__name__}.") from error

    def log(self) -> list[DataVersion]:
        """All versions that a branch or a tag leads to, the newest first."""
        if not self.exists:
            return []
        with self._git() as git:
            tags = _tags(git)
            seen: dict[str, DataVersion] = {}
            for tip in self._tips(git).values():
                for commit in _history(git, tip, seen):
                    version = _version(git, commit, tags)
                    if version is not None:
                        seen[version.git_revision] = version
        return sorted(seen.values(), key=lambda version: version.created, reverse=True)

    def head(self) -> DataVersion | None:
        """The version at the tip of `main`."""
        if not self.exists:
            return None
        with self._git() as git:
            tip = git.references.get(_MAIN)
            return None if tip is None else _version(git, tip.peel(), _tags(git))

    def tips(self) -> dict[str, str]:
        """Branches (another machine's too) and tags → commit."""
        with self._git() as git:
            return {name: str(tip.id) for name, tip in self._tips(git).items()}

    def resolve(self, name: str) -> DataVersion:
        """The version that a tag, a branch or (the first four digits or more of) a commit names.

        Raises:
            DataError: if there is none; the message names the nearest tag or branch.
        """
        import pygit2

        if not self.exists:
            raise DataError(
                f"There is no version {name!r} of the data: nothing has been published in {self.folder} yet "
                "(python run.py --pipeline data)."
            )
        with self._git() as git:
            names = [f"refs/{kind}{name}" for kind in ("tags/", "heads/", f"remotes/{_ORIGIN}/", "remotes/")]
            reference = next(
                (git.references.get(full) for full in names if _valid(full) and full in git.references), None
            )
            commit = reference.peel(pygit2.Commit) if reference is not None else _commit_by_prefix(git, name)
            if commit is None:
                known = sorted({full.split("/", 2)[2].removeprefix(f"{_ORIGIN}/") for full in self._tips(git)})
                raise DataError(
                    f"There is no version {name!r} of the data (a tag, branch or commit in {self.folder}). "
                    f"{did_you_mean(name, known)}"
                )
            version = _version(git, commit, _tags(git))
        if version is None:
            raise DataError(f"{name!r} is a commit in {self.folder}, but not a version: it has no {_ABOUT}.")
        return version

    def content(self, revision: str) -> Content:
        """What DVC keeps of a commit."""
        import pygit2
        import yaml

        with self._git() as git:
            tree = git[revision].peel(pygit2.Commit).tree
            oids = (yaml.safe_load(tree[f"{name}.dvc"].data)["outs"][0]["md5"] for name in (IMAGES, MANIFEST))
            return Content(*oids)

    def commit(self, images: Directory, manifest: Directory, about: dict[str, Any], message: str) -> DataVersion:
        """Commit a version on `main`; the pictures and the Manifest are in DVC's cache already."""
        import pygit2

        about = about | {"created": datetime.now(UTC).isoformat(timespec="microseconds"), "dvc_hash": images.oid}
        files = {
            **_FIXED_FILES,
            f"{IMAGES}.dvc": _pointer(IMAGES, images),
            f"{MANIFEST}.dvc": _pointer(MANIFEST, manifest),
            _ABOUT: json.dumps(about, indent=2, sort_keys=True) + "\n",
        }
        with self._git() as git:
            index = pygit2.Index()
            tip = git.references.get(_MAIN)
            if tip is not None:
                index.read_tree(tip.peel().tree)  # what a user put beside stays
            for name, text in files.items():
                index.add(pygit2.IndexEntry(name, git.create_blob(text.encode()), pygit2.enums.FileMode.BLOB))
            author = _author(git)
            parents = [] if tip is None else [tip.target]
            made = git.create_commit(_MAIN, author, author, message, index.write_tree(git), parents)
            return _version(git, git[made], _tags(git))

    def check_tag(self, name: str) -> str | None:
        """The commit that a tag names, or None if there is no such tag.

        Raises:
            DataError: if a tag cannot have this name.
        """
        full = f"refs/tags/{name}"
        if not _valid(full) or name == CURRENT:
            raise DataError(f"A version cannot be tagged {name!r}: wanted is a name that Git takes, like v1.")
        with self._git() as git:
            reference = git.references.get(full)
            return None if reference is None else str(reference.peel().id)

    def tag(self, name: str, revision: str) -> None:
        """Tag a commit; nothing happens where it has the tag already.

        Raises:
            DataError: if the tag names another commit.
        """
        there = self.check_tag(name)
        if there == revision:
            return
        if there is not None:
            raise DataError(
                f"The tag {name!r} names another version ({there[:12]}). Choose another name, or remove that tag first "
                f"(git -C {self.folder} tag -d {name})."
            )
        with self._git() as git:
            git.references.create(f"refs/tags/{name}", revision)

    def tidy(self) -> None:
        """Bring the working tree in line with `main`, where that is what is checked out."""
        import pygit2

        with self._git() as git:
            if not git.head_is_unborn and git.head.name == _MAIN:
                git.checkout_head(strategy=pygit2.enums.CheckoutStrategy.FORCE)

    def fetch(self) -> bool:
        """Fetch branches and tags from `origin`, and take its `main` where ours has nothing of its own.

        Returns:
            Whether there is an `origin`.

        Raises:
            DataError: if it cannot be reached, or both have versions that the other lacks.
        """
        url = self._origin()
        if url is None:
            return False
        self._exchange(
            "fetched from", url, "fetch_refspecs", f"refs/heads/*:refs/remotes/{_ORIGIN}/*", "refs/tags/*:refs/tags/*"
        )
        with self._git() as git:
            theirs = git.references.get(f"refs/remotes/{_ORIGIN}/main")
            ours = git.references.get(_MAIN)
            if theirs is None or (ours is not None and theirs.target == ours.target):
                return True
            if ours is None:
                git.references.create(_MAIN, theirs.target)
            elif git.descendant_of(theirs.target, ours.target):
                ours.set_target(theirs.target)
            elif not git.descendant_of(ours.target, theirs.target):
                raise DataError(
                    f"{url} and {self.folder} both have versions on main that the other lacks. Theirs can be used as "
                    f"origin/main; to publish to both, merge them with Git in {self.folder}."
                )
        return True

    def send(self) -> bool:
        """Send `main` and all tags to `origin`; whether there is one.

        Raises:
            DataError: if it cannot be reached or refuses.
        """
        url = self._origin()
        if url is None:
            return False
        with self._git() as git:
            tags = [name for name in git.references if name.startswith("refs/tags/")]
        self._exchange("sent to", url, "push_refspecs", *(f"{name}:{name}" for name in (_MAIN, *tags)))
        return True

    def _exchange(self, verb: str, url: str, method: str, *refspecs: str) -> None:
        from scmrepo.exceptions import SCMError
        from scmrepo.git import Git
        from scmrepo.git.backend.base import SyncStatus

        try:
            git = Git(str(self.folder))
            try:
                result = getattr(git, method)(url, list(refspecs))
            finally:
                git.close()
        except (SCMError, OSError) as error:
            raise DataError(f"Versions could not be {verb} {url}: {error.__cause__ or error}") from error
        refused = sorted(name for name, status in result.items() if status == SyncStatus.DIVERGED)
        if refused and any(not name.startswith(f"refs/remotes/{_ORIGIN}/") for name in refused):
            raise DataError(f"These could not be {verb} {url}, where they name other versions: {', '.join(refused)}.")

    def _origin(self) -> str | None:
        with self._git() as git:
            return next((remote.url for remote in git.remotes if remote.name == _ORIGIN), None)

    def _tips(self, git: pygit2.Repository) -> dict[str, pygit2.Commit]:
        import pygit2

        tips = {}
        for name in sorted(git.references):
            if name.startswith(("refs/heads/", "refs/tags/", "refs/remotes/")) and not name.endswith("/HEAD"):
                tips[name] = git.references[name].peel(pygit2.Commit)
        return tips

    @contextmanager
    def _git(self) -> Iterator[pygit2.Repository]:
        import pygit2

        try:
            git = pygit2.Repository(str(self.folder))
            try:
                yield git
            finally:
                git.free()
        except pygit2.GitError as error:
            raise DataError(f"The Git repository {self.folder} cannot be used: {error}.") from error


def _valid(reference: str) -> bool:
    import pygit2

    return pygit2.reference_is_valid_name(reference)


def _author(git: pygit2.Repository) -> pygit2.Signature:
    import pygit2

    try:
        return git.default_signature
    except (KeyError, pygit2.GitError):  # no user.name and user.email
        return pygit2.Signature(*_AUTHOR)


def _tags(git: pygit2.Repository) -> dict[str, list[str]]:
    """Commit → its tags."""
    import pygit2

    tags: dict[str, list[str]] = {}
    for name in sorted(git.references):
        if name.startswith("refs/tags/"):
            commit = str(git.references[name].peel(pygit2.Commit).id)
            tags.setdefault(commit, []).append(name.removeprefix("refs/tags/"))
    return tags


def _history(git: pygit2.Repository, tip: pygit2.Commit, seen: dict[str, DataVersion]) -> Iterator[pygit2.Commit]:
    """A commit and its ancestors, without those seen from another tip."""
    walker = git.walk(tip.id)
    for revision in seen:
        walker.hide(revision)
    yield from walker


def _version(git: pygit2.Repository, commit: pygit2.Commit, tags: dict[str, list[str]]) -> DataVersion | None:
    if _ABOUT not in commit.tree:
        return None
    revision = str(commit.id)
    about = json.loads(commit.tree[_ABOUT].data)
    return DataVersion(git_revision=revision, tags=tuple(tags.get(revision, ())), **about)


def _commit_by_prefix(git: pygit2.Repository, name: str) -> pygit2.Commit | None:
    import pygit2

    if len(name) < 4 or any(digit not in "0123456789abcdef" for digit in name.lower()):
        return None
    try:
        found: Any = git.get(name) if len(name) == 40 else git.revparse_single(name)
        return None if found is None else found.peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.InvalidSpecError):
        return None


def _pointer(name: str, directory: Directory) -> str:
    """A `.dvc` file: https://dvc.org/doc/user-guide/project-structure/dvc-files"""
    return (
        f"outs:\n- md5: {directory.oid}\n  size: {directory.size}\n  nfiles: {len(directory.files)}\n"
        f"  hash: md5\n  path: {name}\n"
    )
