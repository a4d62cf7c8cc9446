"""Checkpoints: what a run that was cut off leaves, and that it then ends as if it had not been."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from clip_har.errors import TrainingError
from clip_har.training import checkpoints
from clip_har.training.checkpoints import CheckpointStore, SavedRun, consolidate
from clip_har.training.distributed import World
from clip_har.training.random_state import random_state, set_random_state
from clip_har.training.trainer import Trainer, TrainerConfig, TrainingInterrupted
from tests.training.resumable_run import SETTINGS, run
from tests.training.small_task import SmallTask

CPU = torch.device("cpu")
PROJECT = Path(__file__).parents[2]
STEPS = 6 * 4  # 21 samples in batches of six


def steps_in(folder: Path) -> list[int]:
    return sorted(int(place.name[5:]) for place in folder.glob("checkpoints/*/step-*"))


def only_run(folder: Path) -> Path:
    return next(place for place in (folder / "checkpoints").iterdir() if place.is_dir())


def cut_off(folder: Path, at: int, **options) -> None:
    """A run that an error ends in its step `at` (from 0)."""
    with pytest.raises(RuntimeError, match="burnt"):
        run(folder, fail_at=at // 4 * 7 + at % 4 * 2, **options)  # an epoch's last batch is one part


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict[str, torch.Tensor]]:
    return run(tmp_path_factory.mktemp("whole"))


def assert_same(found: tuple[dict, dict], expected: tuple[dict, dict]) -> None:
    assert {**found[0], "resumed_at": None} == {**expected[0], "resumed_at": None}
    assert found[1].keys() == expected[1].keys()
    assert all(torch.equal(found[1][name], tensor) for name, tensor in expected[1].items())


def test_checkpoints_change_nothing(tmp_path: Path, uninterrupted) -> None:
    assert uninterrupted[0]["resumed_at"] is None
    assert_same(run(tmp_path, {"checkpoint": None}), uninterrupted)
    assert steps_in(tmp_path) == []


@pytest.mark.parametrize("at", [3, 5, 8, 23])
def test_a_run_that_was_cut_off_goes_on_and_ends_the_same(tmp_path: Path, uninterrupted, at: int) -> None:
    cut_off(tmp_path, at)
    found = run(tmp_path)
    assert found[0]["resumed_at"] == at // 2 * 2
    assert_same(found, uninterrupted)


@pytest.mark.parametrize(
    "settings", [{"optimiser": "sgd"}, {"clip_norm": None}, {"precision": "bf16"}, {"patience": 1}]
)
def test_so_do_other_optimisers_and_early_stopping(tmp_path: Path, settings: dict) -> None:
    cut_off(tmp_path / "cut", 5, settings=settings)
    found = run(tmp_path / "cut", settings)
    assert found[0]["resumed_at"] == 4
    assert_same(found, run(tmp_path / "whole", settings))


def test_muons_state_is_kept_too(tmp_path: Path) -> None:
    def fit(folder: Path, fail_at: int | None = None) -> list[torch.Tensor]:
        task = SmallTask(device=CPU, fail_at=fail_at)
        task.hidden_matrices = lambda: [block.layer.weight for block in task.network.blocks]
        settings = SETTINGS | {"optimiser": "muon", "accumulate": 1}
        Trainer(TrainerConfig(**settings), CPU, 0, key="k", workspace=folder).fit(task)
        return task.parameters()

    with pytest.raises(RuntimeError, match="burnt"):
        fit(tmp_path / "cut", fail_at=7)
    pairs = zip(fit(tmp_path / "cut"), fit(tmp_path / "whole"), strict=True)
    assert all(torch.equal(found, expected) for found, expected in pairs)


def test_skipped_steps_and_smaller_parts_are_remembered(tmp_path: Path) -> None:
    class Trying(SmallTask):
        """Runs out of memory at its first step; its second one is not finite."""

        def loss(self, batch: torch.Tensor) -> torch.Tensor:
            value = super().loss(batch)
            if len(self.losses) == 1 and len(batch) == 6:
                raise torch.OutOfMemoryError("none left")
            return value * float("nan") if len(self.losses) in (4, 5) else value

    def fit(fail_at: int | None) -> dict:
        settings = SETTINGS | {"accumulate": 1, "auto_batch": True}
        task = Trying(device=CPU, fail_at=fail_at)
        if fail_at is None:
            task.losses = [0.0] * 99
        return Trainer(TrainerConfig(**settings), CPU, 0, key="k", workspace=tmp_path).fit(task).to_json()

    with pytest.raises(RuntimeError, match="burnt"):
        fit(11)
    result = fit(None)
    assert result["resumed_at"] == 4
    assert (result["accumulate"], result["skipped"]) == (2, 1)
    assert [row["skipped"] for row in result["history"] if "skipped" in row] == [1]


def test_a_finished_run_is_not_run_again(tmp_path: Path, uninterrupted) -> None:
    run(tmp_path)
    found = run(tmp_path, fail_at=0)
    assert found[0]["resumed_at"] == STEPS
    assert_same(found, uninterrupted)


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    outcome, tensors = run(tmp_path, {"checkpoint": {"every_steps": 1, "keep": 3}})
    assert steps_in(tmp_path) == [STEPS - 2, STEPS - 1, STEPS]
    place = only_run(tmp_path)
    assert [folder.name for folder in place.glob("best-*")] == [f"best-{outcome['best_step']:08d}"]
    best = consolidate(place / f"best-{outcome['best_step']:08d}")
    assert all(torch.equal(best[name], tensor) for name, tensor in tensors.items())
    assert not list(tmp_path.rglob("*.partial"))
    suffixes = {file.suffix for file in tmp_path.rglob("*") if file.is_file()}
    assert suffixes == {".safetensors", ".json", ".lock"}


def test_every_epoch_if_no_steps_are_given(tmp_path: Path) -> None:
    run(tmp_path, {"checkpoint": {"keep": 9}})
    assert steps_in(tmp_path) == [4, 8, 12, 16, 20, 24]


@pytest.mark.parametrize(
    "other",
    [{"learning_rate": 0.04}, {"batch_size": 7}, {"max_steps": 20}, {"optimiser": "sgd"}, {"accumulate": 1}],
)
def test_another_run_does_not_go_on_from_it(tmp_path: Path, other: dict) -> None:
    cut_off(tmp_path, 5)
    assert run(tmp_path, other)[0]["resumed_at"] is None
    assert run(tmp_path)[0]["resumed_at"] == 4


@pytest.mark.parametrize("change", ["key", "seed", "start"])
def test_nor_does_one_of_other_data_seed_or_start(tmp_path: Path, change: str) -> None:
    cut_off(tmp_path, 5)
    task = SmallTask(device=CPU, dropout=0.3, normed=True)
    if change == "start":
        with torch.no_grad():
            task.network.last.bias += 1e-6
    key = "other data" if change == "key" else "these data and this code"
    trainer = Trainer(TrainerConfig(**SETTINGS), CPU, 6 if change == "seed" else 5, key=key, workspace=tmp_path)
    assert trainer.fit(task).resumed_at is None


def test_how_often_it_is_saved_and_where_make_no_other_run(tmp_path: Path) -> None:
    cut_off(tmp_path, 5)
    settings = {"checkpoint": {"every_steps": 7, "keep": 1, "folder": str(tmp_path / "checkpoints")}}
    assert run(tmp_path / "elsewhere", settings)[0]["resumed_at"] == 4


def damage(folder: Path, how: str) -> None:
    file = folder / "whole.safetensors"
    if how == "a changed byte":
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)
    elif how == "a cut file":
        file.write_bytes(file.read_bytes()[:-100])
    elif how == "a missing file":
        (folder / "random-0000.safetensors").unlink()
    else:
        (folder / "checkpoint.json").write_text('{"format": 1, "files')


@pytest.mark.parametrize("how", ["a changed byte", "a cut file", "a missing file", "broken numbers"])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(tmp_path: Path, uninterrupted, how: str) -> None:
    cut_off(tmp_path, 9)
    assert steps_in(tmp_path) == [6, 8]
    damage(only_run(tmp_path) / "step-00000008", how)
    with pytest.warns(UserWarning, match=r"step-00000008 is damaged and is left out"):
        found = run(tmp_path)
    assert found[0]["resumed_at"] == 6
    assert_same(found, uninterrupted)


def test_with_a_damaged_best_state_the_run_begins_anew(tmp_path: Path, uninterrupted) -> None:
    cut_off(tmp_path, 9)
    for best in only_run(tmp_path).glob("best-*"):
        (best / "whole.safetensors").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match=r"best-0000000\d/whole.safetensors is not as it was written"):
        found = run(tmp_path)
    assert found[0]["resumed_at"] is None
    assert_same(found, uninterrupted)


def test_a_full_disk_is_reported_and_training_goes_on(tmp_path: Path, uninterrupted, monkeypatch) -> None:
    whole = checkpoints._save
    writes: list[str] = []

    def save(file: Path, tensors: dict[str, torch.Tensor]) -> None:
        writes.append(file.parent.name)
        if any(f"step-{number:08d}" in file.parent.name for number in (6, 8, 10)):
            file.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        whole(file, tensors)

    monkeypatch.setattr(checkpoints, "_save", save)
    with pytest.warns(UserWarning, match=r"step-0000000\d could not be written: .*No space left.*Training goes on"):
        cut_off(tmp_path, 11)
    assert steps_in(tmp_path) == [2, 4]
    assert not list(tmp_path.rglob("*.partial"))
    found = run(tmp_path, {"checkpoint": None})
    assert_same(found, uninterrupted)
    monkeypatch.undo()
    found = run(tmp_path)
    assert found[0]["resumed_at"] == 4
    assert_same(found, uninterrupted)


def test_safetensors_own_error_for_a_full_disk_is_understood(tmp_path: Path) -> None:
    """The kernel refuses files above a size: as real as a full disk, and it needs no disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    large = {"a": torch.zeros(100_000)}
    store = CheckpointStore(tmp_path, 2, World())
    snapshot = checkpoints.Snapshot(1, {}, large, {"r": torch.zeros(3)}, 0, {"b": torch.zeros(3)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.warns(UserWarning, match="could not be written"):
            assert not store.save(snapshot)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [folder.name for folder in tmp_path.iterdir()] == ["best-00000000"]
    assert store.save(snapshot)
    assert torch.equal(store.last().tensors({})["a"], large["a"])


def test_an_error_that_is_not_a_full_disk_is_not_hidden(tmp_path: Path, monkeypatch) -> None:
    def save(file: Path, tensors: dict[str, torch.Tensor]) -> None:
        raise PermissionError(errno.EACCES, "no", str(file))

    monkeypatch.setattr(checkpoints, "_save", save)
    with pytest.raises(PermissionError):
        run(tmp_path)


def test_other_numbers_of_processes_are_refused(tmp_path: Path) -> None:
    cut_off(tmp_path, 5)
    store = CheckpointStore(only_run(tmp_path), 2, World())
    about = json.loads((only_run(tmp_path) / "step-00000004" / "checkpoint.json").read_text())
    (only_run(tmp_path) / "step-00000004" / "checkpoint.json").write_text(json.dumps(about | {"processes": 4}))
    with pytest.raises(TrainingError, match=r"of 4 processes, and this run has 1\. .*remove"):
        store.last()


def test_a_key_and_a_folder_are_needed() -> None:
    config = TrainerConfig(checkpoint={})
    with pytest.raises(TrainingError, match="no key"):
        Trainer(config, CPU, 0).fit(SmallTask(device=CPU))
    with pytest.raises(TrainingError, match=r"training\.checkpoint\.folder: a folder is wanted"):
        Trainer(config, CPU, 0, key="k").fit(SmallTask(device=CPU))


def test_generators_go_on_where_they_were() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    np.random.standard_normal(3)
    random.gauss(0, 1)
    state = random_state(CPU)
    state = (state[0], json.loads(json.dumps(state[1])))

    def draw() -> list:
        return [torch.rand(3).tolist(), np.random.standard_normal(3).tolist(), [random.gauss(0, 1) for _ in range(3)]]

    first = draw()
    assert draw() != first
    set_random_state(CPU, *state)
    assert draw() == first


def test_sigterm_finishes_the_step_and_leaves_a_checkpoint(tmp_path: Path, uninterrupted) -> None:
    before = signal.getsignal(signal.SIGTERM)
    sent: list[int] = []

    class Terminated(SmallTask):
        def loss(self, batch: torch.Tensor) -> torch.Tensor:
            if len(self.losses) == 10:
                sent.append(1)
                os.kill(os.getpid(), signal.SIGTERM)
            return super().loss(batch)

    task = Terminated(device=CPU, dropout=0.3, normed=True)
    settings = SETTINGS | {"checkpoint": {"every_steps": 100}}
    trainer = Trainer(TrainerConfig(**settings), CPU, 5, key="these data and this code", workspace=tmp_path)
    with pytest.raises(TrainingInterrupted, match=r"SIGTERM.*after step 6 of 24\. A checkpoint was written"):
        trainer.fit(task)
    assert sent
    assert signal.getsignal(signal.SIGTERM) == before
    assert steps_in(tmp_path) == [6]
    found = run(tmp_path)
    assert found[0]["resumed_at"] == 6
    assert_same(found, uninterrupted)


def killed(folder: Path, beyond: int, delay: float) -> None:
    """A process that trains, killed some time after it has passed a step."""
    folder.mkdir(exist_ok=True)
    options = {"settings": {"checkpoint": {"every_steps": 1}}, "pause": 0.01}
    command = [sys.executable, "-m", "tests.training.resumable_run", str(folder), json.dumps(options)]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL)
    while process.poll() is None and not any(step > beyond for step in steps_in(folder)):
        time.sleep(0.005)
    time.sleep(delay)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it had ended by itself"


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_the_same(tmp_path: Path, uninterrupted) -> None:
    """CLIP_HAR_KILLS sets how many moments there are; each run is killed twice."""
    generator = random.Random(os.environ.get("CLIP_HAR_KILLS_SEED", "0"))
    kills = int(os.environ.get("CLIP_HAR_KILLS", "2"))
    for number in range(kills // 2):
        place = tmp_path / str(number)
        for beyond in (generator.randint(-1, 6), generator.randint(8, 14)):
            killed(place, beyond, generator.uniform(0, 0.1))
        found = run(place, {"checkpoint": {"every_steps": 1}})
        assert found[0]["resumed_at"] > 8
        assert_same(found, uninterrupted)


def test_a_checkpoint_says_what_it_holds(tmp_path: Path) -> None:
    cut_off(tmp_path, 5)
    saved = SavedRun(only_run(tmp_path) / "step-00000004")
    assert saved.about["result"]["steps"] == 4
    trained = SmallTask(device=CPU, normed=True).parameters()
    held = consolidate(saved.folder)
    assert sum(name.startswith("parameter.") for name in held) == len(trained), "only what is trained"
    assert not any(tensor.shape == (8, 8) and name.startswith("buffer") for name, tensor in held.items())
