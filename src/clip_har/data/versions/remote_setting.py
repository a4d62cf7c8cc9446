"""Which DVC remote a repository uses: in `.dvc/config.local`, which Git ignores and the `dvc` command reads."""

from __future__ import annotations

import os
from pathlib import Path

from clip_har.data.versions.transfer import REMOTE
from clip_har.errors import DataError
from clip_har.storage import write_atomic

_FILE = Path(".dvc") / "config.local"
_SECTION = f'remote "{REMOTE}"'


def read_remote(repository: Path) -> str | None:
    """The remote's URL or absolute folder; None if none is set."""
    file = repository / _FILE
    if not file.is_file():
        return None
    url = _parsed(file).get(_SECTION, {}).get("url")
    return url if url is None or "://" in url else str((file.parent / url).resolve())


def write_remote(repository: Path, url: str) -> None:
    """Set the remote; a folder beside the repository is written as a relative path, so that both can be moved."""
    if read_remote(repository) == url:
        return
    file = repository / _FILE
    settings = _parsed(file)
    if "://" not in url and Path(url).is_relative_to(repository.parent):
        url = os.path.relpath(url, file.parent)
    settings.setdefault(_SECTION, {})["url"] = url
    write_atomic(file, "\n".join(settings.write()) + "\n")


def _parsed(file: Path):
    from configobj import ConfigObj, ConfigObjError

    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        return ConfigObj(lines)
    except ConfigObjError as error:
        raise DataError(f"{file} is not a configuration of DVC: {error}.") from error
