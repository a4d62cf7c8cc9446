"""Frames as they come: every one answered by its id, few in work at a time, an error being its frame's own."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from clip_har.inference.predictor import Predictor
from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1
from clip_har.serving.schemas.rpc.action_recognition_pb2_grpc import ActionRecognitionStub
from tests.serving.rpc.service import Service, grpc_service, picture

FILES = [picture(seed) for seed in range(12)]


def frame(number: int, file: bytes, **options) -> v1.PredictStreamRequest:
    return v1.PredictStreamRequest(
        frame_id=str(number),
        image=v1.Image(content=file),
        options=v1.PredictOptions(**options) if options else None,
    )


@pytest.fixture(scope="module")
def narrow(served_bundle: Path) -> Iterator[Service]:
    """Two frames of a stream in work at a time; a stream that is silent for a second is ended."""
    with grpc_service(served_bundle, grpc={"stream_frames": 2, "stream_idle_seconds": 1}) as running:
        yield running


def test_every_frame_is_answered_as_by_the_predictor(service: Service, served_bundle: Path) -> None:
    frames = [frame(number, file) for number, file in enumerate(FILES)]
    answers = {int(answer.frame_id): answer for answer in service.ours.PredictStream(iter(frames))}
    assert sorted(answers) == list(range(len(FILES)))
    for number, expected in enumerate(Predictor.load(served_bundle, "onnx", device="cpu", threads=1).predict(FILES)):
        result = answers[number].result
        assert answers[number].model_id == service.engine.model().model_id
        assert [one.score for one in result.labels] == pytest.approx(expected.scores, abs=1e-6)


def test_options_hold_until_others_come(service: Service) -> None:
    frames = [
        frame(0, FILES[0]),
        frame(1, FILES[0], top_k=1),
        frame(2, FILES[0]),
        frame(3, FILES[0], labels=["surfing", "ironing"]),
    ]
    answers = {answer.frame_id: answer.result for answer in service.ours.PredictStream(iter(frames))}
    assert [len(answers[number].labels) for number in "0123"] == [4, 1, 1, 2]
    assert [answers[number].calibrated for number in "0123"] == [True, True, True, False]


def test_an_error_is_its_frames_own(service: Service) -> None:
    frames = [
        frame(0, b"no picture"),
        v1.PredictStreamRequest(frame_id="1"),
        frame(2, FILES[0], top_k=1000),
        frame(3, FILES[0], top_k=1),
    ]
    answers = {answer.frame_id: answer.result for answer in service.ours.PredictStream(iter(frames))}
    assert [answers[number].error.status for number in "0123"] == [415, 400, 422, 0]


def test_a_frame_that_finds_no_place_is_told_so(service: Service) -> None:
    """The stream goes on: a camera sends its next frame."""
    admission = service.engine.admission
    while admission.depth:  # of the test before
        time.sleep(0.005)
    ticket = admission.enter(images=admission.capacity)
    sent: queue.Queue = queue.Queue()
    stream = service.ours.PredictStream(iter(sent.get, None))
    sent.put(frame(0, FILES[0]))
    refused = next(stream)
    assert (refused.frame_id, refused.result.error.status) == ("0", 429)
    assert refused.result.error.retry_after > 0
    ticket.leave()
    sent.put(frame(1, FILES[0]))
    assert next(stream).result.label
    sent.put(None)
    assert list(stream) == []


def test_only_a_few_frames_are_in_work(narrow: Service) -> None:
    """More are not read, however fast they come."""
    go, answer = threading.Event(), narrow.engine.predict

    async def slowly(*arguments):
        while not go.is_set():
            await asyncio.sleep(0.005)
        return await answer(*arguments)

    narrow.engine.predict = slowly
    try:
        stream = narrow.ours.PredictStream(iter([frame(number, FILES[0]) for number in range(10)]))
        time.sleep(0.4)
        assert narrow.engine.admission.depth == 2
        go.set()
        assert sorted(int(one.frame_id) for one in stream) == list(range(10))
    finally:
        go.set()
        narrow.engine.predict = answer
    assert narrow.engine.admission.depth == 0


def test_a_client_that_reads_nothing_is_not_read_from(narrow: Service) -> None:
    """Answers that are not taken hold their frames' places, so that nothing heaps up here."""
    answer, answered = narrow.engine.predict, []

    async def counted(*arguments):
        answered.append(1)
        return await answer(*arguments)

    labels = [f"{'x' * 90}{place}" for place in range(100)]
    frames = (frame(number, FILES[0], labels=labels, top_k=100) for number in range(400))
    # A client whose window is small and stays so: 64 kB, some six answers, are sent to it unread.
    options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_535)]
    narrow.engine.predict = counted
    try:
        with grpc.insecure_channel(narrow.target, options=options) as channel:
            stream = ActionRecognitionStub(channel).PredictStream(frames)
            before = -1
            while len(answered) > before:
                before = len(answered)
                time.sleep(0.5)
            stopped = len(answered)
            stream.cancel()
    finally:
        narrow.engine.predict = answer
    assert 2 < stopped < 100
    assert narrow.engine.admission.depth == 0


def test_a_cancelled_stream_leaves_nothing_behind(narrow: Service) -> None:
    answer = narrow.engine.predict

    async def never(*_):
        await asyncio.sleep(30)

    narrow.engine.predict = never
    try:
        stream = narrow.ours.PredictStream(iter([frame(0, FILES[0]), frame(1, FILES[0])]))
        while narrow.engine.admission.depth < 2:
            time.sleep(0.005)
        stream.cancel()
        until = time.monotonic() + 5
        while narrow.engine.admission.depth and time.monotonic() < until:
            time.sleep(0.005)
        assert narrow.engine.admission.depth == 0
    finally:
        narrow.engine.predict = answer


def test_a_silent_stream_is_ended(narrow: Service) -> None:
    over = threading.Event()
    stream = narrow.ours.PredictStream(iter(lambda: over.wait(20), True))
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    over.set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_streams_deadline_is_kept(narrow: Service) -> None:
    over = threading.Event()
    stream = narrow.ours.PredictStream(iter(lambda: over.wait(20), True), timeout=0.3)
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    over.set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_stream_of_nothing_ends_well(service: Service) -> None:
    assert list(service.ours.PredictStream(iter([]))) == []


def test_frames_are_counted(service: Service) -> None:
    list(service.ours.PredictStream(iter([frame(0, FILES[0]), frame(1, b"no picture")])))
    counted = service.engine.metrics.registry.get_sample_value
    for operation, status in (("frame", "200"), ("frame", "415"), ("predict_stream", "200")):
        labels = {"surface": "grpc", "operation": operation, "status": status}
        assert counted("clip_har_requests_total", labels) >= 1
