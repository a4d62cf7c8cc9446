"""Health tells the truth, and reflection lets tools find what there is."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from clip_har.serving.admission import Admission
from clip_har.serving.rpc.server import GrpcServer
from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1
from clip_har.serving.schemas.rpc import open_inference_pb2 as oip
from tests.serving.rpc.service import Service, grpc_service, picture

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = ("inference.GRPCInferenceService", "clip_har.v1.ActionRecognition")


def status(service: Service, name: str = "") -> int:
    return health_pb2_grpc.HealthStub(service.channel).Check(health_pb2.HealthCheckRequest(service=name)).status


@pytest.mark.parametrize("name", ["", *SERVICES])
def test_a_ready_service_is_serving(service: Service, name: str) -> None:
    assert status(service, name) == SERVING


def test_an_unknown_service_is_not_found(service: Service) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        status(service, "clip_har.v9")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = health_pb2_grpc.HealthStub(service.channel).Watch(health_pb2.HealthCheckRequest(service="clip_har.v9"))
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


def test_all_services_are_listed(service: Service) -> None:
    listed = health_pb2_grpc.HealthStub(service.channel).List(health_pb2.HealthListRequest()).statuses
    assert {name: one.status for name, one in listed.items()} == dict.fromkeys(["", *SERVICES], SERVING)


def test_before_it_is_ready_nothing_is_served(service: Service) -> None:
    """Health, the protocol's readiness and the calls say the same; watchers hear of every change."""
    admission: Admission = service.engine.admission
    seen: list[int] = []
    watch = health_pb2_grpc.HealthStub(service.channel).Watch(health_pb2.HealthCheckRequest())
    watching = threading.Thread(target=lambda: seen.extend(next(watch).status for _ in range(3)))
    watching.start()
    while not seen:
        threading.Event().wait(0.01)
    admission.close("The service is starting.")
    try:
        assert status(service) == NOT_SERVING
        assert service.open_inference.ServerLive(oip.ServerLiveRequest()).live
        assert not service.open_inference.ServerReady(oip.ServerReadyRequest()).ready
        assert not service.open_inference.ModelReady(oip.ModelReadyRequest(name="clip-har")).ready
        with pytest.raises(grpc.RpcError) as caught:
            service.ours.Predict(v1.PredictRequest(images=[v1.Image(content=picture())]))
        assert (caught.value.code(), caught.value.details()) == (
            grpc.StatusCode.UNAVAILABLE,
            "The service is starting.",
        )
        threading.Event().wait(0.6)
    finally:
        admission.open()
    watching.join(5)
    watch.cancel()
    assert seen == [SERVING, NOT_SERVING, SERVING]


def test_a_draining_server_says_so_and_answers_what_it_has_accepted(served_bundle: Path) -> None:
    """A watcher hears NOT_SERVING, a stream ends with UNAVAILABLE after its frames, an accepted call is answered."""
    with grpc_service(served_bundle) as service:
        watch = health_pb2_grpc.HealthStub(service.channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        more = threading.Event()

        def frames():
            yield v1.PredictStreamRequest(frame_id="1", image=v1.Image(content=picture()))
            more.wait(20)

        stream = service.ours.PredictStream(frames())
        assert next(stream).frame_id == "1"
        slow = service.engine.predict

        async def slowly(*arguments):
            await asyncio.sleep(0.5)
            return await slow(*arguments)

        service.engine.predict = slowly
        accepted = service.ours.Predict.future(v1.PredictRequest(images=[v1.Image(content=picture())]))
        while not service.engine.admission.depth:
            threading.Event().wait(0.005)
        began = time.monotonic()
        service.run(service.server.stop(20))
        assert time.monotonic() - began < 15  # an open stream does not hold it up
        assert accepted.result(5).results[0].label
        assert next(watch).status == NOT_SERVING
        with pytest.raises(StopIteration):
            next(watch)
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        more.set()


def test_tools_find_the_services_and_their_messages(service: Service) -> None:
    database = ProtoReflectionDescriptorDatabase(service.channel)
    assert {*SERVICES, "grpc.health.v1.Health"} <= set(database.get_services())
    pool = DescriptorPool(database)
    method = pool.FindServiceByName(SERVICES[1]).methods_by_name["PredictStream"]
    assert method.input_type.full_name == "clip_har.v1.PredictStreamRequest"
    assert pool.FindMessageTypeByName("inference.ModelInferRequest").fields_by_name["raw_input_contents"].number == 7


def test_reflection_answers_under_its_newer_name_too(service: Service) -> None:
    ask = service.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="clip_har.v1.Nothing"),
    ]
    listed, missing = ask(iter(asked))
    assert len(listed.list_services_response.service) == 5
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_reflection_can_be_switched_off(service: Service) -> None:
    config = service.engine.config.grpc.model_copy(update={"reflection": False, "port": 0})
    other = GrpcServer(service.engine, service.server._security, config, "127.0.0.1")
    target = f"127.0.0.1:{service.run(other.start())}"
    try:
        with grpc.insecure_channel(target) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            with pytest.raises(grpc.RpcError) as caught:
                list(stub.ServerReflectionInfo(asked))
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status == SERVING
    finally:
        service.run(other.stop(1))
