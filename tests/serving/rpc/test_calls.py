"""What every call meets: the key, the queue, the deadline, limits; and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import gzip
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from clip_har.serving.rpc import calls as calls_module
from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1
from clip_har.serving.schemas.rpc import open_inference_pb2 as oip
from clip_har.serving.security.keys import add_key
from tests.serving.rpc.service import Service, grpc_service, picture, problem_of
from tests.serving.rpc.wire import RawCall, message

FILE = picture()
REQUEST = v1.PredictRequest(images=[v1.Image(content=FILE)])
PREDICT = b"/clip_har.v1.ActionRecognition/Predict"
OK, UNKNOWN, INVALID, DEADLINE, EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 0, 2, 3, 4, 8, 12, 13, 14


@pytest.fixture(scope="module")
def small(served_bundle: Path) -> Iterator[Service]:
    """A server with room for two pictures, and messages of up to 200 kB."""
    limits = {"queue": {"max_waiting": 2, "deadline_seconds": 60}, "grpc": {"max_message_bytes": 200_000}}
    with grpc_service(served_bundle, **limits) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(served_bundle: Path) -> Iterator[Service]:
    """A server that answers within 1.5 s or not at all."""
    with grpc_service(served_bundle, queue={"deadline_seconds": 1.5}) as running:
        yield running


def soon(condition: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


@contextmanager
def slow_engine(service: Service) -> Iterator[threading.Event]:
    """Predictions wait until the event is set."""
    go, answer = threading.Event(), service.engine.predict

    async def predict(*arguments):
        while not go.is_set():
            await asyncio.sleep(0.005)
        return await answer(*arguments)

    service.engine.predict = predict
    try:
        yield go
    finally:
        go.set()
        service.engine.predict = answer


def error_of(call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def test_a_full_queue_refuses_and_says_when_to_come_again(small: Service) -> None:
    with slow_engine(small) as go:
        inside = [small.ours.Predict.future(REQUEST) for _ in range(2)]
        assert soon(lambda: small.engine.admission.depth == 2)
        error = error_of(lambda: small.ours.Predict(REQUEST))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert problem_of(error)["retry_after"] > 0
        assert int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"]) > 0
        go.set()
        assert all(call.result(5).results[0].label for call in inside)
    assert small.engine.admission.depth == 0


def test_a_refused_call_is_not_read(small: Service) -> None:
    """Its status comes while its message has not been sent."""
    with slow_engine(small):
        inside = [small.ours.Predict.future(REQUEST) for _ in range(2)]
        assert soon(lambda: small.engine.admission.depth == 2)
        raw = RawCall(small.target, PREDICT)
        raw.send(message(b"", length=100_000))
        assert raw.status() == EXHAUSTED
        raw.close()
    assert all(call.result(5) for call in inside)


def test_a_cancelled_call_frees_its_place(small: Service) -> None:
    with slow_engine(small):
        call = small.ours.Predict.future(REQUEST)
        assert soon(lambda: small.engine.admission.depth == 1)
        call.cancel()
        assert soon(lambda: small.engine.admission.depth == 0)


def test_a_call_whose_client_hangs_up_frees_its_place(small: Service) -> None:
    raw = RawCall(small.target, PREDICT)
    raw.send(message(b"", length=1000))
    assert soon(lambda: small.engine.admission.depth == 1)
    raw.close()
    assert soon(lambda: small.engine.admission.depth == 0, 0.9)  # before its place is taken away from it


def test_the_clients_deadline_is_the_requests(small: Service) -> None:
    """It is the ticket's, and work ends when it passes."""
    deadlines = []
    enter = small.engine.admission.enter

    def noting(*arguments, **named):
        ticket = enter(*arguments, **named)
        deadlines.append(ticket.seconds_left)
        return ticket

    small.engine.admission.enter = noting
    try:
        with slow_engine(small):
            error = error_of(lambda: small.ours.Predict(REQUEST, timeout=0.3))
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert 0 < deadlines[0] < 0.35
            assert soon(lambda: small.engine.admission.depth == 0, 1)
    finally:
        del small.engine.admission.enter


def test_without_one_the_services_deadline_holds(hasty: Service) -> None:
    with slow_engine(hasty):
        began = time.monotonic()
        error = error_of(lambda: hasty.ours.Predict(REQUEST, timeout=20))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert problem_of(error)["code"] == "deadline_exceeded"
        assert 1.4 < time.monotonic() - began < 10
    assert hasty.engine.admission.depth == 0


def test_a_message_that_comes_slowly_holds_no_place(hasty: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while its place is others'; it finds one when it has come, and it has to come in time."""
    monkeypatch.setattr(calls_module, "_BODY_SECONDS", 0.2)
    data = REQUEST.SerializeToString()
    slow, never = RawCall(hasty.target, PREDICT), RawCall(hasty.target, PREDICT)
    for raw in (slow, never):
        raw.send(message(data)[:100])
    assert soon(lambda: hasty.engine.admission.depth == 2)
    assert soon(lambda: hasty.engine.admission.depth == 0, 1)
    slow.send(message(data)[100:], last=True)
    assert slow.status() == OK
    assert never.status() == DEADLINE
    monkeypatch.setattr(calls_module, "_MOST_SLOW", 0)
    third = RawCall(hasty.target, PREDICT)
    third.send(message(data)[:100])
    assert third.status() == EXHAUSTED
    assert hasty.engine.admission.depth == 0


def test_a_message_over_the_limit_is_refused(small: Service) -> None:
    big = v1.PredictRequest(images=[v1.Image(content=bytes(300_000))])
    assert error_of(lambda: small.ours.Predict(big)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert soon(lambda: small.engine.admission.depth == 0)
    announced = RawCall(small.target, PREDICT)
    announced.send(message(b"", length=2_000_000_000))
    assert announced.status() == EXHAUSTED


def test_a_compressed_message_is_not_unpacked(small: Service) -> None:
    """Else one of 100 kB could become one of 100 MB."""
    bomb = gzip.compress(v1.PredictRequest(images=[v1.Image(content=bytes(50_000_000))]).SerializeToString())
    raw = RawCall(small.target, PREDICT, (b"grpc-encoding", b"gzip"))
    raw.send(message(bomb, compressed=True), last=True)
    assert raw.status() == UNIMPLEMENTED
    compressed = RawCall(small.target, PREDICT)
    compressed.send(message(bomb, compressed=True), last=True)
    assert compressed.status() not in (OK, None)
    assert small.ours.Predict(REQUEST).results[0].label


@pytest.mark.parametrize(
    ("path", "body", "last", "status"),
    [
        (PREDICT, message(b"\xff\xff\xff"), True, INVALID),
        (PREDICT, message(b""), True, INVALID),
        (PREDICT, b"", True, INVALID),
        (b"/clip_har.v1.ActionRecognition/PredictStream", message(b"\xff"), False, INVALID),
        (b"/inference.GRPCInferenceService/ModelInfer", message(b"\x0a\x01\xff"), True, INVALID),
        (b"/grpc.health.v1.Health/Check", message(b"\xff"), True, INVALID),
        (b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", message(b"\xff"), True, INVALID),
        (b"/clip_har.v1.ActionRecognition/Train", message(b""), True, UNIMPLEMENTED),
        (b"/nothing", message(b""), True, UNIMPLEMENTED),
        (b"/\xff\xfe", message(b""), True, UNIMPLEMENTED),
        (b"/clip_har.v1.ActionRecognition/Pred\xffct", message(b""), True, UNIMPLEMENTED),
    ],
)
def test_nonsense_is_refused_and_the_server_lives(small: Service, path, body, last, status) -> None:
    raw = RawCall(small.target, path)
    raw.send(body, last=last)
    assert raw.status() == status
    raw.close()
    assert small.ours.Predict(REQUEST).results[0].label
    assert small.engine.admission.depth == 0


def test_a_fault_of_ours_says_nothing_of_itself(small: Service, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(*_):
        raise RuntimeError("secret detail")

    answer, small.engine.predict = small.engine.predict, broken
    try:
        with caplog.at_level(logging.ERROR):
            error = error_of(lambda: small.ours.Predict(REQUEST))
    finally:
        small.engine.predict = answer
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in error.details() + str(error.trailing_metadata())
    assert "secret detail" in caplog.text
    assert small.engine.admission.depth == 0


def test_only_so_many_calls_are_open_at_one_time(served_bundle: Path) -> None:
    with grpc_service(served_bundle, grpc={"max_calls": 2}) as service, slow_engine(service):
        inside = [service.ours.Predict.future(REQUEST) for _ in range(2)]
        assert soon(lambda: service.engine.admission.depth == 2)
        assert error_of(lambda: service.ours.Predict(REQUEST)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(inside) == 2  # a call that nobody holds is cancelled


def test_every_call_is_counted_and_logged(small: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "clip_har"):
        small.ours.Predict(REQUEST, metadata=(("x-request-id", "seen-1"),))
        error_of(lambda: small.open_inference.ModelInfer(oip.ModelInferRequest(model_name="else")))
    counted = small.engine.metrics.registry.get_sample_value
    labels = {"surface": "oip-grpc", "operation": "infer", "status": "404"}
    assert counted("clip_har_requests_total", labels) >= 1
    assert counted("clip_har_requests_total", {"surface": "grpc", "operation": "predict", "status": "200"}) >= 1
    assert counted("clip_har_rejections_total", {"reason": "not_found"}) >= 1
    lines = [record for record in caplog.records if record.getMessage() == "request"]
    assert [(line.surface, line.operation, line.status) for line in lines] == [
        ("grpc", "predict", 200),
        ("oip-grpc", "infer", 404),
    ]
    assert lines[0].images == 1
    assert lines[0].bytes > len(FILE)


@pytest.fixture(scope="module")
def guarded(served_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """A server that wants keys, and a key of three requests an hour."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    key = add_key(file, "camera", rate=3 / 3600, burst=3)
    with grpc_service(served_bundle, security={"keys_file": str(file)}) as running:
        yield running, key


def test_a_key_is_wanted_before_anything_is_read(guarded: tuple[Service, str]) -> None:
    service, _ = guarded
    for metadata in ((), (("x-api-key", "chk_wrong"),), (("authorization", "Basic eDp5"),)):
        for call in (service.ours.Predict, service.ours.Feedback, service.ours.Embed):
            error = error_of(lambda: call(v1.PredictRequest(), metadata=metadata))  # noqa: B023
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            assert problem_of(error)["code"] == "unauthorized"
    error = error_of(lambda: list(service.ours.PredictStream(iter([v1.PredictStreamRequest()]))))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert (
        error_of(lambda: service.open_inference.ServerMetadata(oip.ServerMetadataRequest())).code()
        is grpc.StatusCode.UNAUTHENTICATED
    )
    raw = RawCall(service.target, PREDICT)
    raw.send(message(b"", length=1000))
    assert raw.status() == 16
    raw.close()
    assert service.engine.admission.depth == 0


def test_probes_need_no_key(guarded: tuple[Service, str]) -> None:
    service, _ = guarded
    assert service.open_inference.ServerLive(oip.ServerLiveRequest()).live
    assert service.open_inference.ServerReady(oip.ServerReadyRequest()).ready


def test_a_key_is_taken_in_both_headers_and_has_its_rate(guarded: tuple[Service, str]) -> None:
    """Frames of a stream count like calls."""
    service, key = guarded
    bearer, plain = (("authorization", f"Bearer {key}"),), (("x-api-key", key),)
    assert service.ours.Predict(REQUEST, metadata=bearer).results[0].label
    frames = [v1.PredictStreamRequest(frame_id=str(number), image=REQUEST.images[0]) for number in range(3)]
    answers = {answer.frame_id: answer for answer in service.ours.PredictStream(iter(frames), metadata=plain)}
    assert [answers[number].result.error.status for number in "012"] == [0, 0, 429]
    error = error_of(lambda: service.ours.Predict(REQUEST, metadata=plain))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert problem_of(error)["retry_after"] > 1
