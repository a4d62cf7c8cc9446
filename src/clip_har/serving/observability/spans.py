"""OpenTelemetry spans for requests and their stages. Imported only when `observability.tracing_endpoint` is set."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace as otel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from clip_har.errors import ConfigError
from clip_har.serving.config import ObservabilityConfig
from clip_har.serving.observability.tracing import Trace, TraceContext, Tracer

_PACKAGE = "opentelemetry-exporter-otlp-proto-http"
_ATTRIBUTE = str | bool | int | float


class SpanTrace(Trace):
    """A request's trace, recorded as a span with a child for each stage."""

    def __init__(self, tracer: otel.Tracer, span: otel.Span) -> None:
        context = span.get_span_context()
        super().__init__(
            TraceContext(
                otel.format_trace_id(context.trace_id), otel.format_span_id(context.span_id), int(context.trace_flags)
            )
        )
        self._tracer, self._span = tracer, span
        self._inside = otel.set_span_in_context(span)

    def set(self, **attributes: Any) -> None:
        self._span.set_attributes({k: v for k, v in attributes.items() if isinstance(v, _ATTRIBUTE)})

    def stages(self, seconds: Mapping[str, float], **attributes: Any) -> None:
        if not self._span.is_recording():
            return
        noted = {k: v for k, v in attributes.items() if isinstance(v, _ATTRIBUTE)}
        begin = time.time_ns() - int(sum(seconds.values()) * 1e9)
        for name, lasted in seconds.items():
            end = begin + int(lasted * 1e9)
            self._tracer.start_span(name, self._inside, attributes=noted, start_time=begin).end(end)
            begin = end

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        span = self._tracer.start_span(name, self._inside)
        try:
            yield
        finally:
            span.end()

    def failed(self, error: BaseException) -> None:
        self._span.record_exception(error)
        self._span.set_status(otel.StatusCode.ERROR, type(error).__name__)


class SpanTracer(Tracer):
    """Records requests as spans.

    Args:
        exporter: where spans go, from a thread of its own.
        share: of the requests without a `traceparent` that is recorded; others are if their caller records them.
        service: the service's name in the traces.
    """

    def __init__(self, exporter: SpanExporter, share: float = 1.0, service: str = "clip-har") -> None:
        resource = Resource.create({"service.name": service, "service.version": version("clip-har")})
        self._provider = TracerProvider(ParentBased(TraceIdRatioBased(share)), resource)  # ours: no global is set
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1_000))
        self._tracer = self._provider.get_tracer("clip_har.serving")

    @classmethod
    def from_config(cls, config: ObservabilityConfig) -> SpanTracer:
        """As `Tracer.from_config` says."""
        return cls(_exporter(config.tracing_endpoint or ""), config.tracing_share)

    @contextmanager
    def request(self, operation: str, traceparent: str | None = None, **attributes: Any) -> Iterator[Trace]:
        outside, parent = None, TraceContext.parse(traceparent)
        if parent is not None:
            theirs = otel.SpanContext(
                int(parent.trace_id, 16), int(parent.span_id, 16), True, otel.TraceFlags(parent.flags & 1)
            )
            outside = otel.set_span_in_context(otel.NonRecordingSpan(theirs))
        noted = {k: v for k, v in attributes.items() if isinstance(v, _ATTRIBUTE)}
        span = self._tracer.start_span(operation, outside, otel.SpanKind.SERVER, attributes=noted)
        trace = SpanTrace(self._tracer, span)
        try:
            yield trace
        except Exception as error:
            trace.failed(error)
            raise
        finally:
            span.end()

    def close(self) -> None:
        self._provider.force_flush(2_000)
        self._provider.shutdown()


def _exporter(endpoint: str) -> SpanExporter:
    if endpoint == "console":
        return ConsoleSpanExporter(out=sys.stdout, formatter=lambda span: span.to_json(indent=None) + "\n")
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"observability.tracing_endpoint: {endpoint!r} is neither `console` nor the URL of a collector, such as "
            "http://localhost:4318/v1/traces."
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise ConfigError(
            f"observability.tracing_endpoint: sending spans to {endpoint} needs the package {_PACKAGE}, which is not "
            f"installed: pip install {_PACKAGE}. Or set it to `console`."
        ) from None
    if parts.path in ("", "/"):
        endpoint = endpoint.rstrip("/") + "/v1/traces"
    return OTLPSpanExporter(endpoint=endpoint, timeout=5)
