from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest


@pytest.fixture(autouse=True)
def _no_identity(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A user whom Git and DVC do not know."""
    home = tmp_path_factory.mktemp("home")
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    levels = [getattr(pygit2.enums.ConfigLevel, name) for name in ("GLOBAL", "XDG", "SYSTEM")]
    known = [pygit2.settings.search_path[level] for level in levels]  # libgit2 looked at HOME when it was loaded
    for level in levels:
        pygit2.settings.search_path[level] = str(home)
    yield
    for level, place in zip(levels, known, strict=True):
        pygit2.settings.search_path[level] = place


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with six."""
    from tests.data.versions.world import write_pictures

    folder = tmp_path / "photographs"
    write_pictures(folder, range(6))
    return folder
