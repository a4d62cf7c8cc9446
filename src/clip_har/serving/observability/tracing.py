"""Traces: W3C `traceparent` in and out, and OpenTelemetry spans for requests and their stages if they are switched on.

Switched off, the caller's `traceparent` is passed on and stands in the logs; OpenTelemetry is not even imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from clip_har.serving.config import ObservabilityConfig, ServingConfig

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True)
class TraceContext:
    """A span that somebody else began: https://www.w3.org/TR/trace-context/

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        flags: of which the last bit says that the trace is recorded.
    """

    trace_id: str
    span_id: str
    flags: int

    @classmethod
    def parse(cls, header: str | None) -> TraceContext | None:
        """The context in a `traceparent` header; None if there is none, or none that is valid."""
        found = _TRACEPARENT.fullmatch(header.strip()) if header and len(header) < 512 else None
        if found is None:
            return None
        version, trace_id, span_id, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(trace_id, span_id, int(flags, 16))

    @property
    def traceparent(self) -> str:
        """The header."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags & 1:02x}"


class Trace:
    """A request's trace; this one records nothing.

    Attributes:
        context: of the request's own span, or the caller's if spans are off; None if there is neither.
    """

    def __init__(self, context: TraceContext | None = None) -> None:
        self.context = context

    @property
    def traceparent(self) -> str | None:
        """For the answer's header."""
        return self.context.traceparent if self.context else None

    @property
    def trace_id(self) -> str | None:
        """For the log."""
        return self.context.trace_id if self.context else None

    def set(self, **attributes: Any) -> None:
        """Note attributes (status, model_id, images …) on the request's span; never content, keys or labels."""

    def stages(self, seconds: Mapping[str, float], **attributes: Any) -> None:
        """Note the stages of a picture that has just been answered, one span each, the last of them ending now."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Note the block as a stage."""
        yield

    def failed(self, error: BaseException) -> None:
        """Note that the request failed by a fault of ours."""


class Tracer:
    """Makes traces; this one records nothing."""

    @staticmethod
    def from_config(config: ServingConfig | ObservabilityConfig) -> Tracer:
        """What the config describes.

        Raises:
            ConfigError: if spans are wanted and a package for them is missing, or the endpoint is no URL.
        """
        section = config.observability if isinstance(config, ServingConfig) else config
        if section.tracing_endpoint is None:
            return Tracer()
        from clip_har.serving.observability.spans import SpanTracer

        return SpanTracer.from_config(section)

    @contextmanager
    def request(self, operation: str, traceparent: str | None = None, **attributes: Any) -> Iterator[Trace]:
        """Trace the block as a request.

        Args:
            operation: the span's name: "predict", "embed", … .
            traceparent: header of the caller, if there is one.
        """
        yield Trace(TraceContext.parse(traceparent))

    def close(self) -> None:
        """Send what has not been sent yet."""
