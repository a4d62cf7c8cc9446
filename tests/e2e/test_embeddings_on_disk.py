"""Runs that share what image encoders have made of the photographs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.command import Workplace
from tests.e2e.conftest import TRAIN, small_config

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

TUNING = {
    "methods": ["projection_tuning"],
    "projection_tuning": {
        "penalties": [0.0],
        "wise_ft": None,
        "training": {"max_steps": 8, "learning_rate": 0.03, "select_by": "log_loss"},
    },
}


def test_photographs_are_encoded_once_for_all_methods_runs_and_pipelines(furnished: Path, tmp_path: Path) -> None:
    place = Workplace(shutil.copytree(furnished, tmp_path / "place"))

    def run(pipeline: str, adaptation: dict) -> set[str]:
        (place.folder / "config.yaml").write_text(yaml.safe_dump(small_config() | {"adaptation": adaptation}))
        done = place.run(pipeline, *TRAIN)
        assert done.code == 0, done.err
        return {path.relative_to(kept).as_posix() for path in kept.glob("*/*.safetensors")}

    kept = place.workspace / "embeddings"
    first = run("train", TUNING)
    kinds = sorted(path.partition("-")[0] for path in first)
    # all photographs in one pass; then the tuned encoder's, of the calibration and the test split
    assert kinds == ["embeddings", "embeddings", "embeddings", "pooled"]
    assert {"pool_images", "adapt_projection_tuning"} <= place.ran()
    tuned, bundle = place.metrics()["test"], place.latest / "bundle"

    assert run("train", {"methods": ["linear_probe"]}) == first
    assert {"embed_images", "adapt_linear_probe"} <= place.ran()

    done = place.run("evaluate", *TRAIN, "--set", f"bundle={bundle}")
    assert done.code == 0, done.err
    assert {path.relative_to(kept).as_posix() for path in kept.glob("*/*.safetensors")} == first
    assert place.metrics()["test"] == tuned
