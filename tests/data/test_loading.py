"""Work in threads: in order, a bounded number ahead, errors where they belong."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from clip_har.data.loading import batched, map_ahead


@pytest.mark.parametrize(("ahead", "threads"), [(1, 1), (3, 4), (64, 2), (5, None)])
def test_results_come_in_order(ahead, threads):
    waits = np.random.default_rng(0).uniform(0, 0.002, 50)

    def work(item: int) -> int:
        threading.Event().wait(waits[item])
        return item * item

    assert list(map_ahead(work, range(50), ahead=ahead, threads=threads)) == [item * item for item in range(50)]
    assert list(map_ahead(work, [], ahead=ahead, threads=threads)) == []


def test_only_so_many_are_made_ahead():
    started = []
    results = map_ahead(lambda item: started.append(item) or item, iter(range(1000)), ahead=4, threads=2)
    for taken in range(20):
        assert next(results) == taken
        assert len(started) <= taken + 4
    results.close()
    assert len(started) < 30


def test_an_error_comes_where_its_result_would_have_come():
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("the third")
        return item

    taken = []
    with pytest.raises(ValueError, match="the third"):
        taken.extend(map_ahead(work, range(10), ahead=8, threads=2))
    results = map_ahead(work, range(10), ahead=8, threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(results)


def test_an_abandoned_iteration_stops_its_threads():
    before = threading.active_count()
    results = map_ahead(lambda item: item, range(10_000), ahead=4, threads=2)
    next(results)
    results.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("count", "size", "expected"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (0, 3, []), (2, 3, [2]), (3, 1, [1, 1, 1])]
)
def test_batches(count, size, expected):
    batches = list(batched(iter(range(count)), size))
    assert [len(batch) for batch in batches] == expected
    assert [item for batch in batches for item in batch] == list(range(count))
