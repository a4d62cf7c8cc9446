from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clip_har.batch.config import BatchConfig
from clip_har.batch.job import FinishedJob, run_job
from clip_har.component import validated
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from tests.serving.conftest import served_bundle  # noqa: F401 - the fixture

COMPUTE = ComputeConfig(device="cpu", batch_size=8, threads=1)


@pytest.fixture(scope="session")
def bundle(served_bundle: Path) -> ModelBundle:  # noqa: F811
    """A tiny CLIP with a linear probe, and its encoders in ONNX."""
    return ModelBundle.load(served_bundle)


def jpeg(number: int, size: tuple[int, int] = (48, 40), kind: str = "JPEG") -> bytes:
    """A small picture that is unlike the others."""
    generator = np.random.default_rng(number)
    coarse = Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    coarse.resize(size, Image.Resampling.BICUBIC).save(buffer, kind, quality=90)
    return buffer.getvalue()


def pictures(folder: Path, count: int) -> Path:
    """A folder of small pictures, some of them in folders below it."""
    for number in range(count):
        place = folder / ("deeper" if number % 3 == 0 else ".") / f"{number:05d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(jpeg(number))
    return folder


def batch_config(source: object, **settings: object) -> BatchConfig:
    """A config with small parts."""
    value = str(source) if isinstance(source, Path) else source
    return validated(BatchConfig, {"source": value, "part_rows": 16, "runtime": "onnx", **settings})


Recognise = Callable[..., FinishedJob]


@pytest.fixture
def recognise(bundle: ModelBundle, tmp_path: Path) -> Recognise:
    """Run a job in a workspace of the test's own; `said` collects what it says."""

    def run(config: BatchConfig, said: list[str] | None = None, **other: object) -> FinishedJob:
        say = (said if said is not None else []).append
        return run_job(other.get("bundle", bundle), config, COMPUTE, other.get("workspace", tmp_path / "ws"), say)

    return run
