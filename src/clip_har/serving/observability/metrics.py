"""The service's metrics in Prometheus' text format.

Label values are bounded: what callers make up (labels of their own, paths) never becomes a series.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric

from clip_har.errors import ConfigError
from clip_har.serving.observability.series import (
    OTHER,
    Bounded,
    Counter,
    Gauge,
    Histogram,
    Series,
    SharedGauge,
    WatchedCounter,
    families,
)
from clip_har.serving.observability.sharing import Snapshots

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_SHARES = (*(tenth / 10 for tenth in range(1, 10)), 0.95, 0.99, 1.0)
_MOST_LABELS = 1000  # of a model that become series
_MOST_MODELS = 16
_MOST_NAMES = 64


class ServiceMetrics:
    """What the service counts and times; one for all surfaces of a process.

    Args:
        registry: where the metrics are registered; one of their own if None.
    """

    content_type = CONTENT_TYPE

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._requests = Counter(
            "clip_har_requests", "Requests answered, by HTTP status.", ("surface", "operation", "status")
        )
        self._request_seconds = Histogram(
            "clip_har_request_seconds", "From a request to its answer.", _SECONDS, ("surface", "operation")
        )
        self._stage_seconds = Histogram(
            "clip_har_stage_seconds", "A picture's time in a stage: decode, queue, encode, head.", _SECONDS, ("stage",)
        )
        self._batch_size = Histogram("clip_har_batch_size", "Pictures encoded at once.", _SIZES)
        self._queue_depth = Gauge("clip_har_queue_depth", "Pictures waiting or being answered.")
        self._predictions = Counter("clip_har_predictions", "Pictures answered, by best label.", ("model_id", "label"))
        self._confidence = Histogram("clip_har_confidence", "Probability of the best label.", _SHARES, ("model_id",))
        self._abstentions = Counter(
            "clip_har_abstentions", "Pictures answered below the model's threshold.", ("model_id",)
        )
        self._rejections = Counter("clip_har_rejections", "What was refused, by the error's code.", ("reason",))
        self._capture_dropped = WatchedCounter(
            "clip_har_capture_dropped",
            "Predictions not captured: the buffer was full, the disk refused, or a value was bad.",
        )
        self._reloads = Counter("clip_har_reloads", "Models loaded while serving.", ("model_id", "outcome"))
        self._model_info = SharedGauge(
            "clip_har_model_info", "1 for each model that is served.", ("model_id", "role", "runtime", "name")
        )
        self._build_info = SharedGauge("clip_har_build_info", "What is running.", ("version", "python"))
        self._build_info.set(1, (version("clip-har"), platform.python_version()))
        of_ours = [value for value in vars(self).values() if isinstance(value, Series)]
        self._series: dict[str, Series] = {one.name: one for one in of_ours}
        self._labels: dict[str, frozenset[str]] = {}  # of each model that has been served
        self._names, self._reasons = Bounded(_MOST_NAMES), Bounded(_MOST_NAMES)
        self._statuses, self._not_loaded = Bounded(_MOST_NAMES), Bounded(_MOST_MODELS)
        self._others: Snapshots | None = None
        self.registry = registry or CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        if registry is None:
            ProcessCollector(registry=self.registry)

    # --- requests ---

    def request(self, surface: str, operation: str, status: int, seconds: float) -> None:
        """A request was answered.

        Args:
            surface: rest, oip-rest, grpc or oip-grpc.
            operation: predict, embed, … : a name, never a path.
            status: HTTP's, gRPC's calls too.
        """
        surface, operation = self._names(surface), self._names(operation)
        self._requests.add((surface, operation, self._statuses(str(status))))
        self._request_seconds.observe(seconds, (surface, operation))

    def rejected(self, reason: str) -> None:
        """Something was refused; `reason` is the error's `code`."""
        self._rejections.add((self._reasons(reason),))

    # --- pictures ---

    def stage(self, name: str, seconds: float) -> None:
        """A picture has passed a stage."""
        self._stage_seconds.observe(seconds, (self._names(name),))

    def batch(self, size: int) -> None:
        """Pictures were encoded at once."""
        self._batch_size.observe(size)

    def predicted(self, model_id: str, label: str, confidence: float, abstained: bool) -> None:
        """A picture was answered; a model or label that `serving` has not told of counts as `other`."""
        labels = self._labels.get(model_id)
        model = OTHER if labels is None else model_id
        self._predictions.add((model, label if labels and label in labels else OTHER))
        if math.isfinite(confidence):
            self._confidence.observe(confidence, (model,))
        if abstained:
            self._abstentions.add((model,))

    # --- models ---

    def serving(self, model_id: str, labels: Sequence[str], *, role: str, runtime: str, name: str = "") -> None:
        """Tell of a model that answers from now on, in the place of the one that had its role.

        The series of a model go when sixteen others have come after it.
        """
        self._labels.pop(model_id, None)
        self._labels[model_id] = frozenset(labels[:_MOST_LABELS])
        while len(self._labels) > _MOST_MODELS:
            oldest = next(iter(self._labels))
            del self._labels[oldest]
            for one in (self._predictions, self._confidence, self._abstentions, self._reloads):
                one.forget(oldest)
        for labels_of_series, _ in self._model_info.snapshot():
            if labels_of_series[1] == role:
                self._model_info.remove(labels_of_series)
        self._model_info.set(1, (model_id, role, runtime, name))

    def not_serving(self, role: str) -> None:
        """No model has this role any longer (a challenger that was taken out)."""
        for labels_of_series, _ in self._model_info.snapshot():
            if labels_of_series[1] == role:
                self._model_info.remove(labels_of_series)

    def reloaded(self, model_id: str, ok: bool) -> None:
        """A model was loaded while serving, or could not be."""
        model = model_id if model_id in self._labels else self._not_loaded(model_id)
        self._reloads.add((model, "ok" if ok else "failed"))

    # --- what others keep ---

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Where the number of pictures in the queue is read when it is asked for."""
        self._queue_depth.watch(depth)

    def capture_dropped(self, total: Callable[[], int]) -> None:
        """Where the number of predictions not captured is read."""
        self._capture_dropped.watch(total)

    def gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        """A further gauge, for what watches over the service from outside (drift, say): `.set(value, labels)`, `.watch(read, labels)`,
        `.watch_all(read)`.

        The same one for the same name. Every process of the service is to set it alike.

        Raises:
            ConfigError: if the name is not `clip_har_…`, or is another metric's.
        """
        if not (name.startswith("clip_har_") and name.isidentifier() and name.isascii()):
            raise ConfigError(f"{name!r} is no name for a metric here; wanted: clip_har_ and letters, digits or `_`.")
        made = SharedGauge(name, documentation, tuple(labels))
        found = self._series.setdefault(name, made)
        if type(found) is not SharedGauge or found.labels != made.labels:
            raise ConfigError(f"The metric {name} is there already, with other labels or of another kind.")
        return found

    # --- reading ---

    def collect(self) -> list[Metric]:
        """For prometheus_client: all families, over all processes that share theirs."""
        return list(families(self._series, [self._snapshot(), *self._of_others()]))

    def render(self) -> bytes:
        """Everything in Prometheus' text format 0.0.4 (`content_type`)."""
        return generate_latest(self.registry)

    def share(self, folder: str | Path, interval: float = 1.0) -> None:
        """Show the sum of all processes that share a folder, whichever is asked; the others' part is `interval` seconds old.

        Args:
            folder: for these processes only; `sharing.folder_of_siblings()` is one.
        """
        self._others = Snapshots(folder, self._snapshot, interval)

    def close(self) -> None:
        """Leave what was counted to the others."""
        if self._others is not None:
            self._others.close()

    def _snapshot(self) -> dict[str, list]:
        return {name: one.snapshot() for name, one in list(self._series.items())}

    def _of_others(self) -> list[Mapping[str, list]]:
        if self._others is None:
            return []
        lasting = {name for name, one in self._series.items() if one.lasting}
        return [
            snapshot if alive else {name: values for name, values in snapshot.items() if name in lasting}
            for snapshot, alive in self._others.read()
        ]
