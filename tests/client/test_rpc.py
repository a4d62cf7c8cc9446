"""The gRPC clients against a service that refuses, breaks off or is slow."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from clip_har.client import AsyncGrpcClient, ClientSettings, GrpcClient, ServiceProblem
from clip_har.errors import ConfigError
from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1
from tests.client.asking import QUICK
from tests.client.stand_in import MODEL_ID

PREDICTION = "5f0c" * 8
Behaviour = Callable[[Any, grpc.ServicerContext], Any]


class Service(grpc.GenericRpcHandler):
    """Does what comes next; the last is kept."""

    def __init__(self) -> None:
        self.behaviours: list[Behaviour] = [predicted]
        self.seen: list[tuple[str, dict[str, Any], float]] = []
        self.target = ""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method.rpartition("/")[2]

        def behave(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.seen.append((method, dict(context.invocation_metadata()), time.monotonic()))
            behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
            return behaviour(request, context).SerializeToString()

        def stream(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            for request in requests:
                frame = v1.PredictStreamRequest.FromString(request)
                if frame.image.content == b"end":
                    context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
                yield v1.PredictStreamResponse(
                    frame_id=frame.frame_id, model_id=MODEL_ID, result=result(f"{frame.options.top_k}")
                ).SerializeToString()

        if method == "PredictStream":
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(behave)


def result(label: str = "running") -> v1.PredictionResult:
    return v1.PredictionResult(
        prediction_id=PREDICTION, label=label, confidence=0.5, labels=[{"label": label, "score": 0.5}]
    )


def predicted(_request: bytes, _context: grpc.ServicerContext) -> v1.PredictResponse:
    return v1.PredictResponse(request_id="theirs", model_id=MODEL_ID, results=[result()])


def told(_request: bytes, _context: grpc.ServicerContext) -> v1.FeedbackResponse:
    return v1.FeedbackResponse(request_id="theirs")


def slow(_request: bytes, context: grpc.ServicerContext) -> Any:
    time.sleep(1.0)
    return predicted(_request, context)


def _body(status: int | None, members: dict[str, Any]) -> bytes:
    body = {"type": "urn:x", "title": "T", "status": status, "detail": "Said.", "code": "a_code", **members}
    return json.dumps(body).encode()


def refuses(code: grpc.StatusCode, status: int | None = None, wait: int | None = None, **members: Any) -> Behaviour:
    """Ends with a status, and with a problem if there is an HTTP status too.

    Args:
        wait: milliseconds that gRPC's own metadata asks a client to wait.
    """

    def behave(_request: bytes, context: grpc.ServicerContext) -> Any:
        if wait is not None:
            context.set_trailing_metadata(
                (("grpc-retry-pushback-ms", str(wait)), ("problem-bin", _body(status, members)))
            )
        elif status is not None:
            context.set_trailing_metadata((("problem-bin", _body(status, members)),))
        context.abort(code, "details of gRPC")

    return behave


@pytest.fixture
def service() -> Iterator[Service]:
    handler = Service()
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, [handler], options=[("grpc.max_receive_message_length", 100_000)])
        handler.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield handler
        server.stop(0).wait()


def ask_sync(
    target: str, method: str, *arguments: Any, settings: Any = None, key: str | None = None, **options: Any
) -> Any:
    with GrpcClient(target, key=key, settings=ClientSettings(**QUICK | (settings or {}))) as client:
        return getattr(client, method)(*arguments, **options)


def ask_async(
    target: str, method: str, *arguments: Any, settings: Any = None, key: str | None = None, **options: Any
) -> Any:
    async def ask() -> Any:
        async with AsyncGrpcClient(target, key=key, settings=ClientSettings(**QUICK | (settings or {}))) as client:
            return await getattr(client, method)(*arguments, **options)

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [ask_sync, ask_async])


@both
def test_a_refusal_is_waited_out_as_long_as_the_service_asks(service: Service, ask):
    service.behaviours = [refuses(grpc.StatusCode.RESOURCE_EXHAUSTED, 429, retry_after=0.3), predicted]
    assert ask(service.target, "predict", b"picture", key="a-key").results[0].label == "running"
    (_, first, began), (_, second, again) = service.seen
    assert again - began >= 0.3
    assert first["x-request-id"] == second["x-request-id"]
    assert first["authorization"] == "Bearer a-key"


@both
def test_grpcs_own_way_to_ask_for_a_wait_is_respected(service: Service, ask):
    service.behaviours = [refuses(grpc.StatusCode.UNAVAILABLE, 503, wait=300), predicted]
    ask(service.target, "predict", b"picture")
    assert service.seen[1][2] - service.seen[0][2] >= 0.3


@both
def test_a_problem_has_what_the_service_said(service: Service, ask):
    service.behaviours = [refuses(grpc.StatusCode.INVALID_ARGUMENT, 422, field="top_k", request_id="theirs")]
    with pytest.raises(ServiceProblem) as caught:
        ask(service.target, "predict", b"picture")
    found = caught.value
    assert (found.status, found.code, found.field, found.request_id) == (422, "a_code", "top_k", "theirs")
    assert str(found) == "Said."
    assert len(service.seen) == 1


@both
def test_feedback_is_sent_again_only_if_it_was_refused(service: Service, ask):
    service.behaviours = [refuses(grpc.StatusCode.UNAVAILABLE, 503), told]
    assert ask(service.target, "feedback", PREDICTION, "sitting").label == "sitting"
    assert len(service.seen) == 2
    service.seen.clear()
    service.behaviours = [refuses(grpc.StatusCode.UNAVAILABLE), told]  # as a connection that breaks
    with pytest.raises(ServiceProblem) as caught:
        ask(service.target, "feedback", PREDICTION, "sitting")
    assert caught.value.maybe_done
    assert len(service.seen) == 1
    service.behaviours = [refuses(grpc.StatusCode.UNAVAILABLE), predicted]
    assert ask(service.target, "predict", b"picture").results[0].label == "running"


@both
def test_a_slow_answer_is_given_up_at_the_deadline(service: Service, ask):
    service.behaviours = [slow]
    with pytest.raises(ServiceProblem, match="in time"):
        ask(service.target, "predict", b"picture", settings={"deadline_seconds": 0.3})


@both
def test_a_message_that_is_too_large_is_not_sent_again(service: Service, ask):
    with pytest.raises(ServiceProblem) as caught:
        ask(service.target, "predict", b"x" * 200_000)
    assert (caught.value.status, caught.value.code) == (413, "too_large")


@both
def test_no_service(ask):
    with pytest.raises(ServiceProblem, match=r"No service answers at 127\.0\.0\.1:9") as caught:
        ask("127.0.0.1:9", "feedback", PREDICTION, "sitting", settings={"tries": 1})
    assert not caught.value.maybe_done
    assert ask("127.0.0.1:9", "ready", settings={"connect_seconds": 1}) is False


def test_a_stream_takes_a_frame_when_one_has_been_answered(service: Service):
    taken: list[int] = []
    answered = 0

    def frames() -> Iterator[tuple[str, bytes]]:
        for number in range(20):
            taken.append(number)
            yield f"frame {number}", b"picture"

    with GrpcClient(service.target) as client:
        for answer in client.predict_stream(frames(), in_flight=2, top_k=3):
            answered += 1
            assert len(taken) <= answered + 2
            assert answer.result.model_id == MODEL_ID
            assert answer.result.label == ("3" if answer.id == "frame 0" else "0")  # options go with the first
    assert answered == 20


def test_a_stream_that_is_left_ends_its_thread(service: Service):
    def frames() -> Iterator[tuple[str, bytes]]:
        while True:
            yield "frame", b"picture"

    before = threading.active_count()
    with GrpcClient(service.target) as client:
        answers = client.predict_stream(frames())
        assert next(answers).id == "frame"
        answers.close()
    until = time.monotonic() + 5
    while threading.active_count() > before + 8 and time.monotonic() < until:  # the server's pool stays
        time.sleep(0.05)
    assert threading.active_count() <= before + 8


def test_what_a_streams_frames_raise_is_raised(service: Service):
    def frames() -> Iterator[tuple[str, bytes]]:
        yield "frame", b"picture"
        raise RuntimeError("the camera is gone")

    with GrpcClient(service.target) as client, pytest.raises(RuntimeError, match="camera"):
        list(client.predict_stream(frames()))
    with GrpcClient(service.target) as client, pytest.raises(ServiceProblem, match="gone"):
        list(client.predict_stream([("frame", b"picture"), ("last", b"end")]))


def test_a_stream_from_an_event_loop(service: Service):
    async def frames():
        for number in range(5):
            yield f"{number}", b"picture"

    async def broken():
        yield "0", b"picture"
        raise RuntimeError("the camera is gone")

    async def ask() -> list[str]:
        async with AsyncGrpcClient(service.target) as client:
            found = [answer.id async for answer in client.predict_stream(frames(), in_flight=1)]
            with pytest.raises(RuntimeError, match="camera"):
                [answer async for answer in client.predict_stream(broken())]
            return found

    assert asyncio.run(ask()) == ["0", "1", "2", "3", "4"]


def test_files_of_tls_are_checked(tmp_path):
    with pytest.raises(ConfigError, match="together"):
        GrpcClient("127.0.0.1:9", certificate=tmp_path / "a.pem")
    with pytest.raises(ConfigError, match="cannot be read"):
        GrpcClient("127.0.0.1:9", ca_certificate=tmp_path / "a.pem")


def test_tls(tmp_path):
    from tests.serving.rpc.certificates import Authority

    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    ours, theirs = authority.issue("server"), authority.issue("client")
    credentials = grpc.ssl_server_credentials(
        [(ours.key.read_bytes(), ours.certificate.read_bytes())], authority.files.certificate.read_bytes(), True
    )
    once = ClientSettings(tries=1, deadline_seconds=5)
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, [Service()])
        target = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
        server.start()
        shown = {"certificate": theirs.certificate, "certificate_key": theirs.key}
        trusted = {"ca_certificate": authority.files.certificate}
        assert ask_sync_with(target, once, **trusted, **shown) == "running"
        for wrong in (shown, trusted, {"ca_certificate": stranger.files.certificate, **shown}, {}):
            with pytest.raises(ServiceProblem):
                ask_sync_with(target, once, **wrong)
        server.stop(0).wait()


def ask_sync_with(target: str, settings: ClientSettings, **tls: Any) -> str | None:
    with GrpcClient(target, settings=settings, **tls) as client:
        return client.predict(b"picture").results[0].label
