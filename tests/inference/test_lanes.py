"""Cores are given to one caller together, or to several one by one, and never more than there are."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from clip_har.inference.runtimes.lanes import Lanes


def test_one_alone_has_all_and_the_next_waits() -> None:
    lanes, order, second_there = Lanes(2), [], threading.Event()

    def second() -> None:
        second_there.set()
        with lanes.all_or_one() as together:
            order.append(("second", together))

    with ThreadPoolExecutor(1) as pool:
        with lanes.all_or_one() as together:
            assert together
            job = pool.submit(second)
            assert second_there.wait(10)
            order.append(("first", together))
        job.result(timeout=10)
    assert [name for name, _ in order] == ["first", "second"]


def test_beside_another_it_is_one() -> None:
    lanes = Lanes(2)
    with lanes.one():
        with lanes.all_or_one() as together:
            assert not together
        with lanes.one():
            pass
    with lanes.all_or_one() as together:
        assert together


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_more_cores_are_used_than_there_are(count: int) -> None:
    lanes, used, most, lock = Lanes(count), 0, 0, threading.Lock()

    def work(number: int) -> None:
        nonlocal used, most
        with lanes.all_or_one() if number % 2 else lanes.one() as together:
            mine = count if together else 1
            with lock:
                used += mine
                most = max(most, used)
            threading.Event().wait(0.001)
            with lock:
                used -= mine

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(100)))
    assert most == count
    assert used == 0


def test_a_failure_gives_back() -> None:
    lanes = Lanes(2)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"), lanes.all_or_one():
            raise ValueError("no")
    with lanes.all_or_one() as together:
        assert together
