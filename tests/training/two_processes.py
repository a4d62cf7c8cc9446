"""What two processes do together, for `test_distributed.py`: run by torch's launcher as FOLDER, it leaves what came of it.

Many cases share one start, which takes longer than all of them.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from clip_har.component import validated
from clip_har.errors import TrainingError
from clip_har.models.clip import ClipConfig, new_clip
from clip_har.training import checkpoints
from clip_har.training.contrastive import ContrastiveTask
from clip_har.training.distributed import World, gather_rows, joined, own_share
from clip_har.training.pictures import StoredPictures
from clip_har.training.run_state import named_tensors
from clip_har.training.trainer import Trainer, TrainerConfig, TrainingInterrupted, TrainingTask
from tests.training.small_task import SmallTask

CPU = torch.device("cpu")
SMALL = {"epochs": 7, "batch_size": 8, "learning_rate": 0.03, "patience": None, "evaluate_every": 1}
PLAIN = {"optimiser": "sgd", "weight_decay": 0.0, "clip_norm": None, "learning_rate": 0.1}
SAVED = {"epochs": 4, "evaluate_every": 2, "checkpoint": {"every_steps": 2, "keep": 2}}
PAIRS = [(f"picture {number // 2}",) for number in range(13)]  # two of each say the same


def contrastive_task(folder: Path, *, patch_size: int = 8) -> ContrastiveTask:
    """Nine pictures to train on: in batches of four, the last batch has one."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(13)]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    tower = {"width": 16, "layers": 2, "heads": 2}
    size = {"image_size": 32, "patch_size": patch_size, "image": tower, "text": tower, "dimensions": 8}
    torch.manual_seed(0)
    encoder = new_clip(validated(ClipConfig, size), [text for texts in PAIRS for text in texts])
    pictures = StoredPictures.decode(paths, 32, folder)
    names = [str(number) for number in range(13)]
    options = {"augmentation": None, "batch_size": 2, "seed": 0}
    return ContrastiveTask(encoder, pictures, PAIRS, names, range(9), range(9, 13), **options)


def fit(task: TrainingTask, settings: dict, mode: str, workspace: Path | None = None) -> tuple[dict, dict]:
    """Result without times, and whole tensors."""
    config = TrainerConfig(**SMALL | settings, distributed={"mode": mode})
    result = Trainer(config, CPU, 0, key="k", workspace=workspace).fit(task).to_json()
    tensors, _ = named_tensors(task.parameters(), [], [])
    whole = {name: value.full_tensor() if hasattr(value, "full_tensor") else value for name, value in tensors.items()}
    return {n: v for n, v in result.items() if "seconds" not in n}, {n: v.clone() for n, v in whole.items()}


EQUAL_TO_SINGLE: dict[str, tuple[dict, dict]] = {
    "adamw": ({}, {}),
    "uneven": ({"samples": 17}, {"accumulate": 2} | PLAIN),
    "strided": ({"strided": True}, {}),
    "checkpointing": ({}, {"gradient_checkpointing": True}),
    "bf16": ({}, {"precision": "bf16", "epochs": 1}),
}


def equal_to_single(name: str, mode: str, folder: Path) -> tuple[dict, dict]:
    options, settings = EQUAL_TO_SINGLE[name]
    return fit(SmallTask(device=CPU, **options), settings, mode)


def contrastive(mode: str, folder: Path) -> tuple[dict, dict]:
    rank = os.environ.get("RANK", "alone")
    return fit(contrastive_task(folder / f"pictures-{mode}-{rank}"), {"epochs": 2, "batch_size": 4} | PLAIN, mode)


def message_of(work: Callable[[], object]) -> str:
    try:
        work()
    except (TrainingError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was wrong"


def resumed(mode: str, folder: Path, world: World) -> tuple[dict, dict]:
    """A run that was cut off in its sixth step and started again, and one that was not."""
    place = folder / f"resumed-{mode}"

    def build(**options) -> SmallTask:
        return SmallTask(device=CPU, dropout=0.2, **options)

    words = message_of(lambda: fit(build(fail_at=5, fail_on=world.rank), SAVED, mode, place))
    found, tensors = fit(build(), SAVED, mode, place)
    expected, whole = fit(build(), SAVED | {"checkpoint": None}, mode)
    outcome = {"cut": words, "found": found, "expected": expected}
    outcome["equal"] = all(torch.equal(tensors[name], value) for name, value in whole.items())
    return outcome, tensors


def full_disk_of_one(folder: Path, world: World) -> tuple[dict, dict]:
    whole = checkpoints._save

    def save(file: Path, tensors: dict) -> None:
        if world.rank == 1 and "step-00000004" in file.parent.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(file, tensors)

    checkpoints._save = save
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            result, _ = fit(SmallTask(device=CPU), SAVED | {"max_steps": 5}, "ddp", folder / "full")
    finally:
        checkpoints._save = whole
    steps = sorted(place.name for place in (folder / "full").glob("checkpoints/*/step-*"))
    return {
        "steps": result["steps"],
        "kept": steps,
        "said": [str(w.message) for w in seen if "could not" in str(w.message)],
    }, {}


def sigterm_of_one(folder: Path, world: World) -> tuple[dict, dict]:
    class Terminated(SmallTask):
        def loss(self, batch: torch.Tensor) -> torch.Tensor:
            if world.rank == 1 and len(self.losses) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().loss(batch)

    try:
        fit(Terminated(device=CPU), SAVED, "ddp", folder / "terminated")
    except TrainingInterrupted as interrupted:
        return {"said": str(interrupted)}, {}
    return {"said": "nothing"}, {}


def not_finite_on_one(world: World) -> tuple[dict, dict]:
    class Spoilt(SmallTask):
        def loss(self, batch: torch.Tensor) -> torch.Tensor:
            value = super().loss(batch)
            return value * float("nan") if world.rank == 1 and len(self.losses) == 2 else value

    return fit(Spoilt(device=CPU), {"epochs": 1}, "ddp")


def rows() -> tuple[dict, dict]:
    return {
        str(number): gather_rows(own_share(number)[:, None] * 10, number)[:, 0].tolist() for number in (5, 4, 1)
    }, {}


def refused() -> tuple[dict, dict]:
    class Bare(SmallTask):
        module = property()

    return {
        "single": message_of(lambda: fit(SmallTask(device=CPU), {}, "single")),
        "bare": message_of(lambda: fit(Bare(device=CPU), {}, "fsdp")),
        "muon": message_of(
            lambda: fit(contrastive_task(Path(sys.argv[1]) / os.environ["RANK"]), {"optimiser": "muon"}, "fsdp")
        ),
    }, {}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined(CPU, 60) as world:
        cases: dict[str, Callable[[], tuple[dict, dict]]] = {
            f"{name}-{mode}": lambda name=name, mode=mode: equal_to_single(name, mode, folder)
            for name in EQUAL_TO_SINGLE
            for mode in ("ddp", "fsdp")
        }
        for mode in ("ddp", "fsdp"):
            cases[f"contrastive-{mode}"] = lambda mode=mode: contrastive(mode, folder)
            cases[f"resumed-{mode}"] = lambda mode=mode: resumed(mode, folder, world)
        cases["full"] = lambda: full_disk_of_one(folder, world)
        cases["terminated"] = lambda: sigterm_of_one(folder, world)
        cases["not-finite"] = lambda: not_finite_on_one(world)
        cases["rows"] = rows
        cases["refused"] = refused
        for name, case in cases.items():
            print(name, file=sys.stderr, flush=True)
            outcome, tensors = case()
            (folder / f"{name}-{world.rank}.json").write_text(json.dumps(outcome))
            save_file(
                {key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}-{world.rank}.safetensors"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
