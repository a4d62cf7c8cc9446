from __future__ import annotations

import os
from pathlib import Path

import pytest

from clip_har.storage import exclusive
from tests.serving.engines import make_served_bundle


@pytest.fixture(scope="session")
def served_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny trained bundle with accepted ONNX forms (fp32, int8) and a self-test. Not to be changed: copy it."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return make_served_bundle(tmp_path_factory.mktemp("served")).path
    shared = tmp_path_factory.getbasetemp().parent / "served"  # made by the worker that comes first
    with exclusive(shared.with_name("served.lock")):
        if not (shared / "done").exists():
            make_served_bundle(shared)
            (shared / "done").touch()
    return shared / "bundle"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache folder that is the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "clip-har"
