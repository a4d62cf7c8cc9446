"""How long a picture takes on this machine, by runtime: torch beside the forms that passed the gate."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.errors import BundleError, ConfigError
from clip_har.inference.machine import host_facts
from clip_har.inference.runtimes import AUTO, RUNTIMES
from clip_har.models.preprocessing import PreprocessingConfig

if TYPE_CHECKING:
    from clip_har.models.bundle import ModelBundle
    from clip_har.progress import Report

_LEFT_OUT = (AUTO, "onnx-tensorrt")  # the first is one of the others, the second builds an engine when it is loaded


class LatencyConfig(ComponentConfig):
    """How long runtimes are measured."""

    rounds: int = Field(30, ge=3, description="Pictures that each runtime encodes, in turn with the others.")


class RuntimeLatency(ComponentConfig):
    """One runtime on this machine."""

    runtime: str = Field(description="Its name.")
    median: float = Field(description="Milliseconds that half of the pictures took at most.")
    p99: float = Field(description="Milliseconds that 99 in 100 took at most.")
    load: float = Field(description="Seconds to load it.")


class LatencyReport(ComponentConfig):
    """The image encoder at batch 1, decoding apart."""

    host: dict[str, Any] = Field(description="Processor, cores, GPUs and versions.")
    rows: tuple[RuntimeLatency, ...] = Field(description="The fastest first.")
    left_out: dict[str, str] = Field({}, description="Runtime → why it does not run here.")

    @property
    def fastest(self) -> RuntimeLatency:
        """The runtime with the lowest median."""
        return self.rows[0]


def measure_latency(
    bundle: ModelBundle,
    config: LatencyConfig | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    progress: Report | None = None,
) -> LatencyReport:
    """Time every runtime that the bundle has a form for; they take turns, so that all see the same machine."""
    config = config or LatencyConfig()
    loaded, seconds, left_out = {}, {}, {}
    for name in RUNTIMES:
        if name in _LEFT_OUT:
            continue
        started = time.perf_counter()
        try:
            loaded[name] = RUNTIMES.get(name).load(bundle, device=device, threads=threads)
        except ConfigError as error:
            left_out[name] = str(error).replace(str(bundle.path), "the bundle")
            continue
        seconds[name] = time.perf_counter() - started
    height, width = PreprocessingConfig.read(bundle.path).output_size
    picture = np.random.default_rng(0).normal(size=(1, 3, height, width)).astype(np.float32)
    for runtime in loaded.values():  # a first run allocates and compiles
        runtime.encode(picture)
    spent: dict[str, list[float]] = {name: [] for name in loaded}
    for number in range(config.rounds):
        for name in list(loaded) if number % 2 == 0 else list(loaded)[::-1]:
            began = time.perf_counter()
            loaded[name].encode(picture)
            spent[name].append(1000 * (time.perf_counter() - began))
        if progress:
            progress(number + 1, config.rounds)
    rows = [
        RuntimeLatency(
            runtime=name,
            median=statistics.median(values),
            p99=float(np.percentile(values, 99)),
            load=seconds[name],
        )
        for name, values in spent.items()
    ]
    return LatencyReport(host=host_facts(), rows=tuple(sorted(rows, key=lambda row: row.median)), left_out=left_out)


def measure_in_turn(
    bundles: Sequence[ModelBundle],
    runtimes: Sequence[str],
    config: LatencyConfig | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
) -> list[RuntimeLatency]:
    """Time bundles beside each other, a picture each in turn, so that all see the same machine.

    Args:
        runtimes: for each bundle; torch is taken where one does not run here.
    """
    config = config or LatencyConfig()
    loaded, names, seconds = [], [], []
    for bundle, name in zip(bundles, runtimes, strict=True):
        started = time.perf_counter()
        try:
            runtime = RUNTIMES.get(name).load(bundle, device=device, threads=threads)
        except (BundleError, ConfigError):
            name = "torch"
            runtime = RUNTIMES.get(name).load(bundle, device=device, threads=threads)
        loaded.append(runtime)
        names.append(name)
        seconds.append(time.perf_counter() - started)
    generator = np.random.default_rng(0)
    sizes = [PreprocessingConfig.read(bundle.path).output_size for bundle in bundles]
    pictures = [generator.normal(size=(1, 3, *size)).astype(np.float32) for size in sizes]
    for runtime, picture in zip(loaded, pictures, strict=True):  # a first run allocates and compiles
        runtime.encode(picture)
    spent: list[list[float]] = [[] for _ in loaded]
    for number in range(config.rounds):
        order = range(len(loaded)) if number % 2 == 0 else reversed(range(len(loaded)))
        for index in order:
            began = time.perf_counter()
            loaded[index].encode(pictures[index])
            spent[index].append(1000 * (time.perf_counter() - began))
    return [
        RuntimeLatency(runtime=name, median=statistics.median(values), p99=float(np.percentile(values, 99)), load=load)
        for name, values, load in zip(names, spent, seconds, strict=True)
    ]
