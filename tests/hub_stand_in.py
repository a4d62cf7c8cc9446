"""Folders as repositories of a Hub on this machine, for what only reads from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hub_server import hub_server


@contextmanager
def hub_stand_in(models: dict[str, Path], datasets: dict[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Serve folders as public repositories; yields (address for HF_ENDPOINT, the list of requests that were answered).

    Args:
        models, datasets: id → folder with the repository's files.
    """
    with hub_server() as hub:
        for kind, folders in (("models", models), ("datasets", datasets)):
            for name, folder in folders.items():
                files = (path for path in folder.rglob("*") if path.is_file())
                hub.create(kind, name, files={path.relative_to(folder).as_posix(): path.read_bytes() for path in files})
        yield hub.address, hub.asked
