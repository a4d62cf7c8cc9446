"""Two processes against one: the same steps, the same decisions; and what is left when one of them dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clip_har.errors import TrainingError
from clip_har.training.checkpoints import consolidate
from clip_har.training.config import TrainerConfig
from clip_har.training.distributed import World
from clip_har.training.launch import PARAMETERS, RESULT, Job, Recipe, load_outcome, number_of_processes, train
from clip_har.training.trainer import Trainer
from tests.training.small_task import SmallTask
from tests.training.two_processes import EQUAL_TO_SINGLE, SMALL, contrastive, equal_to_single

CPU = torch.device("cpu")
PROJECT = Path(__file__).parents[2]
RECIPE = "tests.training.small_task:SmallTask"


@pytest.fixture
def project_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the processes find the tests' recipes, from wherever pytest was started."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def torchrun(*options: str, module: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *options, "-m", module, str(folder)]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes left what came of all their cases."""
    folder = tmp_path_factory.mktemp("together")
    command = torchrun("--standalone", "--nproc-per-node", "2", module="tests.training.two_processes", folder=folder)
    done = subprocess.run(
        command, cwd=PROJECT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def outcome(folder: Path, case: str, rank: int = 0) -> tuple[dict, dict[str, torch.Tensor]]:
    return json.loads((folder / f"{case}-{rank}.json").read_text()), load_file(folder / f"{case}-{rank}.safetensors")


def losses(result: dict) -> list[float]:
    return [row["loss"] for row in result["history"] if "loss" in row]


def assert_close(found: tuple[dict, dict], expected: tuple[dict, dict], tolerance: float) -> None:
    assert losses(found[0]) == pytest.approx(losses(expected[0]), abs=tolerance)
    assert found[0]["steps"] == expected[0]["steps"]
    assert found[1].keys() == expected[1].keys()
    for name, tensor in expected[1].items():
        torch.testing.assert_close(found[1][name], tensor, atol=tolerance, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
@pytest.mark.parametrize("name", [name for name in EQUAL_TO_SINGLE if name != "bf16"])
def test_two_processes_take_the_steps_of_one(together: Path, tmp_path: Path, name: str, mode: str) -> None:
    expected = equal_to_single(name, "single", tmp_path)
    found = outcome(together, f"{name}-{mode}")
    assert len(losses(found[0])) >= 20
    assert_close(found, expected, 2e-5)
    assert found[0]["history"][-1]["accuracy"] == pytest.approx(expected[0]["history"][-1]["accuracy"], abs=1e-6)
    assert found[0] == outcome(together, f"{name}-{mode}", rank=1)[0]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_so_they_do_in_bfloat16(together: Path, tmp_path: Path, mode: str) -> None:
    expected = equal_to_single("bf16", "single", tmp_path)
    assert_close(outcome(together, f"bf16-{mode}"), expected, 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_the_contrastive_loss_meets_the_samples_of_all_processes(together: Path, tmp_path: Path, mode: str) -> None:
    """Plain gradient descent: equal parameters are equal gradients. One process has no picture in the last batch."""
    expected = contrastive("single", tmp_path)
    found = outcome(together, f"contrastive-{mode}")
    assert_close(found, expected, 2e-5)
    for figure in ("accuracy", "log_loss"):
        assert found[0]["history"][-1][figure] == pytest.approx(expected[0]["history"][-1][figure], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_a_run_of_two_that_was_cut_off_ends_the_same(together: Path, mode: str) -> None:
    found, tensors = outcome(together, f"resumed-{mode}")
    assert "burnt" in found["cut"]
    assert found["found"]["resumed_at"] == 4
    assert found["found"] | {"resumed_at": None} == found["expected"]
    assert found["equal"]
    best = next((together / f"resumed-{mode}").glob(f"checkpoints/*/best-{found['found']['best_step']:08d}"))
    assert (best / "sharded").exists() == (mode == "fsdp")
    whole = consolidate(best)
    assert whole.keys() == tensors.keys()
    assert all(torch.equal(whole[name], tensor) for name, tensor in tensors.items())
    suffixes = {file.suffix for file in (together / f"resumed-{mode}").rglob("*") if file.is_file()}
    assert suffixes == {".safetensors", ".json", ".lock"}


@pytest.mark.slow
def test_what_happens_to_one_is_decided_by_all(together: Path) -> None:
    full, other = (outcome(together, "full", rank)[0] for rank in (0, 1))
    assert full["steps"] == other["steps"] == 5
    assert full["kept"] == ["step-00000002", "step-00000005"], "the one of step 4 was not left half written"
    assert len(full["said"]) == 1
    assert "another process is full" in full["said"][0]
    for rank in (0, 1):
        assert "after step 3 of 12. A checkpoint was written" in outcome(together, "terminated", rank)[0]["said"]
        spoilt = outcome(together, "not-finite", rank)[0]
        assert (spoilt["steps"], spoilt["skipped"]) == (3, 1)


@pytest.mark.slow
def test_rows_of_all_processes_come_in_order_and_once(together: Path) -> None:
    for rank in (0, 1):
        assert outcome(together, "rows", rank)[0] == {"5": [0, 10, 20, 30, 40], "4": [0, 10, 20, 30], "1": [0]}


@pytest.mark.slow
def test_modes_that_do_not_fit_are_refused(together: Path) -> None:
    said = outcome(together, "refused")[0]
    assert "training.distributed.mode: single, in one of 2 processes" in said["single"]
    assert "fsdp needs a model to train" in said["bare"]
    assert "muon needs whole matrices" in said["muon"]


def test_alone_there_is_nothing_to_exchange() -> None:
    alone = World()
    assert alone.sum([1.5]) == [1.5]
    assert alone.of_first({"a": 1}) == {"a": 1}
    assert alone.gather(3) == [3]
    with pytest.raises(TrainingError, match="fsdp needs the processes of torch's launcher"):
        Trainer(TrainerConfig(distributed={"mode": "fsdp"}), CPU, 0).fit(SmallTask(device=CPU))


def test_one_process_is_started_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    cuda = torch.device("cuda")
    assert number_of_processes(TrainerConfig(), cuda) == 4
    assert number_of_processes(TrainerConfig(), CPU) == 2
    assert number_of_processes(TrainerConfig(distributed={"processes": 3}), cuda) == 3
    with pytest.raises(TrainingError, match="processes: 5, and this machine has 4 GPUs"):
        number_of_processes(TrainerConfig(distributed={"processes": 5}), cuda)


@pytest.mark.slow
def test_a_run_starts_its_processes_itself(project_on_the_path, tmp_path: Path) -> None:
    config = TrainerConfig(**SMALL | {"epochs": 2}, distributed={"mode": "fsdp"})
    task, alone = SmallTask(device=CPU), SmallTask(device=CPU)
    before = signal.getsignal(signal.SIGTERM)
    seen: list[tuple] = []
    result = train(task, Recipe(RECIPE), config, CPU, 0, progress=lambda *report: seen.append(report))
    expected = train(alone, Recipe(RECIPE), TrainerConfig(**SMALL | {"epochs": 2}), CPU, 0)
    assert losses(result.to_json()) == pytest.approx(losses(expected.to_json()), abs=2e-5)
    for found, wanted in zip(task.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=0)
    assert task.losses == [], "this process trained too"
    assert signal.getsignal(signal.SIGTERM) == before
    assert seen[-1][:2] == (6, 6)
    assert seen[-1][2].startswith("loss=")


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run_with_its_own_words(project_on_the_path) -> None:
    config = TrainerConfig(**SMALL, distributed={"mode": "ddp"})
    recipe = Recipe(RECIPE, {"fail_at": 3, "fail_on": 1})
    with pytest.raises(
        TrainingError, match=r"Process 1 of 2 ended the run: RuntimeError: the disk of this process burnt"
    ):
        train(SmallTask(device=CPU), recipe, config, CPU, 0)


@pytest.mark.slow
def test_a_mistake_in_the_recipe_is_told(project_on_the_path) -> None:
    config = TrainerConfig(**SMALL, distributed={"mode": "ddp"})
    with pytest.raises(TrainingError, match=r"ended the run: There is no function 'tests\.training\.small_task:Smal'"):
        train(SmallTask(device=CPU), Recipe("tests.training.small_task:Smal"), config, CPU, 0)


@pytest.mark.slow
def test_processes_that_are_told_to_end_leave_a_checkpoint(project_on_the_path, tmp_path: Path) -> None:
    """As pre-emption does: SIGTERM to the process that started them."""
    code = (
        "import sys, torch; from pathlib import Path; from clip_har.training.launch import *\n"
        "from tests.training.small_task import SmallTask\n"
        "config = TrainerConfig(epochs=500, batch_size=8, patience=None, checkpoint={'every_steps': 10**6},"
        " distributed={'mode': 'ddp'})\n"
        "cpu = torch.device('cpu')\n"
        f"recipe = Recipe({RECIPE!r}, {{'pause': 0.05}})\n"
        "try:\n"
        "    train(SmallTask(device=cpu), recipe, config, cpu, 0, key='k', workspace=Path(sys.argv[1]),"
        " progress=lambda *report: print(*report, flush=True))\n"
        "except TrainingInterrupted as interrupted:\n"
        "    print('interrupted:', interrupted, flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()  # the first step is done
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate()
    assert "interrupted:" in said, said
    assert process.returncode == 0
    assert len(list(tmp_path.glob("checkpoints/*/step-*"))) == 1


@pytest.mark.slow
@pytest.mark.thorough
def test_two_machines(project_on_the_path, tmp_path: Path) -> None:
    """Two of torch's agents, which find each other over the loopback interface, with one process each."""
    config = TrainerConfig(**SMALL | {"epochs": 2}, distributed={"mode": "ddp"})
    Job(Recipe(RECIPE), config, 0, "k", None, "cpu").write(tmp_path)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    options = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--local-addr", "localhost"]
    options += ["--rdzv-id", "run", "--rdzv-endpoint", f"localhost:{port}"]
    agents, logs = [], [tmp_path / "first.log", tmp_path / "second.log"]
    for log, role in zip(logs, ("true", "false"), strict=True):
        # Which one keeps the store is told by host names, and both have the same here.
        configuration = f"is_host={role},join_timeout=300,timeout=300"
        command = torchrun(*options, "--rdzv-conf", configuration, module="clip_har.training.worker", folder=tmp_path)
        with log.open("w") as said:
            agents.append(subprocess.Popen(command, cwd=PROJECT, stdout=said, stderr=said))
    codes = [agent.wait() for agent in agents]
    assert codes == [0, 0], [log.read_text()[-2000:] for log in logs]
    assert {RESULT, PARAMETERS} <= {file.name for file in tmp_path.iterdir()}
    alone, task = SmallTask(device=CPU), SmallTask(device=CPU)
    expected = Trainer(TrainerConfig(**SMALL | {"epochs": 2}), CPU, 0).fit(alone)
    result = load_outcome(tmp_path, task)
    assert losses(result.to_json()) == pytest.approx(losses(expected.to_json()), abs=2e-5)
    for found, wanted in zip(task.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=0)


def test_a_job_is_written_and_read(tmp_path: Path) -> None:
    config = TrainerConfig(betas=(0.8, 0.9), checkpoint={"keep": 3}, distributed={"mode": "ddp", "processes": 2})
    job = Job(Recipe("a.b:c", {"x": [1, {"y": None}]}), config, 7, "key", str(tmp_path), "cuda")
    job.write(tmp_path)
    assert Job.read(tmp_path) == job
    with pytest.raises(TrainingError, match="describes no training run"):
        Job.read(tmp_path / "nothing")
    with pytest.raises(TrainingError, match="left no result"):
        load_outcome(tmp_path, SmallTask(device=CPU))
