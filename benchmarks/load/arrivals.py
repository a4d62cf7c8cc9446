"""When requests are sent: as soon as the last is answered (closed loop), or when they are due, come what may (open loop)."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from load.outcome import Outcome

_MOST_CALLERS = 2000


class Caller(Protocol):
    """Something that asks, one request at a time."""

    async def ask(self, payload: bytes) -> int:
        """Send; the status of the answer."""

    async def close(self) -> None:
        """Hang up."""


async def closed_loop(
    make_caller: Callable[[], Caller], payloads: Sequence[bytes], connections: int, seconds: float
) -> Outcome:
    """So many callers, each with its next request as soon as it has an answer; accepted ones are waited for afterwards."""
    outcome = Outcome(seconds=seconds)
    callers = [make_caller() for _ in range(connections)]
    following = itertools.cycle(payloads)
    cpu, started = time.process_time(), time.perf_counter()

    async def keep_asking(caller: Caller) -> None:
        while (sent := time.perf_counter()) < started + seconds:
            status = await caller.ask(next(following))
            done = time.perf_counter()
            if done <= started + seconds:
                outcome.add(sent - started, done - sent, status)
            else:
                outcome.afterwards += 1

    async def read_clock() -> None:
        await asyncio.sleep(started + seconds - time.perf_counter())
        outcome.cpu_seconds = time.process_time() - cpu

    await asyncio.gather(read_clock(), *(keep_asking(caller) for caller in callers))
    await asyncio.gather(*(caller.close() for caller in callers))
    return outcome


async def open_loop(
    make_caller: Callable[[], Caller], payloads: Sequence[bytes], stages: Sequence[tuple[float, float]], seed: int = 0
) -> list[Outcome]:
    """Poisson arrivals; each request's time begins when it was due, whoever is late.

    A request goes out on an idle connection, or on a new one if there is none.

    Args:
        stages: arrivals a second, and for how many seconds; one after the other without a break.

    Returns:
        What came of each stage's requests; their `due` counts from the stage's start.
    """
    idle: list[Caller] = []
    made: list[Caller] = []
    following = itertools.cycle(payloads)
    free = asyncio.Semaphore(_MOST_CALLERS)
    generator = random.Random(seed)
    tasks: set[asyncio.Task[None]] = set()
    outcomes = []

    async def ask(outcome: Outcome, began: float, due: float) -> None:
        async with free:
            if idle:
                caller = idle.pop()
            else:
                caller = make_caller()
                made.append(caller)
            sent = time.perf_counter() - began
            status = await caller.ask(next(following))
            outcome.add(due, time.perf_counter() - began - due, status, sent - due)
            idle.append(caller)

    began = time.perf_counter()
    for rate, seconds in stages:
        outcome = Outcome(seconds=seconds)
        outcomes.append(outcome)
        cpu = time.process_time()
        due = generator.expovariate(rate)
        while due < seconds:
            await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
            task = asyncio.ensure_future(ask(outcome, began, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due += generator.expovariate(rate)
        await asyncio.sleep(max(0.0, began + seconds - time.perf_counter()))
        outcome.cpu_seconds = time.process_time() - cpu
        began += seconds
    await asyncio.gather(*tasks)
    await asyncio.gather(*(caller.close() for caller in made))
    return outcomes
