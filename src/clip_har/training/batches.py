"""Which samples each process computes in each step, and in which parts.

A step's batch is the same whatever the number of processes and parts: it is cut into `accumulate` parts, one after the
other, and each part into a share for every process. All processes take part in all parts, since they wait for each other:
one that would be left without a sample takes one that does not count.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clip_har.errors import TrainingError

if TYPE_CHECKING:
    from clip_har.training.task import Batch, TrainingTask


@dataclass(frozen=True)
class Part:
    """What one process computes at a time.

    Attributes:
        positions: int [n] of its samples, at least one.
        sizes: how many samples of the part count on each process.
        weight: share of the step's samples that count here.
    """

    positions: np.ndarray
    sizes: tuple[int, ...]
    weight: float


def shares(number: int, processes: int) -> list[slice]:
    """Consecutive shares that differ by one at most, the larger ones first."""
    bounds = [0]
    for process in range(processes):
        bounds.append(bounds[-1] + number // processes + (process < number % processes))
    return [slice(start, end) for start, end in itertools.pairwise(bounds)]


def parts_of(batch: np.ndarray, size: int, process: int, processes: int) -> list[Part]:
    """One step's parts for one process.

    Args:
        batch: int [n], the step's samples.
        size: samples of a part, over all processes.
    """
    parts = []
    for start in range(0, len(batch), size):
        chunk = batch[start : start + size]
        cut = shares(len(chunk), processes)
        own = chunk[cut[process]]
        sizes = tuple(share.stop - share.start for share in cut)
        parts.append(Part(own if len(own) else chunk[-1:], sizes, len(own) / len(batch)))
    return parts


def epoch_parts(
    order: np.ndarray, batch_size: int, accumulate: int, process: int, processes: int
) -> Iterator[list[Part]]:
    """The parts of each step of an epoch, or of the rest of one.

    Raises:
        TrainingError: if a batch has fewer samples than parts.
    """
    if accumulate > batch_size:
        raise TrainingError(
            f"training.accumulate: a batch of {batch_size} samples cannot be computed in {accumulate} parts."
        )
    size = -(-batch_size // accumulate)
    for start in range(0, len(order), batch_size):
        yield parts_of(order[start : start + batch_size], size, process, processes)


def load_parts(task: TrainingTask, steps: list[list[Part]], epoch: int) -> Iterator[Batch]:
    """The task's batch for each part, in order.

    The task is asked for as many at a time as have the same size, so that it can load ahead: for all of an epoch where
    processes and parts divide the batch.
    """
    pending: list[np.ndarray] = []
    for positions in [part.positions for parts in steps for part in parts]:
        if pending and not len(pending[0]) == len(pending[-1]) >= len(positions):
            yield from _load(task, pending, epoch)
            pending = []
        pending.append(positions)
    if pending:
        yield from _load(task, pending, epoch)


def _load(task: TrainingTask, pending: list[np.ndarray], epoch: int) -> Iterator[Batch]:
    count = 0
    for batch in task.batches(np.concatenate(pending), epoch, len(pending[0])):
        count += 1
        yield batch
    if count != len(pending):
        raise TrainingError(f"{type(task).__name__}.batches gave {count} batches where {len(pending)} were wanted.")


def own_positions(number: int, process: int, processes: int) -> tuple[np.ndarray, int]:
    """A process's share of `number` things, made equally long on all by repeating the last, and how many count."""
    cut = shares(number, processes)
    own = np.arange(number)[cut[process]]
    longest = cut[0].stop - cut[0].start
    padding = np.full(longest - len(own), max(0, number - 1))
    return np.concatenate([own, padding]).astype(np.int64), len(own)
