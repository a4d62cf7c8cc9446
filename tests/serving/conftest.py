from __future__ import annotations

from pathlib import Path

import pytest

from tests.serving.engines import make_served_bundle
from tests.shared_folder import made_once


@pytest.fixture(scope="session")
def served_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny trained bundle with accepted ONNX forms (fp32, int8) and a self-test. Not to be changed: copy it."""
    return made_once(tmp_path_factory, "served", make_served_bundle) / "bundle"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache folder that is the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "clip-har"
