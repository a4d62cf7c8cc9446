"""The training loop: AdamW, warm-up and cosine, clipping, autocast, early stopping, and the best state kept.

For training from scratch there is Muon too: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from pydantic import Field, model_validator

from clip_har.component import ComponentConfig
from clip_har.errors import TrainingError

if TYPE_CHECKING:
    import torch

Batch = Any


class TrainerConfig(ComponentConfig):
    """One training run."""

    epochs: int = Field(10, ge=1, description="Passes over the train split.")
    max_steps: int | None = Field(None, ge=1, description="Bound on optimiser steps, whatever the epochs.")
    batch_size: int = Field(32, ge=1, description="Samples a step.")
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate.")
    optimiser: Literal["adamw", "muon"] = Field(
        "adamw", description="muon: Muon for the hidden layers' matrices and AdamW for the rest (pretraining only)."
    )
    weight_decay: float = Field(0.01, ge=0, description="The optimiser's weight decay.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW's betas.")
    warmup_share: float = Field(0.1, ge=0, lt=1, description="Share of the steps with a rising learning rate.")
    clip_norm: float | None = Field(1.0, gt=0, description="Bound on the gradient's norm; none if not given.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Autocast: auto is bf16 (or fp16) on CUDA and fp32 on a CPU."
    )
    evaluate_every: int | None = Field(None, ge=1, description="Steps between validations; every epoch if not given.")
    select_by: Literal["accuracy", "log_loss"] = Field(
        "accuracy", description="Validation figure by which the best state is kept."
    )
    patience: int | None = Field(
        5, ge=1, description="Validations without improvement after which training stops; never if not given."
    )

    @model_validator(mode="after")
    def _betas_are_shares(self) -> TrainerConfig:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must lie in [0, 1), got {self.betas}")
        return self


class TrainingTask(Protocol):
    """What is trained; the loop is the same for all."""

    sample_count: int

    def parameters(self) -> list[torch.nn.Parameter]:
        """What the optimiser changes."""

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Batches of an epoch; `order` int [n] are positions in the train split."""

    def loss(self, batch: Batch) -> torch.Tensor:
        """Mean loss of a batch, a scalar with gradients."""

    def validate(self) -> dict[str, float]:
        """Figures on the validation split, with at least `accuracy` and `log_loss`."""

    def train_mode(self, training: bool) -> None:
        """Switch dropout and the like on or off."""


@dataclass
class TrainingResult:
    """What a run left.

    Attributes:
        history: a row a validation, the first before any step: step, epoch, loss (mean since the last row),
            learning_rate, and the task's figures.
        best_step: step of the state that was kept.
        steps: optimiser steps taken.
        stopped_early: whether patience ended it.
        seconds_waiting, seconds: time spent waiting for batches, and in all.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_step: int = 0
    steps: int = 0
    stopped_early: bool = False
    seconds_waiting: float = 0.0
    seconds: float = 0.0


def learning_rate_factor(step: int, total: int, warmup_share: float) -> float:
    """Share of the peak learning rate at `step` (from 0) of `total`: linear warm-up, then half a cosine to 0."""
    warmup = round(total * warmup_share)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that autocast uses, or None for plain float32.

    Raises:
        TrainingError: if fp16 is asked for on a CPU.
    """
    import torch

    if precision == "fp16" and device.type == "cpu":
        raise TrainingError("training.precision: fp16 needs a CUDA device; on a CPU use fp32 or bf16.")
    if precision == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _optimisers(
    task: TrainingTask, parameters: list[torch.nn.Parameter], config: TrainerConfig
) -> list[torch.optim.Optimizer]:
    import torch

    matrices: list[torch.nn.Parameter] = []
    if config.optimiser == "muon":
        if not hasattr(task, "hidden_matrices"):
            raise TrainingError("training.optimiser: muon is for pretraining only; wanted here: adamw.")
        matrices = task.hidden_matrices()
    apart = {id(parameter) for parameter in matrices}
    rest = [parameter for parameter in parameters if id(parameter) not in apart]
    shared = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, betas=config.betas, **shared)]
    if matrices:  # updates as large as AdamW's, so that one learning rate serves both
        optimisers.append(torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **shared))
    return optimisers


class Trainer:
    """Runs a task on one device.

    Args:
        config: the run's settings.
        device: where the task's parameters are.
        seed: of dropout and of the order of samples.
    """

    def __init__(self, config: TrainerConfig, device: torch.device, seed: int) -> None:
        self.config = config
        self.device = device
        self.seed = seed

    def fit(self, task: TrainingTask, progress: Callable[[int, int, str], None] | None = None) -> TrainingResult:
        """Train, and leave the task's parameters at the best state seen on the validation split.

        Args:
            progress: called after each step as `progress(done, total, note)`.

        Raises:
            TrainingError: if the loss is not finite.
        """
        import torch

        config = self.config
        torch.manual_seed(self.seed)
        parameters = task.parameters()
        optimisers = _optimisers(task, parameters, config)
        per_epoch = math.ceil(task.sample_count / config.batch_size)
        total = min(config.epochs * per_epoch, config.max_steps or math.inf)
        every = min(config.evaluate_every or per_epoch, total)
        dtype = autocast_type(config.precision, self.device)
        scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == torch.float16)
        result, keeper, losses = TrainingResult(), _BestState(config.select_by, parameters), []
        started = time.perf_counter()
        self._validate(task, dtype, 0, 0.0, [], result, keeper)
        for epoch, batch in self._stream(task, per_epoch, total, result):
            factor = learning_rate_factor(result.steps, total, config.warmup_share)
            for group in (group for optimiser in optimisers for group in optimiser.param_groups):
                group["lr"] = config.learning_rate * factor
            with _autocast(self.device, dtype):
                loss = task.loss(batch)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingError(
                    f"The loss became {value} at step {result.steps + 1}. Lower the learning rate "
                    f"(now {config.learning_rate:g}) or use precision fp32."
                )
            for optimiser in optimisers:
                optimiser.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            if config.clip_norm is not None:
                for optimiser in optimisers:
                    scaler.unscale_(optimiser)
                torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
            for optimiser in optimisers:
                scaler.step(optimiser)
            scaler.update()
            losses.append(value)
            result.steps += 1
            if result.steps % every == 0 or result.steps == total:
                self._validate(task, dtype, epoch + 1, factor, losses, result, keeper)
                losses = []
                if config.patience is not None and keeper.since_best >= config.patience and result.steps < total:
                    result.stopped_early = True
            if progress:
                progress(result.steps, total, f"loss={value:.3f} {keeper.note}")
            if result.stopped_early:
                break
        keeper.restore()
        result.best_step = keeper.step
        result.seconds = time.perf_counter() - started
        task.train_mode(False)
        return result

    def _stream(
        self, task: TrainingTask, per_epoch: int, total: int, result: TrainingResult
    ) -> Iterator[tuple[int, Batch]]:
        """(epoch, batch) in the seeded order, until the steps are used up; the time spent waiting is noted."""
        for epoch in range(math.ceil(total / per_epoch)):
            order = np.random.default_rng([self.seed, epoch]).permutation(task.sample_count)
            batches = iter(task.batches(order, epoch, self.config.batch_size))
            while result.steps < total:
                asked = time.perf_counter()
                batch = next(batches, None)
                result.seconds_waiting += time.perf_counter() - asked
                if batch is None:
                    break
                yield epoch, batch

    def _validate(
        self,
        task: TrainingTask,
        dtype: torch.dtype | None,
        epoch: int,
        factor: float,
        losses: list[float],
        result: TrainingResult,
        keeper: _BestState,
    ) -> None:
        import torch

        task.train_mode(False)
        with torch.inference_mode(), _autocast(self.device, dtype):
            scores = task.validate()
        task.train_mode(True)
        row: dict[str, float] = {"step": result.steps, "epoch": epoch}
        if losses:
            row |= {"loss": float(np.mean(losses)), "learning_rate": self.config.learning_rate * factor}
        result.history.append(row | scores)
        keeper.offer(result.steps, scores)


class _BestState:
    """The parameters at their best validation so far."""

    def __init__(self, select_by: str, parameters: list[torch.nn.Parameter]) -> None:
        self._select_by = select_by
        self._parameters = parameters
        self._best: tuple[float, float] | None = None
        self._state: list[torch.Tensor] = []
        self.step = 0
        self.since_best = 0

    @property
    def note(self) -> str:
        return "" if self._best is None else f"best {self._select_by}={abs(self._best[0]):.3f}"

    def offer(self, step: int, scores: dict[str, float]) -> None:
        first = scores["accuracy"] if self._select_by == "accuracy" else -scores["log_loss"]
        rank = (first, -scores["log_loss"])
        if self._best is not None and rank <= self._best:
            self.since_best += 1
            return
        self._best, self.step, self.since_best = rank, step, 0
        self._state = [parameter.detach().clone() for parameter in self._parameters]

    def restore(self) -> None:
        import torch

        with torch.no_grad():
            for parameter, value in zip(self._parameters, self._state, strict=True):
                parameter.copy_(value)


def _autocast(device: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager:
    import torch

    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype)
