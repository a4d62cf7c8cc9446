"""Objects between a repository's cache and its DVC remote, without DVC's noise and with its reasons."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_har.data.sources.base import Progress
from clip_har.errors import ClipHarError, DataError

if TYPE_CHECKING:
    from dvc.repo import Repo

REMOTE = "storage"
_LOGGERS = ("dvc", "dvc_data", "dvc_objects")


class RemoteStorage:
    """The DVC remote of a repository.

    Args:
        url: a folder, or any URL that DVC takes.
    """

    def __init__(self, repository: Path, url: str) -> None:
        self.url = url
        self._repository = repository

    def push(self, oids: Iterable[str], progress: Progress | None = None) -> None:
        """Send what the remote lacks of these objects; of a directory its files first, then its list.

        Raises:
            DataError: if not all of it arrived; what did need not be sent again.
        """
        self._transfer(oids, to_remote=True, progress=progress)

    def pull(self, oids: Iterable[str], progress: Progress | None = None) -> None:
        """Fetch what the cache lacks of these objects (of a directory its list only).

        Raises:
            DataError: if not all of it could be fetched.
        """
        self._transfer(oids, to_remote=False, progress=progress)

    def collect_garbage(self, used: set[str], *, dry_run: bool = False) -> int:
        """Remove every object but the used ones from the remote; the number of those (to be) removed."""
        from dvc_data.hashfile.db import get_index
        from dvc_data.hashfile.gc import gc

        with self._open("clean") as repo:
            database = repo.cloud.get_remote_odb(REMOTE, "gc -c")
            removed = gc(database, _hashes(used), dry=dry_run)
            if not dry_run:
                get_index(database).clear()
        return removed

    def _transfer(self, oids: Iterable[str], *, to_remote: bool, progress: Progress | None) -> None:
        from dvc_data.hashfile.db import get_index
        from dvc_data.hashfile.transfer import transfer

        absent: set[str] = set()
        with self._open("reach") as repo, _reasons() as reasons:
            cache, remote = repo.cache.local, repo.cloud.get_remote_odb(REMOTE, "push" if to_remote else "pull")
            result = transfer(
                *((cache, remote) if to_remote else (remote, cache)),
                _hashes(oids),
                validate_status=lambda status: absent.update(item.value for item in status.missing),
                dest_index=get_index(remote) if to_remote else None,
                cache_odb=cache,
                shallow=not to_remote,
                callback=_callback(progress),
            )
        if absent:
            where = f"neither in the cache nor in the remote {self.url}"
            raise DataError(f"{len(absent)} objects are {where}; one of them: {min(absent)}.")
        if result.failed:
            verb = "sent to" if to_remote else "fetched from"
            raise DataError(
                f"{len(result.failed)} objects could not be {verb} the remote {self.url}: {reasons[0] if reasons else '?'}"
            )

    @contextmanager
    def _open(self, doing: str) -> Iterator[Repo]:
        from dvc.repo import Repo

        with _reasons():
            try:
                repo = Repo(str(self._repository), config=self._config())
                try:
                    yield repo
                finally:
                    repo.close()
            except ClipHarError:
                raise
            except Exception as error:  # each kind of storage has exceptions of its own, from a package of its own
                raise DataError(f"cannot {doing} the remote {self.url}: {_first_line(error)}") from error

    def _config(self) -> dict[str, Any]:
        """What DVC need not find in files: the remote, and a place for its indexes that is not shared by the machine."""
        place = str(self._repository / ".dvc" / "tmp" / "site")
        return {
            "core": {"remote": REMOTE, "analytics": False, "check_update": False, "site_cache_dir": place},
            "remote": {REMOTE: {"url": self.url}},
        }


def _hashes(oids: Iterable[str]) -> list:
    from dvc_data.hashfile.hash_info import HashInfo

    return [HashInfo("md5", oid) for oid in oids]


def _callback(progress: Progress | None):
    from fsspec.callbacks import DEFAULT_CALLBACK, Callback

    if progress is None:
        return DEFAULT_CALLBACK

    class Forward(Callback):
        def call(self, hook_name=None, **_):
            if self.size:
                progress(self.value, self.size)

    return Forward()


@contextmanager
def _reasons() -> Iterator[list[str]]:
    """Keep DVC's loggers (and so its progress bars) from the terminal; yields the reasons of what it logs as errors."""
    reasons: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            reasons.append(_first_line(error) if error else record.getMessage())

    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.level, logger.propagate, logger.handlers) for logger in loggers]
    for logger in loggers:
        logger.handlers = [Keep(logging.ERROR)]  # importing DVC gives it handlers that print
        logger.setLevel(logging.ERROR)
        logger.propagate = False
    try:
        yield reasons
    finally:
        for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
            logger.handlers = handlers
            logger.setLevel(level)
            logger.propagate = propagate


def _first_line(error: BaseException) -> str:
    cause = error.__cause__
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0] + (f" ({str(cause).splitlines()[0]})" if cause and str(cause) else "")
