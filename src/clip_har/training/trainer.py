"""The training loop: one for one process or many, which accumulates, skips what is not finite, saves and goes on.

What it does to a step is in the modules beside it: the order and the parts of a batch (`batches`), number formats
(`precision`), the optimisers and their schedule (`optimisers`), processes (`modes`), and checkpoints (`checkpoints`).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.errors import TrainingError
from clip_har.hashing import sha256_arrays, sha256_json
from clip_har.storage import exclusive
from clip_har.training.batches import Part, epoch_parts, load_parts
from clip_har.training.best_state import BestState
from clip_har.training.blocks import changed_blocks
from clip_har.training.checkpoints import CheckpointStore, Snapshot
from clip_har.training.config import CheckpointConfig, DistributedConfig, TrainerConfig
from clip_har.training.distributed import World, current
from clip_har.training.interruption import Interruption, TrainingInterrupted
from clip_har.training.memory import is_out_of_memory, out_of_memory, release_memory
from clip_har.training.optimisers import build_optimisers, learning_rate_factor, set_learning_rate
from clip_har.training.precision import (
    LossScale,
    autocast,
    autocast_type,
    check_master_weights,
    clip_gradients,
    tf32,
)
from clip_har.training.random_state import random_state, set_random_state
from clip_har.training.run_state import load_tensors, named_tensors
from clip_har.training.task import Batch, TrainingResult, TrainingTask

if TYPE_CHECKING:
    import torch

__all__ = [
    "CheckpointConfig",
    "DistributedConfig",
    "Trainer",
    "TrainerConfig",
    "TrainingInterrupted",
    "TrainingResult",
    "TrainingTask",
    "autocast_type",
    "learning_rate_factor",
]

Progress = Callable[[int, int, str], None]


class Trainer:
    """Runs a task on one device; in each of several processes if a launcher started them.

    Args:
        config: the run's settings.
        device: where the task's parameters are.
        seed: of dropout and of the order of samples.
        key: what makes this run the same run when it is started again: a hash of configuration, data and code.
        workspace: where `checkpoints` are if `config.checkpoint` names no folder.
    """

    def __init__(
        self, config: TrainerConfig, device: torch.device, seed: int, *, key: str = "", workspace: Path | None = None
    ) -> None:
        self.config = config
        self.device = device
        self.seed = seed
        self.key = key
        self.workspace = workspace

    def fit(
        self,
        task: TrainingTask,
        progress: Progress | None = None,
        on_validation: Callable[[dict[str, float]], None] | None = None,
    ) -> TrainingResult:
        """Train, and leave the task's parameters at the best state seen on the validation split.

        Args:
            progress: called after each step as `progress(done, total, note)`.
            on_validation: called with each new row of the history; what it raises ends the run.

        Raises:
            TrainingError: if too many steps in a row gave a loss or a gradient that is not finite, if memory runs out, or
                if a setting does not fit the task.
            TrainingInterrupted: after SIGTERM, if checkpoints are on; one was written.
        """
        with contextlib.ExitStack() as settings:
            folder = self._checkpoint_folder(task)
            world = current()
            if folder is not None and world.first:
                settings.enter_context(exclusive(folder.with_name(f"{folder.name}.lock"), wait=60))
            interruption = settings.enter_context(Interruption(folder is not None))
            settings.enter_context(
                changed_blocks(
                    task,
                    checkpointing=self.config.gradient_checkpointing,
                    compiled=self.config.compile,
                    device=self.device,
                )
            )
            settings.enter_context(tf32(self.config.tf32, self.device))
            return _Run(self, task, world, folder, interruption, progress, on_validation).fit()

    def _checkpoint_folder(self, task: TrainingTask) -> Path | None:
        """Where this run's checkpoints are; None if it keeps none."""
        config = self.config
        if config.checkpoint is None:
            return None
        if not self.key:
            raise TrainingError("training.checkpoint: this method gives its training no key, so it cannot be resumed.")
        if config.checkpoint.folder is None and self.workspace is None:
            raise TrainingError("training.checkpoint.folder: a folder is wanted, since there is no workspace here.")
        folder = Path(config.checkpoint.folder or self.workspace / "checkpoints")
        values = {str(number): value.detach().cpu().numpy() for number, value in enumerate(task.parameters())}
        about = {
            "key": self.key,
            "training": config.model_dump(
                mode="json",
                exclude={"checkpoint": True, "distributed": {"timeout", "processes", "machines", "endpoint", "folder"}},
            ),
            "seed": self.seed,
            "samples": task.sample_count,
            "start": sha256_arrays(values),
        }
        return folder / current().of_first(sha256_json(about))[:16]


class _Run:
    """One run of a trainer: everything that changes while it goes on."""

    def __init__(
        self,
        trainer: Trainer,
        task: TrainingTask,
        world: World,
        folder: Path | None,
        interruption: Interruption,
        progress: Progress | None,
        on_validation: Callable[[dict[str, float]], None] | None,
    ) -> None:
        import torch

        from clip_har.training.modes import build_mode

        config = trainer.config
        self.config, self.device, self.seed, self.task, self.world = config, trainer.device, trainer.seed, task, world
        self.progress, self.on_validation, self.interruption = progress, on_validation, interruption
        torch.manual_seed(self.seed + world.rank)  # dropout differs between the processes
        check_master_weights(task.parameters())
        if config.accumulate > 1:
            self._check_can_be_cut("training.accumulate")
        self.mode = build_mode(config.distributed.mode, task, world)
        self.parameters = task.parameters()
        self.buffers = task.buffers() if hasattr(task, "buffers") else []
        self.optimisers = build_optimisers(task, config)
        self.per_epoch = math.ceil(task.sample_count / config.batch_size)
        self.total = min(config.epochs * self.per_epoch, config.max_steps or math.inf)
        self.every = min(config.evaluate_every or self.per_epoch, self.total)
        self.dtype = autocast_type(config.precision, self.device)
        self.scale = LossScale(self.dtype == torch.float16)
        self.result = TrainingResult(accumulate=config.accumulate)
        self.keeper = BestState(config.select_by, [*self.parameters, *self.buffers])
        self.losses: list[float] = []
        self.skipped_in_a_row = self.skipped_since_row = 0
        self.store = None if folder is None else CheckpointStore(folder, config.checkpoint.keep, world)

    def fit(self) -> TrainingResult:
        try:
            return self._fit()
        except Exception as error:
            if is_out_of_memory(error):
                raise out_of_memory(self.config, self.result.accumulate, self.world, error) from error
            raise

    def _fit(self) -> TrainingResult:
        started = time.perf_counter()
        if not self._resume():
            self._validate(0, 0.0)
        before = self.result.seconds
        while self.result.steps < self.total and not self.result.stopped_early:
            epoch, done = divmod(self.result.steps, self.per_epoch)
            self._train_epoch(epoch, done)
            self.result.seconds = before + time.perf_counter() - started
        self.keeper.restore()
        self.result.best_step = self.keeper.step
        self.result.seconds = before + time.perf_counter() - started
        self.task.train_mode(False)
        return self.result

    def _train_epoch(self, epoch: int, done: int) -> None:
        """The rest of an epoch after `done` steps; ends early when memory ran out and the parts became smaller."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.task.sample_count)
        if hasattr(self.task, "order"):
            order = self.task.order(epoch, order)
        rest = order[done * self.config.batch_size :]
        size, accumulate = self.config.batch_size, self.result.accumulate
        steps = list(epoch_parts(rest, size, accumulate, self.world.rank, self.world.size))
        batches = load_parts(self.task, steps, epoch)
        with contextlib.closing(batches):
            for parts in steps:
                gradients = self._try_gradients(parts, batches)
                if gradients is None:
                    return
                self._finish_step(epoch, *gradients)
                if self.result.stopped_early or self.result.steps == self.total:
                    return

    def _try_gradients(self, parts: list[Part], batches: Iterator[Batch]) -> tuple[float, bool] | None:
        """As `_gradients`; None if memory ran out and smaller parts are to be tried."""
        if not self.config.auto_batch:
            return self._gradients(parts, batches)
        random = random_state(self.device)
        try:
            return self._gradients(parts, batches)
        except Exception as error:
            if not (is_out_of_memory(error) and self._halve()):
                raise
        # The error is gone by here, and with it what its frames kept in memory.
        set_random_state(self.device, *random)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        release_memory(self.device)
        return None

    def _finish_step(self, epoch: int, value: float, interrupted: bool) -> None:
        config = self.config
        factor = learning_rate_factor(self.result.steps, self.total, config.warmup_share)
        set_learning_rate(self.optimisers, config.learning_rate * factor)
        self._update(value)
        self.result.steps += 1
        step = self.result.steps
        if step % self.every == 0 or step == self.total:
            self._validate(epoch + 1, factor)
            if config.patience is not None and self.keeper.since_best >= config.patience and step < self.total:
                self.result.stopped_early = True
        if self.progress and self.world.first:
            self.progress(step, self.total, f"loss={value:.3f} {self.keeper.note}")
        self._save_if_due(interrupted)

    def _gradients(self, parts: list[Part], batches: Iterator[Batch]) -> tuple[float, bool]:
        """The mean loss of a step over all its samples, its gradients in place; and whether the run is to end."""
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        value = 0.0
        for number, part in enumerate(parts):
            asked = time.perf_counter()
            batch = next(batches)
            self.result.seconds_waiting += time.perf_counter() - asked
            with self.mode.accumulating(last=number == len(parts) - 1):
                with autocast(self.device, self.dtype):
                    loss = self.mode.loss(batch, part.sizes)
                if part.weight != 1:
                    loss = loss * part.weight
                self.mode.backward(self.scale.apply(loss))
            value += float(loss.detach())
        self.mode.finish_gradients()
        value, interrupted = self.world.sum([value, float(self.interruption.asked)])
        return value, interrupted > 0

    def _update(self, value: float) -> None:
        """One step of the optimisers, unless something is not finite: then none, and it is counted."""
        self.scale.undo(self.parameters)
        norm = clip_gradients(self.parameters, self.config.clip_norm, self.world)
        finite = math.isfinite(value) and math.isfinite(norm)
        self.scale.update(finite)
        if finite:
            for optimiser in self.optimisers:
                optimiser.step()
            self.losses.append(value)
            self.skipped_in_a_row = 0
            return
        self.result.skipped += 1
        self.skipped_since_row += 1
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row > self.config.max_skipped:
            what = f"loss became {value}" if not math.isfinite(value) else f"gradient's norm became {norm}"
            raise TrainingError(
                f"The {what} at step {self.result.steps + 1}, the last of {self.skipped_in_a_row} steps in a row that could "
                f"not be used (training.max_skipped: {self.config.max_skipped}). Lower the learning rate (now "
                f"{self.config.learning_rate:g}), bound the gradient with clip_norm, or use precision fp32."
            )

    def _validate(self, epoch: int, factor: float) -> None:
        self.task.train_mode(False)
        self.mode.share_buffers(self.buffers)
        with autocast(self.device, self.dtype):
            scores = self.mode.validate()
        self.task.train_mode(True)
        row: dict[str, float] = {"step": self.result.steps, "epoch": epoch}
        if self.losses:
            row |= {"loss": float(np.mean(self.losses)), "learning_rate": self.config.learning_rate * factor}
        if self.skipped_since_row:
            row["skipped"] = self.skipped_since_row
        self.losses, self.skipped_since_row = [], 0
        self.result.history.append(row | scores)
        self.keeper.offer(self.result.steps, scores)
        if self.on_validation and self.world.first:
            self.on_validation(self.result.history[-1])

    def _check_can_be_cut(self, option: str) -> None:
        if hasattr(self.task, "loss_across"):
            raise TrainingError(
                f"{option}: in this loss every sample of a batch meets every other, so that parts of a batch are another "
                "batch. Use a smaller batch_size, or spread the batch over processes (training.distributed)."
            )

    def _halve(self) -> bool:
        """Have each batch computed in twice as many parts; whether that can be done."""
        config = self.config
        if not config.auto_batch or self.world.size > 1 or hasattr(self.task, "loss_across"):
            return False
        if self.result.accumulate >= config.batch_size:
            return False
        self.result.accumulate = min(config.batch_size, 2 * self.result.accumulate)
        return True

    def _save_if_due(self, interrupted: bool) -> None:
        if self.store is None:
            return
        due = self.result.steps % (self.config.checkpoint.every_steps or self.per_epoch) == 0
        last = self.result.steps == self.total or self.result.stopped_early
        if not (due or last or interrupted):
            return
        written = self.store.save(self._snapshot())
        if interrupted and not last:
            outcome = "A checkpoint was written" if written else "No checkpoint could be written"
            raise TrainingInterrupted(
                f"The run was told to end (SIGTERM) and did so after step {self.result.steps} of {self.total}. {outcome}: "
                f"started again with the same settings, it goes on from {self.store.folder}."
            )

    def _snapshot(self) -> Snapshot:
        random, random_numbers = random_state(self.device)
        random_numbers = self.world.gather(random_numbers)
        numbers: dict[str, Any] = {
            "result": self.result.to_json(),
            "best": self.keeper.numbers(),
            "losses": self.losses,
            "skipped": [self.skipped_in_a_row, self.skipped_since_row],
            "scale": [self.scale.scale, self.scale.good_steps],
            "random": random_numbers,
        }
        tensors, layout = named_tensors(self.parameters, self.buffers, self.optimisers)
        numbers["optimisers"] = layout
        best = dict(zip(self._kept_names(), self.keeper.kept, strict=True))
        return Snapshot(self.result.steps, numbers, tensors, random, self.keeper.step, best)

    def _kept_names(self) -> list[str]:
        return list(named_tensors(self.parameters, self.buffers, [])[0])

    def _resume(self) -> bool:
        """Go on from the last checkpoint; whether there was one."""
        saved = None if self.store is None else self.store.last()
        if saved is None:
            return False
        about = saved.about
        load_tensors(saved, self.parameters, self.buffers, self.optimisers)
        self.result = TrainingResult(**about["result"])
        self.result.resumed_at = self.result.steps
        kept = dict(zip(self._kept_names(), [*self.parameters, *self.buffers], strict=True))
        best = saved.best(kept)
        self.keeper.go_on_from(about["best"], [best[name].to(like.device) for name, like in kept.items()])
        self.losses = about["losses"]
        self.skipped_in_a_row, self.skipped_since_row = about["skipped"]
        self.scale.scale, self.scale.good_steps = about["scale"]
        self.task.train_mode(True)
        set_random_state(self.device, saved.random(), about["random"][self.world.rank])
        return True
