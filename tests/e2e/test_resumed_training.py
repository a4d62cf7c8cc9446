"""A pipeline that is killed in the middle of a fit goes on from the checkpoint when the same command is typed again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.command import Finished, Workplace
from tests.e2e.conftest import TRAIN, small_config

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

# How often the fit is killed; more with CLIP_HAR_KILLS=20, other moments with CLIP_HAR_KILLS_SEED.
KILLS = int(os.environ.get("CLIP_HAR_KILLS", "2"))
STEPS = 240


@pytest.fixture
def places(first_run: tuple[Workplace, Finished], tmp_path: Path) -> tuple[Workplace, Workplace]:
    """Two copies of a workplace with data and embeddings, whose configuration asks for a fit that has not run."""
    training = {"epochs": 1000, "max_steps": STEPS, "batch_size": 16, "evaluate_every": 7, "patience": None}
    tuning = {"penalties": [0.1], "balance": "sampling", "training": training | {"checkpoint": {"every_steps": 1}}}
    config = small_config() | {"adaptation": {"methods": ["projection_tuning"], "projection_tuning": tuning}}
    made = []
    for name in ("whole", "killed"):
        made.append(first_run[0].copy(tmp_path / name))
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return made[0], made[1]


def last_step(place: Workplace) -> int:
    """Of the newest checkpoint."""
    saved = place.workspace.glob("checkpoints/*/step-*")
    return max((int(path.name.removeprefix("step-")) for path in saved), default=0)


def killed(place: Workplace, beyond: int, delay: float) -> int:
    """Run and kill some time after the fit has passed a step; the step that it came to."""
    process = subprocess.Popen(
        place.command("train", *TRAIN), cwd=place.folder, env=place.environment(), stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and last_step(place) <= beyond:
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    return last_step(place)


def test_killed_in_the_middle_of_a_fit_it_ends_with_the_same_metrics(places: tuple[Workplace, Workplace]) -> None:
    whole, place = places
    done = whole.run_anew("train", *TRAIN)
    assert done.code == 0, done.err
    moments = random.Random(os.environ.get("CLIP_HAR_KILLS_SEED", "0"))
    reached = [0]
    for number in range(KILLS):
        room = (STEPS - 30 - reached[-1]) // (KILLS - number)
        reached.append(killed(place, reached[-1] + moments.randint(0, max(0, room - 1)), moments.uniform(0, 0.05)))
        assert reached[-2] < reached[-1] < STEPS, "in the middle of the fit, and beyond where it went on"
    done = place.run("train", *TRAIN)
    assert done.code == 0, done.err
    assert place.ran() >= {"adapt_projection_tuning"}
    assert not {"embed_images", "pool_images"} & place.ran()
    assert len(list(place.workspace.glob("checkpoints/*/"))) == 1, "it went on, and did not begin anew"
    assert (place.latest / "metrics.json").read_bytes() == (whole.latest / "metrics.json").read_bytes()
    assert place.record()["model_id"] == whole.record()["model_id"]
