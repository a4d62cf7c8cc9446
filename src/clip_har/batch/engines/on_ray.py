"""Ray Data: the job's parts are a data set of numbers, mapped by a pool of actors with a Predictor each.

An actor takes the number of a part, reads that part of the source itself, and writes the part where all parts go; only counts
of rows travel. An actor is given its next part when it has room for it: that is all the back-pressure there needs to be.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from clip_har.batch.config import RayConfig
from clip_har.batch.engines import Gap
from clip_har.batch.filling import Filled, Filler
from clip_har.errors import ClipHarError, ConfigError

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_FIRST, _COUNT, _ROWS = "first", "count", "rows"
_ALL = -1  # for None, which a column of numbers cannot hold


class RayEngine:
    """Fills the gaps on a Ray cluster, or a local Ray that ends with the job."""

    @staticmethod
    def check() -> None:
        """Raises ConfigError if Ray is not installed."""
        if find_spec("ray") is None:
            raise ConfigError(
                "batch.engine: ray is not installed. Install the extra: pip install 'clip-har[scale]', or use engine local."
            )

    @staticmethod
    def run(filler: Filler, gaps: Sequence[Gap], filled: Filled) -> None:
        """Fill the gaps, a part at a time, on all actors."""
        import ray

        tasks = [task for gap in gaps for task in _tasks(gap)]
        if not tasks:
            return
        with _cluster(filler.config.ray):
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            context.print_on_execution_start = False
            actors, resources = _pool(filler.config.ray, len(tasks))
            data = ray.data.from_items(tasks, override_num_blocks=len(tasks)).map_batches(
                FillingActor,
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
                fn_constructor_kwargs={"filler": filler, "threads": resources.pop("threads")},
                **resources,
            )
            try:
                for row in data.iter_rows():
                    filled(int(row[_ROWS]))
            except ray.exceptions.RayError as error:
                raise _own(error) from error


class FillingActor:
    """A Predictor that fills parts."""

    def __init__(self, filler: Filler, threads: int | None) -> None:
        from dataclasses import replace

        self._filler = replace(filler, threads=threads)
        self._filler.score  # noqa: B018 - loads the model

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Fill the parts that a batch of tasks names."""
        rows = [
            self._filler.fill(int(first), None if count == _ALL else int(count), lambda _: None)
            for first, count in zip(batch[_FIRST], batch[_COUNT], strict=True)
        ]
        return {_ROWS: rows}


def _tasks(gap: Gap) -> list[dict[str, int]]:
    """A task for each part; a gap without an end is one, since its source is one stream."""
    first, count = gap
    if count is None:
        return [{_FIRST: first, _COUNT: _ALL}]
    return [{_FIRST: number, _COUNT: 1} for number in range(first, first + count)]


def _pool(config: RayConfig, tasks: int) -> tuple[int, dict[str, Any]]:
    """(most actors, what each is given)."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    cpus = int(min((node["CPU"] for node in nodes if node.get("CPU")), default=1))
    places = gpus or sum(1 for node in nodes if node.get("CPU"))
    actors = min(config.actors or places, tasks)
    per_node = -(-(config.actors or places) // max(1, len(nodes)))
    each = config.cpus_per_actor or max(1, cpus // per_node)
    return actors, {"num_cpus": each, "num_gpus": 1 if gpus else 0, "threads": each}


@contextmanager
def _cluster(config: RayConfig) -> Iterator[None]:
    """Ray, joined or started; one that was there before stays."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray
    import ray.data

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": "error", "include_dashboard": False}
    if config.address:
        quiet.pop("include_dashboard")
        ray.init(address=config.address, **quiet)
    else:
        ray.init(num_cpus=config.cpus, object_store_memory=config.object_store_bytes, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def _own(error: BaseException) -> BaseException:
    """The error of ours that an actor ended with, if it is one."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ClipHarError):
            return found
        found = getattr(found, "cause", None) or found.__cause__
    return error
