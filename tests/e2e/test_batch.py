"""`--pipeline batch` as a user types it: everything is a row, killed it goes on, and the next run has the same figures."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.command import Workplace
from tests.e2e.conftest import TRAIN
from tests.self_contained import requests_of

pytestmark = pytest.mark.slow


def _killed_with_parts(place: Workplace, *arguments: str) -> None:
    """Start the pipeline, and kill all of it when it has left a part."""
    process = subprocess.Popen(
        place.command("batch", *arguments),
        cwd=place.folder,
        env=place.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(6000):
            if process.poll() is not None or list(place.workspace.glob("batch/*/part-*")):
                break
            time.sleep(0.02)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert list(place.workspace.glob("batch/*/part-*")), "it left a part"


@pytest.mark.thorough
def test_a_folder_becomes_a_table(first_run, tmp_path: Path) -> None:
    trained, _ = first_run
    place = trained.copy(tmp_path / "place")
    for number in range(10):  # enough that there is something to kill
        shutil.copytree(place.folder / "photos", place.folder / "many" / f"{number:02d}")
    batch = (*TRAIN, "--set", "batch.source=many", "--set", "batch.part_rows=32")
    photographs = sum(path.is_file() for path in (place.folder / "many").rglob("*"))

    done = place.run("batch", *TRAIN)
    assert (done.code, done.out) == (2, "")
    assert "--set batch.source=FOLDER" in done.said

    _killed_with_parts(place, *batch)
    assert place.record()["pipeline"] == "train", "nothing was published"
    done = place.run("batch", *batch)
    assert done.code == 0, done.err
    assert "Going on: " in done.said
    assert "Best labels" in done.out
    record, figures = place.record(), place.metrics()["batch"]
    assert record["model_id"] == trained.record()["model_id"]
    assert record["batch"]["kept"] >= 32
    assert [step["name"] for step in record["steps"]] == ["open_bundle", "predict_images", "publish_predictions"]
    table = pq.read_table(place.latest / "predictions.parquet").to_pylist()
    assert len(table) == figures["images"] == photographs
    assert figures["errors"] == {"not_an_image": 10}
    assert sum(figures["labels"].values()) == figures["answered"] == photographs - 10
    assert [row["path"] for row in table] == sorted(row["path"] for row in table)
    assert not list(place.workspace.glob("batch/*/*")), "the parts are tidied up"
    page = (place.latest / "report.html").read_text()
    assert requests_of(page) == []
    assert page.count("data:image/jpeg") >= 10
    first = (place.latest / "predictions.parquet").read_bytes()

    done = place.run("batch", *batch)
    assert done.code == 0, done.err
    assert "Going on" not in done.said
    assert (place.latest / "predictions.parquet").read_bytes() == first
    assert place.metrics()["batch"] == figures
