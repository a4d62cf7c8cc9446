"""Drawing many pictures on all cores, in order, with a bounded number of them in flight."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_CHUNK = 16
_CHUNKS_AHEAD = 4  # for each worker
_MOST_WORKERS = 16
_WORTH_A_PROCESS = 48  # fewer tasks are done before processes have started


def available_workers() -> int:
    """Processes worth starting on this machine: the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_WORKERS)


def map_in_processes(work: Callable[[T], R], tasks: Iterable[T], count: int, workers: int | None = None) -> Iterator[R]:
    """Results of `work` on every task, in the order of the tasks, whatever the number of workers.

    Args:
        work: a function of a module, so that it can be sent to other processes.
        tasks: may be endless or lazy: only few more than the consumed results are taken.
        count: how many tasks there are, to choose the number of workers.
        workers: processes; chosen by `count` and the machine if not given. With 1 all is done in this process.
    """
    if workers is None:
        workers = available_workers() if count >= _WORTH_A_PROCESS else 1
    # a daemonic process, as worker pools have them, cannot start processes of its own
    if workers < 2 or multiprocessing.current_process().daemon:
        yield from map(work, tasks)
        return
    tasks = iter(tasks)
    pool = ProcessPoolExecutor(workers)
    try:
        waiting: deque[Future[list[R]]] = deque()
        while True:
            while len(waiting) < _CHUNKS_AHEAD * workers and (chunk := list(islice(tasks, _CHUNK))):
                waiting.append(pool.submit(_work_through, work, chunk))
            if not waiting:
                return
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _work_through(work: Callable[[T], R], tasks: list[T]) -> list[R]:
    return [work(task) for task in tasks]
