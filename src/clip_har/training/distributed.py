"""Several processes that train together: who they are, and the sums and rows that they exchange.

Processes are found by the environment variables that torch's elastic launcher sets. Numbers that decide something go
through here, so that every process decides the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.training.batches import own_positions

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class BatchShare:
    """This process's place in a part of a batch.

    Attributes:
        rank: of this process.
        sizes: how many samples count on each process, the first ones of its batch; none may on some.
    """

    rank: int
    sizes: tuple[int, ...]

    @property
    def counted(self) -> int:
        """Samples that count here."""
        return self.sizes[self.rank]


@dataclass(frozen=True)
class World:
    """The processes of a run; one by default.

    Attributes:
        rank, size: number of this process, and of all.
        local_rank: its number among those of this machine, which is also its GPU's.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls) -> World:
        """As the launcher says; a single process where none did."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        return cls(*(int(os.environ[name]) for name in names)) if all(name in os.environ for name in names) else cls()

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """Sums over all processes; every process gets them."""
        if self.size == 1:
            return values
        import torch
        import torch.distributed as dist

        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def any(self, value: bool) -> bool:
        """Whether it holds on any process."""
        return self.sum([float(value)])[0] > 0

    def of_first(self, value: Any) -> Any:
        """A JSON value of process 0, for all."""
        return self._of(0, value)

    def _of(self, source: int, value: Any) -> Any:
        if self.size == 1:
            return value
        import torch
        import torch.distributed as dist

        data = json.dumps(value).encode() if self.rank == source else b""
        length = torch.tensor([len(data)])
        dist.broadcast(length, source)
        content = torch.zeros(int(length), dtype=torch.uint8)
        if self.rank == source:
            content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        dist.broadcast(content, source)
        return json.loads(content.numpy().tobytes())

    def gather(self, value: Any) -> list[Any]:
        """Every process's JSON value, by rank, for all."""
        return [self._of(source, value) for source in range(self.size)]


@contextmanager
def joined(device: torch.device, timeout: float) -> Iterator[World]:
    """Join the processes that a launcher started, for the block.

    Args:
        device: gloo is used on CPUs, nccl besides on CUDA.
        timeout: seconds that a process waits for another.
    """
    import torch.distributed as dist

    world = World.from_environment()
    if "RANK" not in os.environ:
        yield world
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    try:
        yield world
    finally:
        dist.destroy_process_group()


def current() -> World:
    """The processes that this one has joined."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return World()
    return World(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))


def own_share(number: int) -> np.ndarray:
    """Positions, of `number` things to be validated on, that are this process's: int [k], k the same on all.

    Alone, all of them. The last one is repeated where they cannot be shared out equally; `gather_rows` leaves the
    repetitions out again.
    """
    world = current()
    return own_positions(number, world.rank, world.size)[0]


def gather_rows(rows: np.ndarray, number: int) -> np.ndarray:
    """The rows [number, …] of all processes in order, from each one's rows [k, …] for its `own_share(number)`."""
    world = current()
    if world.size == 1:
        return rows
    import torch
    import torch.distributed as dist

    own = torch.from_numpy(np.ascontiguousarray(rows))
    gathered = [torch.empty_like(own) for _ in range(world.size)]
    dist.all_gather(gathered, own)
    counts = [own_positions(number, rank, world.size)[1] for rank in range(world.size)]
    return np.concatenate([part.numpy()[:count] for part, count in zip(gathered, counts, strict=True)])
