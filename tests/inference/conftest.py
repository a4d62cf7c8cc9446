from __future__ import annotations

from pathlib import Path

import pytest

from clip_har.models.bundle import ModelBundle
from tests.adaptation.tiny_study import Study, tiny_study
from tests.inference.exported_bundle import exported_bundle
from tests.shared_folder import made_once


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A tiny CLIP and its photographs."""
    return tiny_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def exported(study: Study, tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """The tiny CLIP with a linear probe, and its encoders as ONNX in fp32 and int8 (and the dynamic int8 form)."""
    forms = ("onnx", "onnx-int8", "onnx-int8-dynamic")
    folder = made_once(tmp_path_factory, "exported", lambda folder: exported_bundle(study, folder, forms))
    return ModelBundle.load(folder / "bundle")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache folder that is the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "clip-har"
