"""What two processes make of each method's training, for `test_fitting.py`: run by torch's launcher as FOLDER.

FOLDER has a stored context; what came of each case is left beside it. All cases share one start, which takes longer than
they do.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

from clip_har.adaptation import METHODS
from clip_har.adaptation.base import AdaptationContext
from clip_har.adaptation.stored_context import read_context
from clip_har.hashing import sha256_arrays
from clip_har.training.distributed import joined
from clip_har.training.trainer import Trainer

CPU = torch.device("cpu")
CONTEXT = "context"
TRAINING = {"epochs": 5, "batch_size": 10, "evaluate_every": 1, "patience": None}
# Method → what its config says beside the training, and the arguments of its builder.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "coop": ({"words": None, "length": 3}, {}),
    "clip_adapter": ({"balance": "loss"}, {"ratio": 0.5}),
    "tip_adapter_f": ({}, {"alpha": 0.5, "beta": 4.0}),
    "projection_tuning": ({"balance": "sampling"}, {"strength": 0.1}),
    "lora": ({"dropout": 0.0}, {}),
    "full_fine_tuning": ({}, {}),
}
MODES = ("ddp", "fsdp")


def fit(context: AdaptationContext, method: str, mode: str) -> dict[str, Any]:
    """Losses of the steps, figures at the end, and a hash of what was built."""
    settings, arguments = CASES[method]
    kind = METHODS.get(method)
    config = kind.Config(**settings, training=TRAINING | {"distributed": {"mode": mode}})
    task = importlib.import_module(kind.__module__).build_task(context, config, **arguments)
    start = {str(number): value.detach().numpy() for number, value in enumerate(task.parameters())}
    built = sha256_arrays({name: array.copy() for name, array in start.items()})
    history = Trainer(config.training, CPU, context.seed).fit(task).history
    losses = [row["loss"] for row in history if "loss" in row]
    return {"built": built, "losses": losses, "accuracy": history[-1]["accuracy"], "log_loss": history[-1]["log_loss"]}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined(CPU, 60) as world:
        for method in CASES:
            for mode in MODES:
                print(method, mode, file=sys.stderr, flush=True)
                outcome = fit(read_context(folder / CONTEXT, CPU), method, mode)
                (folder / f"{method}-{mode}-{world.rank}.json").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
