"""The service under load, beside the Predictor in its own process and beside a plain FastAPI service around transformers.

The service is the real one (`python -m clip_har.serving`; REST and gRPC; capture and access log on), the load comes from
another process on the same cores. A rate is counted as if it came from elsewhere: good answers a second × cores / (cores −
cores that the generator kept busy). Everything that is compared takes turns; ratios are medians over the rounds.

* share_of_predictor: REST, 32 connections, one photograph each, over `Predictor.predict` on the same photographs.
* grpc_share_of_rest: the same through gRPC, over REST.
* vs_fastapi_pipeline, vs_fastapi_cached: over FastAPI with transformers' zero-shot pipeline, or with cached text features.
* overload_throughput_ratio: good answers at twice the capacity, over the best rate; overload_refusal_p50_ms: of the 429s.
* cold_start_s: from the command to ready, tiny model.

Latencies are open-loop: Poisson arrivals, each timed from when it was due. ViT-B/32 has random weights, which is as good
for speed. Without --quick it takes about a quarter of an hour; --parts and --bundles divide that.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bundles import LABELS, MODELS, TEMPLATE, make_bundle, photographs
from load.outcome import Outcome, percentile
from load.processes import JsonProcess, Server, json_process
from load.service import HERE, RUNTIME, Load, MemoryWatch, Payloads, import_seconds, plain_service, service
from measuring import PROJECT, finish, parser, ratio, show

sys.path.insert(0, str(PROJECT))

PARTS = ("throughput", "latency", "fastapi", "overload", "cold_start")
CONNECTIONS = 32
_REST = 0.3  # seconds between turns: threads of the one before may still spin
_TINY = "tiny-clip"
_BESIDE = ("throughput", "latency")  # what is measured of the tiny model too


@dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Attributes:
        rounds: turns of each contender.
        warm_up: seconds before them.
        window: seconds of a turn; slow_window: of the plain services'.
        latency: seconds at each load.
        calm, overload, recovery: seconds of the three stages around an overload.
        starts: cold starts.
    """

    rounds: int = 7
    warm_up: float = 3.0
    window: float = 4.0
    slow_window: float = 8.0
    latency: float = 20.0
    calm: float = 10.0
    overload: float = 60.0
    recovery: float = 10.0
    starts: int = 5


QUICK = Sizes(
    rounds=2, warm_up=1.0, window=1.0, slow_window=1.0, latency=1.5, calm=2.0, overload=10.0, recovery=5.0, starts=1
)


class Bench:
    """A model's service that is running, and load on it.

    Args:
        model: one of `MODELS`.
        bundle: its folder.
        folder: for logs.
        payloads: requests.
        server: the service.
        generator: the process that loads come from.

    Attributes:
        rest, grpc: load on the service's two sides.
    """

    def __init__(
        self,
        model: str,
        bundle: Path,
        folder: Path,
        payloads: Payloads,
        sizes: Sizes,
        server: Server,
        generator: JsonProcess,
    ) -> None:
        from clip_har.inference.machine import available_cores

        self.model, self.bundle, self.folder, self.payloads, self.sizes = model, bundle, folder, payloads, sizes
        self.server, self._generator, self.cores = server, generator, available_cores()
        self.rest = Load(generator, "rest", server.target, payloads.rest)
        self.grpc = Load(generator, "grpc", server.grpc_target, payloads.grpc)

    @classmethod
    @contextmanager
    def running(cls, model: str, bundle: Path, payloads: Payloads, sizes: Sizes) -> Iterator[Bench]:
        """Start the service and the generator; warmed up, and stopped after the block."""
        with (
            tempfile.TemporaryDirectory() as name,
            json_process([str(HERE / "generator.py")], (folder := Path(name)) / "generator.log") as generator,
            service(bundle, folder) as server,
        ):
            bench = cls(model, bundle, folder, payloads, sizes, server, generator)
            for load in (bench.rest, bench.grpc):
                load.warm_up(CONNECTIONS, sizes.warm_up)
            yield bench

    def plain(self, server: Server) -> Load:
        """Load on a plain service."""
        return Load(self._generator, "rest", server.target, self.payloads.plain)

    def rate(self, outcome: Outcome) -> float:
        """Good answers a second, the generator counted out."""
        return outcome.counted_out(self.cores)

    def in_rounds(self, ways: dict[str, Callable[[], float]], what: str) -> dict[str, list[float]]:
        """Figures of each way, `rounds` times; all take turns, in an order that turns too."""
        found: dict[str, list[float]] = {name: [] for name in ways}
        names = list(ways)
        for number in range(self.sizes.rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                time.sleep(_REST)
                found[name].append(ways[name]())
            said = ", ".join(f"{name} {figures[-1]:.1f}" for name, figures in found.items())
            say(f"{self.model}, {what}, round {number + 1} of {self.sizes.rounds}: {said} pictures/s")
        return found


def say(what: str) -> None:
    """Progress, apart from what is printed as the result."""
    print(what, file=sys.stderr, flush=True)


def throughput(bench: Bench) -> dict[str, float]:
    """The Predictor, REST and gRPC in turn; prints a table."""
    sizes, payloads = bench.sizes, bench.payloads
    outcomes: dict[str, list[Outcome]] = {"REST": [], "gRPC": []}
    cpu: dict[str, list[float]] = {"Predictor": [], "REST": [], "gRPC": []}  # milliseconds a picture
    command = [str(HERE / "predictor_process.py"), str(bench.bundle), RUNTIME, str(payloads.photographs)]
    loads = {"REST": bench.rest, "gRPC": bench.grpc}
    with json_process(command, bench.folder / "predictor.log") as process:
        process.ask({"seconds": sizes.warm_up})

        def predictor() -> float:
            found = process.ask({"seconds": sizes.window})
            cpu["Predictor"].append(found["cpu_ms"])
            return found["rate"]

        def through(name: str) -> float:
            before = bench.server.cpu_seconds()
            outcome = loads[name].closed(CONNECTIONS, sizes.window)
            answered = len(outcome.statuses) + outcome.afterwards
            cpu[name].append(1000 * (bench.server.cpu_seconds() - before) / answered)
            outcomes[name].append(outcome)
            return bench.rate(outcome)

        ways = {"Predictor": predictor, "REST": lambda: through("REST"), "gRPC": lambda: through("gRPC")}
        found = bench.in_rounds(ways, "throughput")
    rows = []
    for name, rates in found.items():
        rows.append((name, f"{statistics.median(rates):.1f}", f"{ratio(rates, found['Predictor']):.3f}"))
        rows[-1] += (f"{statistics.median(cpu[name]):.2f}",)
        if each := outcomes.get(name):
            rows[-1] += (
                f"{statistics.median(outcome.rate for outcome in each):.1f}",
                f"{statistics.median(outcome.generator_cores for outcome in each):.3f}",
                f"{1000 * percentile([s for outcome in each for s in outcome.times()], 50):.0f}",
            )
    show(
        f"{bench.model}: {CONNECTIONS} connections, closed loop, {bench.cores} cores",
        rows,
        ("", "pictures/s", "of the Predictor", "its CPU ms", "uncorrected/s", "generator's cores", "ms, median"),
    )
    return {
        "share_of_predictor": ratio(found["REST"], found["Predictor"]),
        "grpc_share_of_rest": ratio(found["gRPC"], found["REST"]),
        "rest_per_second": statistics.median(found["REST"]),
        "predictor_per_second": statistics.median(found["Predictor"]),
        "rest_cpu_ms": statistics.median(cpu["REST"]),
        "grpc_cpu_ms": statistics.median(cpu["gRPC"]),
        "predictor_cpu_ms": statistics.median(cpu["Predictor"]),
        "generator_cores": statistics.median(outcome.generator_cores for outcome in outcomes["REST"]),
    }


def capacity_of(bench: Bench) -> float:
    """Pictures a second that are answered in a closed loop, as they come from this machine: nothing counted out."""
    return statistics.median(bench.rest.closed(CONNECTIONS, bench.sizes.window).rate for _ in range(3))


def latency(bench: Bench) -> dict[str, float]:
    """Open-loop latencies by load; prints a table."""
    rows, figures = [], {}
    capacity = capacity_of(bench)
    for share in (0.5, 0.8, 1.0):
        say(f"{bench.model}: latency at {share:.0%} of {capacity:.1f} pictures/s")
        (outcome,) = bench.rest.open((share * capacity, bench.sizes.latency))
        times = [1000 * seconds for seconds in outcome.times()]
        p50, p95, p99 = (percentile(times, percent) for percent in (50, 95, 99))
        late = 1000 * percentile(outcome.late, 99)
        rows.append((f"{share:.0%}", *(f"{each:.0f}" for each in (p50, p95, p99)), f"{outcome.share(429):.3f}"))
        rows[-1] += (f"{late:.1f}", "" if len(times) == len(outcome.statuses) else str(outcome.counts))
        figures |= {f"p50_at_{share:.0%}_ms": p50, f"p95_at_{share:.0%}_ms": p95, f"p99_at_{share:.0%}_ms": p99}
    show(
        f"{bench.model}: open loop, Poisson, capacity {capacity:.1f} pictures/s",
        rows,
        ("load", "p50, ms", "p95, ms", "p99, ms", "refused", "sender late, p99, ms", "statuses"),
    )
    return figures


def fastapi(bench: Bench) -> dict[str, float]:
    """Ours beside the plain service in both variants; prints a table."""
    sizes, log = bench.sizes, bench.folder / "plain.log"
    with (
        plain_service(bench.bundle, "pipeline", LABELS, TEMPLATE, log) as pipeline,
        plain_service(bench.bundle, "cached", LABELS, TEMPLATE, log) as cached,
    ):
        plain = {
            "FastAPI, pipeline": bench.plain(pipeline),
            "FastAPI, cached texts": bench.plain(cached),
        }
        for load in plain.values():
            load.warm_up(1, sizes.warm_up)
        ways = {"ours": lambda: bench.rate(bench.rest.closed(CONNECTIONS, sizes.window))}
        for name, load in plain.items():
            ways[name] = lambda load=load: bench.rate(load.closed(CONNECTIONS, sizes.slow_window))
        found = bench.in_rounds(ways, "beside FastAPI")
    times = {name: ratio(found["ours"], rates) for name, rates in found.items()}
    show(
        f"{bench.model}: {CONNECTIONS} connections, closed loop",
        [(name, f"{statistics.median(rates):.1f}", f"{times[name]:.2f}") for name, rates in found.items()],
        ("", "pictures/s", "ours over it"),
    )
    return {
        "vs_fastapi_pipeline": times["FastAPI, pipeline"],
        "vs_fastapi_cached": times["FastAPI, cached texts"],
    }


def overload(bench: Bench) -> dict[str, float]:
    """Half the capacity, twice the capacity, half again, without a break; prints a table."""
    sizes = bench.sizes
    load = bench.rest
    before = [load.closed(CONNECTIONS, sizes.window) for _ in range(3)]
    capacity = statistics.median(outcome.rate for outcome in before)
    say(f"{bench.model}: overload, {2 * capacity:.0f} requests/s for {sizes.overload:.0f} s")
    with MemoryWatch(bench.server) as memory:
        stages = ((capacity / 2, sizes.calm), (2 * capacity, sizes.overload), (capacity / 2, sizes.recovery))
        calm, heavy, after = load.open(*stages)
    afterwards = [load.closed(CONNECTIONS, sizes.window) for _ in range(3)]
    best = max(statistics.median(map(bench.rate, outcomes)) for outcomes in (before, afterwards))
    usual = percentile(calm.times(), 50)
    refused = [1000 * seconds for seconds in heavy.times(429)]
    start, end = sizes.calm, sizes.calm + sizes.overload
    first, last = memory.between(0, start), memory.between(end + sizes.recovery - 3, end + sizes.recovery + 3)
    third = sizes.overload / 3
    drift = statistics.median(memory.between(end - third, end)) - statistics.median(
        memory.between(start + third / 2, start + third)
    )
    figures = {
        "overload_throughput_ratio": bench.rate(heavy) / best,
        "overload_refusal_p50_ms": percentile(refused, 50),
        "overload_refusal_p99_ms": percentile(refused, 99),
        "overload_recovery_s": after.recovered_after(usual),
        "overload_other_statuses": sum(count for status, count in heavy.counts.items() if status not in (200, 429)),
        "overload_memory_growth_mb": statistics.median(last) - statistics.median(first),
        "overload_memory_drift_mb": drift,
    }
    show(
        f"{bench.model}: half, twice and half the capacity ({capacity:.1f} pictures/s)",
        [
            (
                name,
                f"{len(outcome.statuses) / outcome.seconds:.0f}",
                f"{outcome.rate:.1f}",
                f"{bench.rate(outcome):.1f}",
                str(outcome.counts),
                *(f"{1000 * percentile(outcome.times(), percent):.0f}" for percent in (50, 95, 99)),
            )
            for name, outcome in (("before", calm), ("overload", heavy), ("after", after))
        ],
        ("", "requests/s", "good/s", "corrected", "statuses", "p50, ms", "p95, ms", "p99, ms"),
    )
    show(
        f"{bench.model}: overload",
        [(key.removeprefix("overload_"), f"{value:.2f}") for key, value in figures.items()],
        ("figure", "value"),
    )
    return figures


def cold_start(bundle: Path, payloads: Payloads, sizes: Sizes) -> dict[str, float]:
    """From the command to ready, and what its parts take; prints a table."""
    ready, worker = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(sizes.starts + 1):  # the first finds no cache of what is fastest here
            with service(bundle, Path(folder), runtime="auto") as server:
                ready.append(server.ready_seconds)
                worker.append(server.last_started_after())
            say(f"{_TINY}: cold start {number}: {ready[-1]:.2f} s")
    reached = import_seconds(
        "pass",
        "import bentoml, _bentoml_sdk",
        "import clip_har.serving.bento",
        f"from clip_har.inference.predictor import Predictor; p = Predictor.load({str(bundle)!r}, {RUNTIME!r})",
        f"p.predict([{str(next(payloads.photographs.iterdir()))!r}])",
    )
    names = ("interpreter", "import bentoml", "import the service", "load the model", "first picture")
    parts = [after - before for before, after in zip([0.0, *reached], reached, strict=False)]
    wholes = {
        "supervisor, until it starts the worker": statistics.median(worker[1:]),
        "worker, until it is ready": statistics.median(a - b for a, b in zip(ready[1:], worker[1:], strict=True)),
        "from the command to ready": statistics.median(ready[1:]),
        "the same, the first time on a machine": ready[0],
    }
    show(
        f"{_TINY}: cold start",
        [
            *((f"a process of its own: {name}", f"{part:.2f}") for name, part in zip(names, parts, strict=True)),
            *((name, f"{seconds:.2f}") for name, seconds in wholes.items()),
        ],
        ("", "seconds"),
    )
    return {"cold_start_s": statistics.median(ready[1:]), "cold_start_first_s": ready[0]}


def measure(model: str, parts: Sequence[str], bundle: Path, payloads: Payloads, sizes: Sizes) -> dict[str, float]:
    """The wanted parts of one model, on one running service."""
    each = {"throughput": throughput, "latency": latency, "fastapi": fastapi, "overload": overload}
    wanted = [part for name, part in each.items() if name in parts]
    figures: dict[str, float] = {}
    if wanted:
        with Bench.running(model, bundle, payloads, sizes) as bench:
            for part in wanted:
                figures |= part(bench)
    return figures


def bundle_of(model: str, folder: Path) -> Path:
    """The model's bundle in a folder; made if it is not there."""
    from clip_har.inference.self_test import write_self_test

    place = folder / model.replace("/", "-")
    done = place / "bundle" / "attachments" / "exports" / "exports.json"  # written last
    if not done.is_file():
        say(f"{model}: making the bundle")
        place.mkdir(parents=True, exist_ok=True)
        bundle, _ = make_bundle(model, place)
        write_self_test(bundle)
    return place / "bundle"


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    arguments.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    arguments.add_argument("--model", choices=list(MODELS), help="ViT-B/32 if not given; the tiny one with --quick")
    arguments.add_argument("--bundles", type=Path, help="folder that keeps the models made for it")
    options = arguments.parse_args()
    parts = tuple(options.parts.split(","))
    if unknown := sorted(set(parts) - set(PARTS)):
        arguments.error(f"--parts: {', '.join(unknown)} is none of {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is stopped
    sizes = QUICK if options.quick else Sizes()
    model = options.model or (_TINY if options.quick else "ViT-B/32")
    with tempfile.TemporaryDirectory() as folder:
        payloads = Payloads(Path(folder) / "payloads", photographs(72))
        say(f"Largest request: {payloads.largest / 1000:.0f} kB.")
        bundles = options.bundles or Path(folder)
        figures, tiny = {}, {}
        if set(parts) - {"cold_start"}:
            figures = measure(model, parts, bundle_of(model, bundles), payloads, sizes)
        if model != _TINY and (beside := [part for part in parts if part in _BESIDE]):
            tiny = measure(_TINY, beside, bundle_of(_TINY, bundles), payloads, sizes)
        if "cold_start" in parts:
            figures |= cold_start(bundle_of(_TINY, bundles), payloads, sizes)
    finish({"benchmark": "serving", "model": model, **figures, **{f"{_TINY}: {key}": tiny[key] for key in tiny}})


if __name__ == "__main__":
    main()
