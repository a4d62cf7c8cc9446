"""When a call is tried again, and after how long."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from clip_har.client.errors import ServiceProblem
from clip_har.client.retrying import Tries, retry_after
from clip_har.client.settings import ClientSettings


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def tries(clock: Clock, *, repeatable: bool = True, jitter: float = 1.0, **settings) -> Tries:
    chosen = ClientSettings(**{"deadline_seconds": 60, "tries": 5, "backoff_seconds": 0.2} | settings)
    return Tries(chosen, repeatable=repeatable, clock=clock, jitter=lambda: jitter)


def refused(status: int | None = 429, retry_after: float | None = None, maybe_done: bool = False) -> ServiceProblem:
    return ServiceProblem("no", status=status, code="x", retry_after=retry_after, maybe_done=maybe_done)


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_never_before_the_service_wants_it(jitter):
    made = tries(Clock(), jitter=jitter)
    for backoff in (0.2, 0.4, 0.8, 1.6):
        assert made.wait_after(refused(retry_after=3.0)) == pytest.approx(3.0 + jitter * backoff)


def test_waits_double_and_are_bounded():
    made = tries(Clock(), tries=8, most_backoff_seconds=1.0)
    assert [made.wait_after(refused()) for _ in range(6)] == pytest.approx([0.2, 0.4, 0.8, 1.0, 1.0, 1.0])


def test_tries_are_bounded():
    made = tries(Clock(), tries=3)
    made.wait_after(refused())
    made.wait_after(refused())
    with pytest.raises(ServiceProblem):
        made.wait_after(refused())
    with pytest.raises(ServiceProblem):
        tries(Clock(), tries=1).wait_after(refused())


def test_what_cannot_be_answered_within_the_deadline_is_not_waited_for():
    clock = Clock()
    made = tries(clock, deadline_seconds=10)
    with pytest.raises(ServiceProblem):
        made.wait_after(refused(retry_after=10.0))
    made = tries(clock, deadline_seconds=10)
    assert made.seconds_left() == 10
    clock.now += 8
    assert made.seconds_left() == 2
    assert made.wait_after(refused(retry_after=1.0)) < 2
    clock.now += 3
    assert 0 < made.seconds_left() < 0.01
    with pytest.raises(ServiceProblem):
        made.wait_after(refused())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 415, 422, 500])
def test_what_would_be_answered_the_same_is_not_asked_again(status):
    with pytest.raises(ServiceProblem):
        tries(Clock()).wait_after(refused(status))


@pytest.mark.parametrize(
    ("problem", "repeatable", "again"),
    [
        (refused(429), False, True),
        (refused(503), False, True),
        (refused(None, maybe_done=False), False, True),  # nobody took the request
        (refused(None, maybe_done=True), False, False),
        (refused(None, maybe_done=True), True, True),
        (refused(502), True, True),
        (refused(504, maybe_done=True), True, True),
        (refused(502), False, False),
        (refused(408), False, False),
        (refused(200, maybe_done=True), True, False),  # answered, by something that is no service of ours
    ],
)
def test_what_may_have_been_done_is_repeated_only_where_that_is_safe(problem, repeatable, again):
    made = tries(Clock(), repeatable=repeatable)
    if again:
        assert made.wait_after(problem) >= 0
    else:
        with pytest.raises(ServiceProblem):
            made.wait_after(problem)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        (" 12 ", 12.0),
        ("Thu, 26 Nov 2026 12:00:30 GMT", 30.0),
        ("Thu, 26 Nov 2026 11:00:00 GMT", 0.0),
        ("", None),
        (None, None),
        ("soon", None),
        ("-4", None),
        ("1.5", None),
    ],
)
def test_the_header(header, seconds):
    assert retry_after(header, datetime(2026, 11, 26, 12, tzinfo=UTC)) == seconds
