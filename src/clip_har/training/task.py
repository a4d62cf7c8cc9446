"""What the training loop is told to train, and what it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

Batch = Any


class TrainingTask(Protocol):
    """What is trained; the loop is the same for all.

    A task may have more than what stands below; the loop uses it where it is there:

    * `module() -> torch.nn.Module`: holds everything that is trained, its transformer blocks in `ModuleList`s. Needed for
      fsdp, gradient checkpointing and compilation.
    * `buffers() -> list[Tensor]`: other state that training changes (statistics of batch normalisation).
    * `learning_rate_shares() -> list[float]`: of each parameter, for layer-wise decay.
    * `hidden_matrices() -> list[Parameter]`: for Muon.
    * `order(epoch, shuffled) -> int [k]`: positions that an epoch goes through (balanced sampling); else `shuffled`.
    * `loss_across(batch, share)`: the loss where a batch cannot be taken apart (the contrastive loss): see
      `clip_har.training.distributed.BatchShare`. Such a task is never accumulated.

    `validate` runs on every process. It may share the work out with `own_share` and `gather_rows` of
    `clip_har.training.distributed`; the figures of process 0 count.
    """

    sample_count: int

    def parameters(self) -> list[torch.nn.Parameter]:
        """What the optimiser changes, in a fixed order; float32."""

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Batches of an epoch or of a part of it; `order` int [n] are positions in the train split."""

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
            learning_rate, the task's figures, and how many steps were skipped since the last row if any were.
        best_step: step of the state that was kept.
        steps: batches taken; each is one optimiser step unless it was skipped.
        skipped: steps without an update because the loss or the gradient was not finite.
        accumulate: parts that the last batch was computed in.
        stopped_early: whether patience ended it.
        resumed_at: step of the checkpoint that it went on from; None for a run from the start.
        seconds_waiting, seconds: time spent waiting for batches, and in all.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_step: int = 0
    steps: int = 0
    skipped: int = 0
    accumulate: int = 1
    stopped_early: bool = False
    resumed_at: int | None = None
    seconds_waiting: float = 0.0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON; `TrainingResult(**value)` reads it."""
        return asdict(self)
