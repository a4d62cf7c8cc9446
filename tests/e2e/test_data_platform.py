"""The data pipeline: versions and back, killed at any moment, and what people decide about rejected photographs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from clip_har.data.manifest import Manifest
from clip_har.data.quarantine import RejectionQueue
from clip_har.data.versions import VersionStore
from tests.command import Workplace
from tests.e2e.conftest import LABELS, TRAIN
from tests.tiny_models import colour_photos

pytestmark = pytest.mark.slow

QUICK = (*TRAIN, "--set", "adaptation.methods=[zero_shot, linear_probe]", "--set", "evaluation.examples=0")
# How often the pipeline is killed; more with CLIP_HAR_KILLS=10.
KILLS = int(os.environ.get("CLIP_HAR_KILLS", "2"))


def store_of(place: Workplace) -> VersionStore:
    return VersionStore(place.workspace)


def opened(place: Workplace, name: str = "main") -> Manifest:
    store = store_of(place)
    return store.open(store.resolve(name)).manifest


def splits_of(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.frame["id"], manifest.frame["split"], strict=True))


def test_versions_and_back(furnished: Path, tmp_path: Path) -> None:
    shutil.copytree(furnished, tmp_path / "place")
    place = Workplace(tmp_path / "place")
    done = place.run("data", *TRAIN, "--set", "workspace.tag=v1")
    assert done.code == 0, done.err
    assert "v1" in done.out
    assert (place.latest / "version.json").is_file()
    assert "<html" in (place.latest / "report.html").read_text()
    # more photographs, of which one resembles an old one
    colour_photos(tmp_path / "more", LABELS, 12, seed=5)
    for path in sorted((tmp_path / "more").rglob("*.jpg")):
        shutil.copy(path, place.folder / "photos" / path.parent.name / f"more-{path.name}")
    done = place.run("data", *TRAIN, "--set", "workspace.tag=v2")
    assert done.code == 0, done.err

    first, second = opened(place, "v1"), opened(place, "v2")
    assert len(second) > len(first)
    assert splits_of(first).items() <= splits_of(second).items(), "every picture of v1 keeps its split"
    runs = {}
    for number, name in enumerate(("v1", "v2", "v1")):
        run = (
            place.run_anew if number == 2 else place.run
        )  # the same hashes of strings would hide that an order is chance
        done = run("train", *QUICK, "--no-cache", "--set", f"data.version={name}")
        assert done.code == 0, done.err
        assert "ingest_data" not in done.err, "the source is not looked at"
        runs[number] = (place.record()["data_hash"], (place.latest / "metrics.json").read_bytes())
    assert runs[0] == runs[2]
    assert runs[0][0] == first.content_hash != runs[1][0] == second.content_hash
    version = store_of(place).resolve("v1")
    from clip_har.models.bundle import ModelBundle

    info = ModelBundle.load(place.latest / "bundle").info
    assert (info.data_revision, info.data_dvc_hash) == (version.git_revision, version.dvc_hash)


@pytest.mark.thorough
def test_killed_at_random_moments_the_pipeline_ends_with_the_same_version(furnished: Path, tmp_path: Path) -> None:
    shutil.copytree(furnished, tmp_path / "whole")
    whole = Workplace(tmp_path / "whole")
    started = time.monotonic()
    assert whole.run("data", *TRAIN).code == 0
    took = time.monotonic() - started
    wanted, rejected = opened(whole), queue_of(whole)
    moments = random.Random(4)
    for number in range(KILLS):
        folder = tmp_path / f"killed-{number}"
        shutil.copytree(furnished, folder)
        place = Workplace(folder)
        command = place.command("data", *TRAIN)
        process = subprocess.Popen(
            command, cwd=folder, env=place.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moments.uniform(0.3, 1.0) * took)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = place.run("data", *TRAIN)
        assert done.code == 0, done.err
        found = opened(place)
        assert found.content_hash == wanted.content_hash
        assert len(store_of(place).versions()) == 1
        pictures = {path.relative_to(found.root).as_posix() for path in Path(found.root).rglob("*") if path.is_file()}
        assert pictures == set(found.frame["uri"]), "nothing lost, nothing twice"
        pd.testing.assert_frame_equal(queue_of(place), rejected)
        counts = place.metrics()["data"]
        assert counts["accepted"] + counts["rejected"] == counts["found"]
        shutil.rmtree(folder)


def queue_of(place: Workplace) -> pd.DataFrame:
    """The queue without what differs from run to run."""
    entries = RejectionQueue(place.workspace / "quarantine").entries()
    return entries[["uri", "reason", "id", "status"]].sort_values(["reason", "uri"]).reset_index(drop=True)


def test_what_people_decide_is_taken_into_account(furnished: Path, tmp_path: Path) -> None:
    shutil.copytree(furnished, tmp_path / "place")
    place = Workplace(tmp_path / "place")
    misnamed = place.folder / "photos" / "running" / "really-a-jpeg.png"
    (place.folder / "photos" / "running" / "running_007.jpg").rename(misnamed)
    assert place.run("data", *TRAIN).code == 0
    before = place.metrics()["data"]
    assert before["rejected_by_reason"]["wrong_type"] == 1
    command = [sys.executable, "-m", "clip_har", "quarantine", "requeue", "running/really-a-jpeg.png"]
    decision = ["--who", "ann", "--why", "its name is wrong, its picture is not", "--waive", "wrong_type"]
    done = subprocess.run([*command, *decision], cwd=place.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert place.run("data", *TRAIN).code == 0
    after = place.metrics()["data"]
    assert "wrong_type" not in after["rejected_by_reason"]
    assert after["accepted"] == before["accepted"] + 1
    assert after["accepted"] + after["rejected"] == after["found"] == before["found"]
    assert "running/really-a-jpeg.png" in set(opened(place).frame["uri"])
    history = subprocess.run([*command[:4], "history"], cwd=place.folder, capture_output=True, text=True).stdout
    assert "ann" in history
    assert "its name is wrong" in history
