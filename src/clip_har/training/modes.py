"""One process, many with the whole model each, or many with a part of it each: the same calls for the loop.

The losses of the processes are averaged over samples, not processes, so that a step is the same step whatever their
number. Both wrappers of torch see a step as one call of one module: that lets a task compute its loss in any way it likes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch

from clip_har.errors import TrainingError
from clip_har.training.blocks import blocks_of, module_of
from clip_har.training.distributed import BatchShare, World

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule

    from clip_har.training.task import Batch, TrainingTask

Value = TypeVar("Value")


class _Whole(torch.nn.Module):
    """Everything that is trained; calling it does any work with it."""

    def __init__(self, held: torch.nn.Module) -> None:
        super().__init__()
        self.held = held

    def forward(self, work: Callable[[], Value]) -> Value:
        return work()


class SingleMode:
    """One process."""

    def __init__(self, task: TrainingTask, world: World) -> None:
        self.task, self.world = task, world

    def loss(self, batch: Batch, sizes: tuple[int, ...]) -> torch.Tensor:
        """Mean loss over this process's samples, a scalar with gradients."""
        return self._work(lambda: self._loss(batch, sizes))

    def _loss(self, batch: Batch, sizes: tuple[int, ...]) -> torch.Tensor:
        if self.world.size > 1 and hasattr(self.task, "loss_across"):
            return self.task.loss_across(batch, BatchShare(self.world.rank, sizes))
        return self.task.loss(batch)

    def _work(self, work: Callable[[], Value]) -> Value:
        return work()

    def backward(self, loss: torch.Tensor) -> None:
        """Add to the gradients; the losses of all processes are added up."""
        loss.backward()

    def accumulating(self, last: bool) -> contextlib.AbstractContextManager:
        """Around loss and backward of one part of a step."""
        return contextlib.nullcontext()

    def finish_gradients(self) -> None:
        """After the last part's backward."""

    def share_buffers(self, buffers: list[torch.Tensor]) -> None:
        """Give all processes the first one's statistics, as torch's own wrapper does."""
        if self.world.size > 1:
            for buffer in buffers:
                torch.distributed.broadcast(buffer, 0)

    def validate(self) -> dict[str, float]:
        """The task's figures, the same on all processes."""
        with torch.inference_mode():
            return self.world.of_first(self.task.validate())


class DistributedDataParallelMode(SingleMode):
    """The whole model in every process; gradients are summed while the backward pass runs."""

    def __init__(self, task: TrainingTask, world: World) -> None:
        super().__init__(task, world)
        self._wrapped = torch.nn.parallel.DistributedDataParallel(
            _Whole(torch.nn.ParameterList(task.parameters())),
            find_unused_parameters=True,  # encoders have layers that no embedding depends on
        )

    def _work(self, work: Callable[[], Value]) -> Value:
        return self._wrapped(work)

    def backward(self, loss: torch.Tensor) -> None:
        (loss * self.world.size).backward()  # torch divides the sum by the number of processes

    def accumulating(self, last: bool) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext() if last else self._wrapped.no_sync()


class FullyShardedMode(SingleMode):
    """FSDP2: parameters, gradients and optimiser state shared out; each block is put together while it is computed."""

    def __init__(self, task: TrainingTask, world: World) -> None:
        super().__init__(task, world)
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        module = module_of(task, "training.distributed.mode: fsdp")
        parameters = task.parameters()
        inside = {id(parameter) for parameter in module.parameters()}
        if any(id(parameter) not in inside for parameter in parameters):
            raise TrainingError(f"{type(task).__name__}.module() does not hold all that is trained; fsdp needs that.")
        for parameter in module.parameters():  # FSDP2 takes no other layout, and convolutions may be channels-last
            parameter.data = parameter.data.contiguous()
        for tensor in [*module.parameters(), *module.buffers()]:
            torch.distributed.broadcast(tensor.detach(), 0)
        self._scalars = [parameter for parameter in module.parameters() if parameter.numel() == 1]
        mesh = init_device_mesh(parameters[0].device.type, (world.size,))
        self._whole = _Whole(module)
        for part in [*blocks_of(module), self._whole]:
            own = [parameter for parameter in self._scalars if any(parameter is other for other in part.parameters())]
            fully_shard(part, mesh=mesh, ignored_params=set(own))
        for part in self._sharded_parts():  # what is first put together in `torch.inference_mode` could not be trained
            part.unshard()
            part.reshard()

    def _sharded_parts(self) -> list[FSDPModule]:
        from torch.distributed.fsdp import FSDPModule

        return [part for part in self._whole.modules() if isinstance(part, FSDPModule)]

    def _work(self, work: Callable[[], Value]) -> Value:
        return self._whole(work)

    def backward(self, loss: torch.Tensor) -> None:
        (loss * self.world.size).backward()

    def finish_gradients(self) -> None:
        """A scalar cannot be sharded: every process has it, and its gradient is averaged here."""
        for parameter in self._scalars:
            if parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad.div_(self.world.size)

    def validate(self) -> dict[str, float]:
        with torch.no_grad():
            scores = self._work(self.task.validate)
        for part in self._sharded_parts():  # without a backward pass the outermost stays as it was put together
            part.reshard()
        return self.world.of_first(scores)


MODES: dict[str, type[SingleMode]] = {
    "single": SingleMode,
    "ddp": DistributedDataParallelMode,
    "fsdp": FullyShardedMode,
}


def build_mode(name: str, task: TrainingTask, world: World) -> SingleMode:
    """The mode of a run.

    Raises:
        TrainingError: if it does not fit the number of processes.
    """
    if name == "single" and world.size > 1:
        raise TrainingError(
            f"training.distributed.mode: single, in one of {world.size} processes; wanted: ddp or fsdp, or no torchrun."
        )
    if not torch.distributed.is_initialized():
        name = "single" if name == "ddp" else name
        if name == "fsdp":
            raise TrainingError("training.distributed.mode: fsdp needs the processes of torch's launcher (torchrun).")
    return MODES[name](task, world)
