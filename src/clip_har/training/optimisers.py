"""What changes the parameters: AdamW, SGD or Muon, and the learning rate of every step.

Muon: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from clip_har.errors import TrainingError
from clip_har.training.config import TrainerConfig

if TYPE_CHECKING:
    import torch

    from clip_har.training.task import TrainingTask


def learning_rate_factor(step: int, total: int, warmup_share: float) -> float:
    """Share of the peak learning rate at `step` (from 0) of `total`: linear warm-up, then half a cosine to 0."""
    warmup = round(total * warmup_share)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def set_learning_rate(optimisers: list[torch.optim.Optimizer], learning_rate: float) -> None:
    """Give every group of parameters its share of the learning rate."""
    for group in (group for optimiser in optimisers for group in optimiser.param_groups):
        group["lr"] = learning_rate * group["learning_rate_share"]


def build_optimisers(task: TrainingTask, config: TrainerConfig) -> list[torch.optim.Optimizer]:
    """One optimiser for all of the task's parameters; for Muon a second one for the matrices.

    Raises:
        TrainingError: if Muon is asked for where it does not apply.
    """
    import torch

    matrices: list[torch.nn.Parameter] = []
    if config.optimiser == "muon":
        if not hasattr(task, "hidden_matrices"):
            raise TrainingError("training.optimiser: muon is for pretraining only; wanted here: adamw.")
        if config.distributed.mode == "fsdp":
            raise TrainingError(
                "training.optimiser: muon needs whole matrices, which fsdp shards; wanted: adamw or ddp."
            )
        matrices = task.hidden_matrices()
    groups = _groups(task, {id(parameter) for parameter in matrices})
    shared = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    optimisers: list[torch.optim.Optimizer]
    if config.optimiser == "sgd":
        optimisers = [torch.optim.SGD(groups, momentum=0.9, **shared)]
    else:
        optimisers = [torch.optim.AdamW(groups, betas=config.betas, **shared)]
    if matrices:  # updates as large as AdamW's, so that one learning rate serves both
        shared_out = [{"params": matrices, "learning_rate_share": 1.0}]
        optimisers.append(torch.optim.Muon(shared_out, adjust_lr_fn="match_rms_adamw", **shared))
    return optimisers


def _groups(task: TrainingTask, apart: set[int]) -> list[dict]:
    """Parameters by their share of the learning rate; sharded ones apart from whole ones, which no kernel takes together."""
    parameters = task.parameters()
    shares = task.learning_rate_shares() if hasattr(task, "learning_rate_shares") else [1.0] * len(parameters)
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
    for parameter, share in zip(parameters, shares, strict=True):
        if id(parameter) not in apart:
            groups.setdefault((share, hasattr(parameter, "full_tensor")), []).append(parameter)
    return [{"params": members, "learning_rate_share": share} for (share, _), members in groups.items()]
