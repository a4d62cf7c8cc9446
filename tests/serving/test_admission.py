"""Who is let in: bounds, deadlines, and places that are given back however a request ends."""

from __future__ import annotations

import time

import pytest

from clip_har.serving.admission import Admission
from clip_har.serving.config import QueueConfig
from clip_har.serving.errors import TooLarge, TooManyRequests, Unavailable


def admission(*, most: int = 4, seconds: float = 10.0, pace: float = 0.0) -> Admission:
    made = Admission(QueueConfig(max_waiting=most, deadline_seconds=seconds))
    made.open()
    if pace:
        made.answered(time.monotonic() - pace)
    return made


def test_no_more_than_the_capacity_is_inside():
    house = admission(most=4)
    tickets = [house.enter() for _ in range(4)]
    with pytest.raises(TooManyRequests, match="4 pictures are waiting or being answered, of 4") as refused:
        house.enter()
    assert refused.value.status == 429
    assert refused.value.retry_after > 0
    tickets[0].leave()
    assert house.depth == 3
    house.enter()


def test_a_place_is_freed_once_however_the_block_ends():
    house = admission()
    with pytest.raises(ZeroDivisionError), house.enter(images=3) as ticket:  # noqa: PT012
        assert house.depth == 3
        raise ZeroDivisionError
    ticket.leave()
    assert house.depth == 0


def test_a_request_turns_out_to_hold_more_pictures():
    house = admission(most=4)
    with house.enter() as ticket:
        ticket.widen(3)
        assert house.depth == 3
        with house.enter(), pytest.raises(TooManyRequests):
            ticket.widen(4)
        assert house.depth == 3
        with pytest.raises(TooLarge, match="5 pictures in one request; at most 4"):
            ticket.widen(5)
    assert house.depth == 0


def test_who_would_wait_beyond_the_deadline_is_refused_at_once():
    house = admission(most=64, seconds=1.0, pace=0.4)
    tickets = [house.enter() for _ in range(2)]
    with pytest.raises(TooManyRequests, match=r"would take about 1\.2 s.*1\.0 s that the request may take") as refused:
        house.enter()
    assert refused.value.retry_after == pytest.approx(0.2, abs=0.05)
    with pytest.raises(TooManyRequests):  # a caller in a hurry is refused sooner
        house.enter(deadline=time.monotonic() + 0.5)
    tickets[0].leave()
    house.enter()


def test_a_caller_cannot_lengthen_the_deadline():
    ticket = admission(seconds=1.0).enter(deadline=time.monotonic() + 100)
    assert ticket.seconds_left <= 1.0


def test_an_empty_house_lets_one_in_however_slow_it_was():
    """A pace from a slow first picture must not close the house for ever: nobody would ever be found to be faster."""
    house = admission(seconds=1.0, pace=5.0)
    with house.enter():
        pass
    with pytest.raises(TooManyRequests):
        house.enter(deadline=time.monotonic() - 0.1)  # but nobody whose time is over


def test_the_pace_is_the_time_from_one_answer_to_the_next():
    house = admission()
    now = time.monotonic()
    house.answered(now - 0.2)
    assert house.estimated_wait(1) == pytest.approx(0.2, abs=0.02)
    for _ in range(60):  # two lanes at work: each picture takes long, one is ready every moment
        house.answered(now - 1.0)
    assert house.estimated_wait(1) < 0.01


def test_nobody_is_let_in_before_the_start_and_during_the_end():
    house = Admission(QueueConfig())
    with pytest.raises(Unavailable, match="starting"):
        house.enter()
    house.open()
    ticket = house.enter()
    house.close("The service is shutting down.")
    with pytest.raises(Unavailable, match="shutting down") as refused:
        house.enter()
    assert refused.value.status == 503
    ticket.widen(2)  # who is inside stays
    assert house.depth == 2


def test_a_refusal_costs_less_than_a_millisecond():
    """An order of magnitude below the bound, so that a busy machine does not matter."""
    house = admission(most=1)
    house.enter()
    began = time.process_time()
    for _ in range(1000):
        with pytest.raises(TooManyRequests):
            house.enter()
    assert (time.process_time() - began) / 1000 < 1e-3
