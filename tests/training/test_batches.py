"""Which samples each process computes: whatever the numbers, each sample of a batch counts once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from clip_har.errors import TrainingError
from clip_har.training.batches import epoch_parts, load_parts, own_positions, shares


@pytest.mark.parametrize("samples", [1, 3, 16, 21])
@pytest.mark.parametrize("batch_size", [1, 5, 8, 40])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_each_sample_of_a_batch_counts_once(samples: int, batch_size: int, accumulate: int, processes: int) -> None:
    accumulate = min(accumulate, batch_size)
    order = np.random.default_rng(0).permutation(samples)
    every = [list(epoch_parts(order, batch_size, accumulate, process, processes)) for process in range(processes)]
    for number, steps in enumerate(zip(*every, strict=True)):
        expected = order[number * batch_size : (number + 1) * batch_size]
        assert len({len(parts) for parts in steps}) == 1, "they would wait for each other"
        counted = []
        for together in zip(*steps, strict=True):
            assert len({part.sizes for part in together}) == 1
            for process, part in enumerate(together):
                assert len(part.positions) == max(1, part.sizes[process])
                counted.extend(part.positions[: part.sizes[process]])
                assert part.weight == pytest.approx(part.sizes[process] / len(expected))
        assert counted == expected.tolist()
        assert sum(part.weight for parts in steps for part in parts) == pytest.approx(1)


class Asked:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[int], int]] = []

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[np.ndarray]:
        self.calls.append((order.tolist(), batch_size))
        for start in range(0, len(order), batch_size):
            yield order[start : start + batch_size]


@pytest.mark.parametrize(
    ("samples", "batch_size", "accumulate", "processes", "calls"),
    [
        (21, 8, 1, 1, 1),  # one call for an epoch, as without parts
        (21, 8, 2, 1, 1),
        (24, 8, 2, 2, 1),
        (21, 7, 2, 1, 3),  # parts of four and three: as many calls as steps
    ],
)
def test_a_task_is_asked_for_as_much_as_possible_at_a_time(
    samples: int, batch_size: int, accumulate: int, processes: int, calls: int
) -> None:
    task = Asked()
    steps = list(epoch_parts(np.arange(samples), batch_size, accumulate, 0, processes))
    batches = list(load_parts(task, steps, 0))
    parts = [part for step in steps for part in step]
    assert all(np.array_equal(batch, part.positions) for batch, part in zip(batches, parts, strict=True))
    assert len(task.calls) == calls


def test_a_task_that_gives_too_few_batches_is_told() -> None:
    task = Asked()
    task.batches = lambda order, epoch, batch_size: iter([order[:1]])
    with pytest.raises(TrainingError, match=r"Asked\.batches gave 1 batches where 3 were wanted"):
        list(load_parts(task, list(epoch_parts(np.arange(6), 2, 1, 0, 1)), 0))


def test_shares_differ_by_one() -> None:
    assert [(share.start, share.stop) for share in shares(7, 3)] == [(0, 3), (3, 5), (5, 7)]
    assert own_positions(4, 0, 3)[0].tolist() == [0, 1]
    positions, counted = own_positions(4, 2, 3)
    assert (positions.tolist(), counted) == ([3, 3], 1)
