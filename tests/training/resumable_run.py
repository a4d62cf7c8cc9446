"""A run with checkpoints, also as a process of its own for tests that kill it: FOLDER, and the options of `run` as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from clip_har.training.run_state import named_tensors
from clip_har.training.trainer import Trainer, TrainerConfig
from tests.training.small_task import SmallTask

SETTINGS = {
    "epochs": 6,
    "batch_size": 6,
    "accumulate": 2,
    "learning_rate": 0.05,
    "patience": None,
    "evaluate_every": 3,
    "checkpoint": {"every_steps": 2, "keep": 2},
}


def run(folder: Path, settings: dict | None = None, **options) -> tuple[dict, dict[str, torch.Tensor]]:
    """The result without its times, and the parameters and buffers that were left."""
    device = torch.device("cpu")
    task = SmallTask(device=device, **({"dropout": 0.3, "normed": True} | options))
    config = TrainerConfig(**SETTINGS | (settings or {}))
    result = Trainer(config, device, 5, key="these data and this code", workspace=folder).fit(task).to_json()
    left = {name: value for name, value in result.items() if "seconds" not in name}
    return left, {
        name: tensor.clone() for name, tensor in named_tensors(task.parameters(), task.buffers(), [])[0].items()
    }


if __name__ == "__main__":
    run(Path(sys.argv[1]), **json.loads(sys.argv[2]))
