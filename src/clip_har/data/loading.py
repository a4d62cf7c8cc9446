"""Work on many files with a few threads, in order, a bounded number ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], *, ahead: int = 64, threads: int | None = None
) -> Iterator[Result]:
    """`map(work, items)` in threads: results in order, at most `ahead` of them waiting to be taken.

    Decoding releases Python's lock, so that it overlaps with whatever the caller does between two results.
    An exception of `work` is raised where its result would have come.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1), thread_name_prefix="decode") as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) >= ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items in order; the last may be shorter."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
