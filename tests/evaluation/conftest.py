from __future__ import annotations

import pytest

from tests.adaptation.tiny_study import Study, tiny_study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A tiny CLIP and its photographs."""
    return tiny_study(tmp_path_factory.mktemp("study"))
