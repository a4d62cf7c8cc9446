"""Killed at random moments and run again, a job ends with the table of an uninterrupted one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from clip_har.models.bundle import ModelBundle
from tests.batch.conftest import pictures

KILLS = int(os.environ.get("CLIP_HAR_KILLS", "3"))
_CHILD = Path(__file__).with_name("killed.py")


def _start(bundle: ModelBundle, source: Path, workspace: Path, target: Path) -> subprocess.Popen:
    command = [sys.executable, str(_CHILD), *map(str, (bundle.path, source, workspace, target))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _parts(workspace: Path) -> int:
    return len(list(workspace.glob("batch/*/part-*.parquet")))


def test_a_killed_job_ends_with_the_same_table(bundle: ModelBundle, tmp_path: Path) -> None:
    source = pictures(tmp_path / "photos", 1500)
    for number in range(0, 1500, 50):
        (source / f"{number:05d}-broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(number))
    whole = _start(bundle, source, tmp_path / "whole", tmp_path / "expected")
    assert whole.communicate(timeout=300)[0] == "kept 0\n"

    chance = random.Random(int(os.environ.get("CLIP_HAR_SEED", "0")))
    parts = [0]
    for _ in range(KILLS):
        process = _start(bundle, source, tmp_path / "killed", tmp_path / "found")
        wanted = parts[-1] + chance.randint(0, 2)
        while process.poll() is None and _parts(tmp_path / "killed") < wanted:
            time.sleep(0.002)
        time.sleep(chance.choice((0.0, chance.uniform(0, 0.05), chance.uniform(0, 0.4))))
        process.kill()
        process.communicate()
        parts.append(_parts(tmp_path / "killed"))
    last = _start(bundle, source, tmp_path / "killed", tmp_path / "found")
    said, complained = last.communicate(timeout=300)
    assert last.returncode == 0, complained
    assert int(said.split()[1]) > 0, parts
    expected, found = (tmp_path / name / "predictions.parquet" for name in ("expected", "found"))
    assert len(pq.read_table(found)) == 1530
    assert found.read_bytes() == expected.read_bytes()
    print("parts after each kill:", parts)
