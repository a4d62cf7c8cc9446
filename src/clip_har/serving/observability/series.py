"""Counters and histograms as plain dictionaries: cheap to add to from any thread, and turned into Prometheus' families when asked for.

prometheus_client's own values become files in a folder that BentoML shares between all services of a machine, and empties when
any of them starts; these do not.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

OTHER = "other"
Labels = tuple[str, ...]


class Bounded:
    """Label values that cannot become many: from the `limit`-th on, new ones are `other`."""

    def __init__(self, limit: int, known: Sequence[str] = ()) -> None:
        self._limit, self._known = limit, dict.fromkeys(known)

    def __call__(self, value: str) -> str:
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return OTHER
        self._known[value] = None
        return value


class Counter:
    """Sums by label values."""

    lasting = True  # what a process has counted stays true when it has ended

    def __init__(self, name: str, documentation: str, labels: Labels = ()) -> None:
        self.name, self._documentation, self._labels = name, documentation, labels
        self._sums: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, labels: Labels = (), amount: float = 1.0) -> None:
        with self._lock:
            self._sums[labels] = self._sums.get(labels, 0.0) + amount

    def forget(self, first: str) -> None:
        """Drop everything whose first label has this value."""
        with self._lock:
            for labels in [labels for labels in self._sums if labels[0] == first]:
                del self._sums[labels]

    def snapshot(self) -> list[tuple[Labels, float]]:
        with self._lock:
            return list(self._sums.items())

    def family(self, snapshots: Sequence[list[tuple[Labels, float]]]) -> Metric:
        """The sum of several processes' snapshots."""
        sums: dict[Labels, float] = {}
        for snapshot in snapshots:
            for labels, value in snapshot:
                sums[tuple(labels)] = sums.get(tuple(labels), 0.0) + value
        family = CounterMetricFamily(self.name, self._documentation, labels=self._labels)
        for labels, value in sorted(sums.items()):
            family.add_metric(labels, value)
        return family


class Histogram:
    """Observations by label values, in buckets.

    Args:
        bounds: upper bounds of the buckets, ascending; one without a bound is added.
    """

    lasting = True

    def __init__(self, name: str, documentation: str, bounds: Sequence[float], labels: Labels = ()) -> None:
        self.name, self._documentation, self._bounds, self._labels = name, documentation, tuple(bounds), labels
        self._counts: dict[Labels, list[float]] = {}  # a count to a bucket, and the sum of the values
        self._lock = threading.Lock()

    def observe(self, value: float, labels: Labels = ()) -> None:
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            counts = self._counts.get(labels)
            if counts is None:
                counts = self._counts[labels] = [0.0] * (len(self._bounds) + 2)
            counts[bucket] += 1.0
            counts[-1] += value

    def forget(self, first: str) -> None:
        """Drop everything whose first label has this value."""
        with self._lock:
            for labels in [labels for labels in self._counts if labels[0] == first]:
                del self._counts[labels]

    def snapshot(self) -> list[tuple[Labels, list[float]]]:
        with self._lock:
            return [(labels, list(counts)) for labels, counts in self._counts.items()]

    def family(self, snapshots: Sequence[list[tuple[Labels, list[float]]]]) -> Metric:
        """The sum of several processes' snapshots."""
        sums: dict[Labels, list[float]] = {}
        for snapshot in snapshots:
            for labels, counts in snapshot:
                before = sums.get(tuple(labels), [0.0] * len(counts))
                sums[tuple(labels)] = [a + b for a, b in zip(before, counts, strict=True)]
        family = HistogramMetricFamily(self.name, self._documentation, labels=self._labels)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, counts in sorted(sums.items()):
            total, buckets = 0.0, []
            for name, count in zip(names, counts, strict=False):
                total += count
                buckets.append((name, total))
            family.add_metric(labels, buckets, counts[-1])
        return family


class Gauge:
    """Values as they are now: set, or read from somewhere when they are asked for."""

    lasting = False

    def __init__(self, name: str, documentation: str, labels: Labels = ()) -> None:
        self.name, self._documentation, self.labels = name, documentation, labels
        self._values: dict[Labels, float] = {}
        self._readers: dict[Labels, Callable[[], float]] = {}
        self._read_all: Callable[[], Mapping[Labels, float]] = dict
        self._lock = threading.Lock()

    def set(self, value: float, labels: Labels = ()) -> None:
        with self._lock:
            self._values[labels] = float(value)

    def watch(self, read: Callable[[], float], labels: Labels = ()) -> None:
        self._readers[labels] = read

    def watch_all(self, read: Callable[[], Mapping[Labels, float]]) -> None:
        """Where values are read by their labels, which may come and go."""
        self._read_all = read

    def remove(self, labels: Labels) -> None:
        with self._lock:
            self._values.pop(labels, None)

    def snapshot(self) -> list[tuple[Labels, float]]:
        with self._lock:
            values = dict(self._values)
        values |= {labels: float(read()) for labels, read in self._readers.items()}
        return [*(values | dict(self._read_all())).items()]

    def family(self, snapshots: Sequence[list[tuple[Labels, float]]]) -> Metric:
        """The sum of several processes' snapshots, unless the values are the same in all of them."""
        values: dict[Labels, float] = {}
        for snapshot in snapshots:
            for labels, value in snapshot:
                values[tuple(labels)] = self._together(values.get(tuple(labels)), value)
        family = GaugeMetricFamily(self.name, self._documentation, labels=self.labels)
        for labels, value in sorted(values.items()):
            family.add_metric(labels, value)
        return family

    def _together(self, before: float | None, value: float) -> float:
        return value if before is None else before + value


class SharedGauge(Gauge):
    """A value that every process of the service has alike: the greatest is shown, not the sum."""

    def _together(self, before: float | None, value: float) -> float:
        return value if before is None else max(before, value)


class WatchedCounter(Counter):
    """A sum that somebody else keeps."""

    def __init__(self, name: str, documentation: str) -> None:
        super().__init__(name, documentation)
        self._readers: list[Callable[[], float]] = []

    def watch(self, read: Callable[[], float]) -> None:
        self._readers.append(read)

    def snapshot(self) -> list[tuple[Labels, float]]:
        return [((), float(sum(read() for read in self._readers)))]


Series = Counter | Histogram | Gauge


def families(series: Mapping[str, Series], snapshots: Sequence[Mapping[str, list]]) -> Iterator[Metric]:
    """One family to each series, over all processes."""
    for name, one in series.items():
        yield one.family([snapshot[name] for snapshot in snapshots if name in snapshot])
