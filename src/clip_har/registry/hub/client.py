"""One repository on the Hub, through the real client: sent to so that only what is missing travels, read at one commit."""

from __future__ import annotations

import glob
import hashlib
import logging
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.hashing import sha256_file
from clip_har.registry.hub.config import MAIN, HubReference
from clip_har.registry.hub.failures import LOG_IN, HubError, in_words

_OF_THE_HUB = ".gitattributes"
_KEPT = "What has arrived is kept: run the same again, and only what is missing is"


class FileToSend(ComponentConfig):
    """A file of what is sent."""

    path: str = Field(description="Where it lies in the repository.")
    size: int = Field(description="In bytes.")
    sha256: str = Field(description="Of its bytes.")


class Sent(ComponentConfig):
    """What was sent, or, of a dry run, would be."""

    repository: str = Field(description="OWNER/NAME.")
    kind: Literal["model", "dataset"] = Field(description="Of the repository.")
    revision: str = Field(description="Branch.")
    private: bool = Field(description="Whether only its owners can see it.")
    tags: tuple[str, ...] = Field(description="Names for good of this content.")
    files: tuple[FileToSend, ...] = Field(description="All files of it.")
    dry_run: bool = Field(False, description="Whether nothing was sent.")
    url: str | None = Field(None, description="Its page; none of a dry run.")
    commit: str | None = Field(None, description="Commit that has all of it; none of a dry run.")
    sent: tuple[str, ...] = Field((), description="Files that the repository did not have.")
    removed: tuple[str, ...] = Field((), description="Files of an earlier content that were removed.")

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.size for file in self.files)


def files_to_send(folder: Path) -> tuple[FileToSend, ...]:
    """The files below a folder, in the order of their names."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(
        FileToSend(path=path.relative_to(folder).as_posix(), size=path.stat().st_size, sha256=sha256_file(path))
        for path in found
    )


class HubRepository:
    """A repository of one kind.

    Args:
        repository: OWNER/NAME.
        kind: "model" or "dataset".
        timeout: seconds without an answer after which a connection counts as broken.
    """

    def __init__(self, repository: str, kind: Literal["model", "dataset"] = "model", timeout: float = 300) -> None:
        self.repository = HubReference.of(repository).repository
        self.kind = kind
        self._timeout = timeout
        self._place = f"the {'repository' if kind == 'model' else 'data set'} {repository}"

    def send(
        self,
        folder: Path,
        *,
        private: bool = True,
        revision: str = MAIN,
        tags: Sequence[str] = (),
        own_tag: str | None = None,
        message: str,
    ) -> Sent:
        """Make the branch's content equal to a folder, in one commit where it is not very large.

        Args:
            tags: each must be free, or name the same content already.
            own_tag: a tag made of the content's id: where it is there, it stays where it is.

        Raises:
            HubError: no token, no permission, a public repository where a private one is wanted, a tag that names other
                content, someone else's commit in between, or a connection that broke.
        """
        files = files_to_send(folder)
        target = {"repo_id": self.repository, "repo_type": self.kind}
        with self._session("sending to", f"{_KEPT} sent.") as api:
            check_can_send()
            url = str(api.create_repo(**target, private=private, exist_ok=True))
            about = api.repo_info(**target)
            if private and not about.private:
                raise HubError(
                    f"{self.repository} is public on the Hub, and private=true was asked for; nothing was sent. Make it "
                    "private in its settings there, or say private=false."
                )
            if revision != MAIN:
                api.create_branch(self.repository, repo_type=self.kind, branch=revision, exist_ok=True)
            head = api.repo_info(**target, revision=revision).sha
            there = {item.name: item.target_commit for item in api.list_repo_refs(**target).tags}
            for tag in tags:
                if tag in there and (
                    self._differing(api, folder, files, there[tag]) or self._strange(api, files, there[tag])
                ):
                    raise HubError(
                        f"The tag {tag!r} of {self.repository} names other content already, and a tag is for good; "
                        "nothing was sent. Choose another tag."
                    )
            missing = self._differing(api, folder, files, head)
            removed = self._strange(api, files, head)
            if missing or removed:
                done = api.upload_folder(
                    **target,
                    folder_path=folder,
                    revision=revision,
                    commit_message=message,
                    parent_commit=head,
                    delete_patterns=[glob.escape(name) for name in removed] or None,
                )
                head = done.oid
            for tag in dict.fromkeys([*tags, *([own_tag] if own_tag else [])]):
                if tag not in there:
                    api.create_tag(self.repository, repo_type=self.kind, tag=tag, revision=head)
            named = tuple(dict.fromkeys([*tags, *([own_tag] if own_tag else [])]))
        return Sent(
            repository=self.repository,
            kind=self.kind,
            revision=revision,
            private=about.private,
            tags=named,
            files=files,
            url=url,
            commit=head,
            sent=tuple(missing),
            removed=tuple(removed),
        )

    def commit(self, revision: str) -> str:
        """The commit that a branch, tag or commit stands for now.

        Raises:
            HubError: if there is none, or the Hub cannot be asked.
        """
        with self._session("reading", "Run the same again.", at=revision) as api:
            return api.repo_info(repo_id=self.repository, repo_type=self.kind, revision=revision).sha

    def files(self, commit: str) -> list[str]:
        """Names of the files at a commit."""
        with self._session("reading", "Run the same again.") as api:
            return list(self._tree(api, commit))

    def read(self, commit: str, name: str) -> bytes:
        """One small file at a commit."""
        import tempfile

        from huggingface_hub import hf_hub_download

        with self._session("reading", "Run the same again.") as api, tempfile.TemporaryDirectory() as folder:
            path = hf_hub_download(
                self.repository, name, repo_type=self.kind, revision=commit, local_dir=folder, endpoint=api.endpoint
            )
            return Path(path).read_bytes()

    def fetch(self, commit: str, names: Sequence[str], target: Path, finish: Callable[[Path], Any]) -> None:
        """Fetch files into a new folder, whole or not at all; what a broken connection left is gone on with.

        Every file is compared with the Hub's own hash of it. `finish` checks, and may change, the folder before it
        gets its name.

        Raises:
            HubError: if the Hub cannot be read, or what came is not what it has.
            FileExistsError: if `target` exists and is not an empty folder.
        """
        from huggingface_hub import snapshot_download

        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise FileExistsError(f"{target} exists already and is not an empty folder.")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{commit[:12]}.partial")
        with self._session("fetching from", f"{_KEPT} fetched.") as api:
            tree = self._tree(api, commit)
            snapshot_download(
                self.repository,
                repo_type=self.kind,
                revision=commit,
                local_dir=partial,
                allow_patterns=[glob.escape(name) for name in names],
                endpoint=api.endpoint,
            )
            absent = [name for name in names if not (partial / name).is_file()]
            if absent:
                raise HubError(
                    f"The connection to the Hub broke while fetching from {self._place} ({len(absent)} of {len(names)} "
                    f"files are missing). {_KEPT} fetched."
                )
            changed = [name for name in names if not _is(partial / name, tree[name])]
        try:
            if changed:
                raise HubError(
                    f"What came from {self._place} is not what the Hub has: {', '.join(changed)}. Nothing was kept; run "
                    "the same again."
                )
            shutil.rmtree(partial / ".cache", ignore_errors=True)
            finish(partial)
            if target.is_dir():
                target.rmdir()
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _tree(self, api: Any, commit: str) -> dict[str, Any]:
        """Files at a commit: path → `RepoFile`."""
        from huggingface_hub.hf_api import RepoFile

        found = api.list_repo_tree(self.repository, repo_type=self.kind, revision=commit, recursive=True)
        return {entry.path: entry for entry in found if isinstance(entry, RepoFile) and entry.path != _OF_THE_HUB}

    def _differing(self, api: Any, folder: Path, files: Sequence[FileToSend], commit: str) -> list[str]:
        """Files that a commit does not have, or has otherwise."""
        tree = self._tree(api, commit)
        return [
            file.path for file in files if file.path not in tree or not _is(folder / file.path, tree[file.path], file)
        ]

    def _strange(self, api: Any, files: Sequence[FileToSend], commit: str) -> list[str]:
        """Files of a commit that are not among these."""
        return sorted(set(self._tree(api, commit)) - {file.path for file in files})

    @contextmanager
    def _session(self, doing: str, again: str, at: str | None = None) -> Iterator[Any]:
        """The client, bounded in time, its failures in words."""
        from huggingface_hub import HfApi

        place = self._place if at in (None, MAIN) else f"{self._place} at {at!r}"
        with in_words(place, doing, again), _bounded(self._timeout), _quiet():
            yield HfApi(library_name="clip-har")


def _is(path: Path, entry: Any, known: FileToSend | None = None) -> bool:
    """Whether a file here equals an entry of the Hub's listing: by sha256 if it is a large file there, else by Git's."""
    if path.stat().st_size != entry.size:
        return False
    if entry.lfs is not None:
        return (known.sha256 if known is not None else sha256_file(path)) == entry.lfs.sha256
    digest = hashlib.sha1(f"blob {entry.size}\0".encode())  # git hash-object
    digest.update(path.read_bytes())
    return digest.hexdigest() == entry.blob_id


def check_can_send() -> None:
    """What can be known before anything is asked of the Hub.

    Raises:
        HubError: if there is no token, or offline mode is set.
    """
    from huggingface_hub import constants, get_token

    if constants.is_offline_mode():
        raise HubError("Sending needs the Hub, and offline mode is set: unset HF_HUB_OFFLINE first.")
    if get_token() is None:
        raise HubError(f"Sending to the Hub needs a token, and there is none. {LOG_IN}.")


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """The client's own HTTP session waits for ever; this one gives up after so long without an answer."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    before = _http._GLOBAL_CLIENT_FACTORY

    def factory() -> Any:
        client = before()
        client.timeout = seconds
        return client

    set_client_factory(factory)
    try:
        yield
    finally:
        set_client_factory(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """The client announces every request and retry, and draws bars into files; on a terminal the bars are wanted."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "httpx2")]
    levels = [logger.level for logger in loggers]
    without_bars = not sys.stderr.isatty() and not are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    if without_bars:
        disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "It seems that you are about to commit a data file")  # reference data
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if without_bars:
            enable_progress_bars()
