"""Traces: the caller's context is taken, passed on and ends in spans, if they are wanted."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from clip_har.errors import ConfigError
from clip_har.serving.config import ObservabilityConfig, ServingConfig
from clip_har.serving.observability.tracing import TraceContext, Tracer

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01"


def test_a_header_of_the_standard_is_read() -> None:
    context = TraceContext.parse(HEADER)
    assert context == TraceContext(TRACE, SPAN, 1)
    assert context.traceparent == HEADER
    assert TraceContext.parse(f"cc-{TRACE}-{SPAN}-01-what-comes-later") == context
    assert TraceContext.parse(f"00-{TRACE}-{SPAN}-ff").traceparent == HEADER


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "x",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\r\nx: y",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 1000}",
    ],
)
def test_any_other_is_ignored(header: str | None) -> None:
    assert TraceContext.parse(header) is None
    with Tracer().request("predict", header) as trace:
        assert trace.traceparent is None
        assert trace.trace_id is None


def test_switched_off_the_callers_trace_is_passed_on() -> None:
    tracer = Tracer.from_config(ServingConfig())
    with tracer.request("predict", HEADER, surface="rest") as trace:
        trace.set(status=200)
        trace.stages({"decode": 0.1})
        with trace.stage("head"):
            pass
        assert trace.traceparent == HEADER
        assert trace.trace_id == TRACE
    tracer.close()


def test_switched_off_opentelemetry_is_not_imported() -> None:
    code = (
        "import sys\n"
        "from clip_har.serving.config import ServingConfig\n"
        "from clip_har.serving.observability.tracing import Tracer\n"
        "with Tracer.from_config(ServingConfig()).request('predict') as trace: trace.set(a=1)\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def recorded() -> Iterator[tuple]:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from clip_har.serving.observability.spans import SpanTracer

    exporter = InMemorySpanExporter()
    tracer = SpanTracer(exporter)

    def spans() -> dict:
        tracer._provider.force_flush()
        return {span.name: span for span in exporter.get_finished_spans()}

    yield tracer, spans
    tracer.close()


def test_a_request_is_a_span_below_the_callers_with_its_stages(recorded: tuple) -> None:
    tracer, spans = recorded
    with tracer.request("predict", HEADER, surface="rest", request_id="r1", picture=b"\xff") as trace:
        trace.stages({"queue": 0.2, "decode": 0.1, "encode": 0.3}, image=0)
        with trace.stage("answer"):
            pass
        trace.set(status=200, headers={"x-api-key": "secret"})
        sent = TraceContext.parse(trace.traceparent)
    found = spans()
    request = found["predict"]
    assert set(found) == {"predict", "queue", "decode", "encode", "answer"}
    assert sent.trace_id == trace.trace_id == TRACE
    assert sent.span_id == f"{request.context.span_id:016x}" != SPAN
    assert f"{request.parent.span_id:016x}" == SPAN
    assert dict(request.attributes) == {"surface": "rest", "request_id": "r1", "status": 200}
    for stage in ("queue", "decode", "encode", "answer"):
        assert found[stage].parent.span_id == request.context.span_id
    assert (found["encode"].end_time - found["encode"].start_time) / 1e9 == pytest.approx(0.3)
    assert found["queue"].end_time == found["decode"].start_time
    assert found["encode"].attributes["image"] == 0


def test_a_request_without_a_parent_begins_a_trace(recorded: tuple) -> None:
    tracer, spans = recorded
    with tracer.request("embed") as trace:
        pass
    assert spans()["embed"].parent is None
    assert TraceContext.parse(trace.traceparent).flags == 1


def test_what_the_caller_does_not_record_is_not_recorded(recorded: tuple) -> None:
    tracer, spans = recorded
    with tracer.request("predict", HEADER[:-2] + "00") as trace:
        trace.stages({"decode": 0.1})
    assert spans() == {}
    assert trace.trace_id == TRACE
    assert trace.traceparent.endswith("-00")


def test_a_fault_is_noted_and_goes_on(recorded: tuple) -> None:
    tracer, spans = recorded
    with pytest.raises(RuntimeError), tracer.request("predict"):
        raise RuntimeError("boom")
    assert spans()["predict"].status.status_code.name == "ERROR"


def test_a_share_of_the_requests_is_recorded() -> None:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from clip_har.serving.observability.spans import SpanTracer

    exporter = InMemorySpanExporter()
    tracer = SpanTracer(exporter, share=0.0)
    with tracer.request("predict") as trace:
        pass
    with tracer.request("embed", HEADER):
        pass
    tracer.close()
    assert [span.name for span in exporter.get_finished_spans()] == ["embed"]
    assert trace.traceparent.endswith("-00")


def test_spans_on_the_console_are_lines_of_json(capsys: pytest.CaptureFixture) -> None:
    tracer = Tracer.from_config(ObservabilityConfig(tracing_endpoint="console"))
    with tracer.request("predict"):
        pass
    tracer.close()
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["name"] == "predict"


@pytest.mark.parametrize("endpoint", ["localhost:4318", "grpc://collector:4317", "consol", "http://"])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="tracing_endpoint"):
        Tracer.from_config(ObservabilityConfig(tracing_endpoint=endpoint))


def test_a_missing_exporter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match="pip install opentelemetry-exporter-otlp-proto-http"):
        Tracer.from_config(ObservabilityConfig(tracing_endpoint="http://127.0.0.1:4318"))


def _otlp() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.skipif(not _otlp(), reason="needs opentelemetry-exporter-otlp-proto-http")
def test_spans_reach_a_collector() -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tracer = Tracer.from_config(ObservabilityConfig(tracing_endpoint=f"http://127.0.0.1:{server.server_port}"))
        with tracer.request("predict", HEADER):
            pass
        tracer.close()
        server.shutdown()
    ((path, body),) = got
    message = ExportTraceServiceRequest.FromString(body)
    (span,) = message.resource_spans[0].scope_spans[0].spans
    assert path == "/v1/traces"
    assert span.name == "predict"
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == SPAN
