"""What all tests share: no network, quiet libraries, and the real photographs and backbone where they are present."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    ZENML_ANALYTICS_OPT_IN="false",
    ZENML_AUTO_OPEN_DASHBOARD="false",
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="1",
    TOKENIZERS_PARALLELISM="false",
    MPLBACKEND="agg",
)

if "PYTEST_XDIST_WORKER" in os.environ:  # as many threads as there are workers already
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if not hasattr(sys.modules["__main__"], "__file__"):  # ZenML looks for the project from there
    sys.modules["__main__"].__file__ = str(Path(__file__).parents[1] / "run.py")

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _threads_of_torch():
    """As many after a test as before: a Predictor that is told how many sets them for its whole process."""
    before = (
        sys.modules["torch"].get_num_threads() if "torch" in sys.modules else int(os.environ.get("OMP_NUM_THREADS", 0))
    )
    yield
    if before and "torch" in sys.modules and sys.modules["torch"].get_num_threads() != before:
        sys.modules["torch"].set_num_threads(before)


_SHARED = PROJECT.parent / "shared"


def _shared(path: str) -> Path:
    place = _SHARED / path
    if not place.is_dir():
        pytest.skip(f"needs ../shared/{path}, which is not on this machine")
    return place


@pytest.fixture(scope="session")
def har_folder() -> Path:
    """4,500 labelled photographs in Kaggle's layout."""
    return _shared("data/har")


@pytest.fixture(scope="session")
def har_dual_encoder() -> Path:
    """A small real image–text model, `VisionTextDualEncoderModel` with a convolutional image tower."""
    return _shared("models/har_dual_encoder")


@pytest.fixture(scope="session")
def clip_tokenizer() -> Path:
    """The vocabulary of OpenAI's CLIP."""
    return _shared("models/clip_tokenizer")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: whole pipelines, then other modules with slow cases. No worker is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, "e2e" not in item.path.parts))
