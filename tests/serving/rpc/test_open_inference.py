"""The Open Inference Protocol over gRPC: a foreign client gets the Predictor's answers; wrong tensors are named."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import grpc
import numpy as np
import pytest

from clip_har.inference.predictor import Predictor
from clip_har.models.preprocessing import Preprocessor
from clip_har.serving.schemas.open_inference import OUTPUTS
from clip_har.serving.schemas.rpc import open_inference_pb2 as oip
from tests.serving.rpc.service import Service, picture, problem_of

FILES = [picture(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def predictor(served_bundle: Path) -> Predictor:
    return Predictor.load(served_bundle, "onnx", device="cpu", threads=1)


@pytest.fixture(scope="module")
def triton(service: Service):
    client = pytest.importorskip("tritonclient.grpc").InferenceServerClient(service.target)
    yield client
    client.close()


def infer_input(name: str, values: np.ndarray, datatype: str):
    from tritonclient.grpc import InferInput

    made = InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values)
    return made


def test_a_foreign_client_finds_the_model(service: Service, triton, predictor: Predictor) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("clip-har")
    assert triton.is_model_ready("clip-har", predictor.bundle.model_id[:8])
    assert triton.get_server_metadata().name == "clip-har"
    model = triton.get_model_metadata("clip-har")
    height, width = predictor.preprocessing.output_size
    assert {one.name: list(one.shape) for one in model.inputs} == {
        "images": [-1],
        "pixel_values": [-1, 3, height, width],
        "labels": [-1],
        "templates": [-1],
    }
    assert {one.name: one.datatype for one in model.outputs} == OUTPUTS
    assert list(model.versions) == [predictor.bundle.model_id]
    assert model.platform == "onnxruntime_onnx"


def test_a_foreign_client_gets_predictions_for_files(triton, predictor: Predictor) -> None:
    from tritonclient.grpc import InferRequestedOutput

    given = infer_input("images", np.array(FILES, dtype=np.object_), "BYTES")
    result = triton.infer("clip-har", [given], request_id="mine", parameters={"top_k": 2})
    expected = predictor.predict(FILES, top_k=2)
    assert result.get_response().id == "mine"
    assert result.get_response().model_version == predictor.bundle.model_id
    assert result.as_numpy("labels").tolist() == [[label.encode() for label in one.labels] for one in expected]
    np.testing.assert_allclose(result.as_numpy("scores"), [one.scores for one in expected], atol=1e-6)
    assert result.as_numpy("abstained").tolist() == [one.abstained for one in expected]
    assert [tuple(json.loads(text)) for text in result.as_numpy("label_set")] == [one.label_set for one in expected]
    np.testing.assert_allclose(result.as_numpy("image_embeds"), predictor.embed_images(FILES), atol=1e-6)
    assert result.as_numpy("heat_map") is None

    one = triton.infer("clip-har", [given], outputs=[InferRequestedOutput("scores")])
    assert [output.name for output in one.get_response().outputs] == ["scores"]


def test_a_foreign_client_gets_predictions_for_ready_tensors(triton, predictor: Predictor) -> None:
    prepare = Preprocessor(predictor.preprocessing)
    pixels = np.stack([prepare(prepare.decode(file)) for file in FILES])
    result = triton.infer("clip-har", [infer_input("pixel_values", pixels, "FP32")])
    np.testing.assert_allclose(result.as_numpy("scores"), [one.scores for one in predictor.predict(FILES)], atol=1e-6)


def test_a_foreign_client_asks_for_labels_of_its_own(triton, predictor: Predictor) -> None:
    labels = ["surfing", "ironing"]
    inputs = [
        infer_input("images", np.array(FILES, dtype=np.object_), "BYTES"),
        infer_input("labels", np.array([label.encode() for label in labels], dtype=np.object_), "BYTES"),
    ]
    result = triton.infer("clip-har", inputs)
    expected = predictor.predict(FILES, labels)
    np.testing.assert_allclose(result.as_numpy("scores"), [one.scores for one in expected], atol=1e-5)
    assert not result.as_numpy("calibrated").any()
    assert result.as_numpy("label_set").tolist() == [b"null"] * 3


def request_for(**inputs) -> oip.ModelInferRequest:
    """A request with typed contents."""
    made = oip.ModelInferRequest(model_name="clip-har")
    for name, (datatype, shape, field, values) in inputs.items():
        tensor = made.inputs.add(name=name, datatype=datatype, shape=shape)
        getattr(tensor.contents, field).extend(values)
    return made


def test_typed_contents_are_answered_in_kind(service: Service, predictor: Predictor) -> None:
    request = request_for(images=("BYTES", [2, 1], "bytes_contents", FILES[:2]))
    response = service.open_inference.ModelInfer(request)
    assert not response.raw_output_contents
    found = {output.name: output for output in response.outputs}
    expected = predictor.predict(FILES[:2])
    assert list(found["scores"].shape) == [2, len(expected[0].scores)]
    np.testing.assert_allclose(
        found["scores"].contents.fp32_contents, np.ravel([one.scores for one in expected]), atol=1e-6
    )
    assert found["labels"].contents.bytes_contents[0].decode() == expected[0].label
    assert found["calibrated"].contents.bool_contents == [True, True]


def raw_request(data: bytes, *, name: str = "images", datatype: str = "BYTES", shape=(1,)) -> oip.ModelInferRequest:
    made = oip.ModelInferRequest(model_name="clip-har", raw_input_contents=[data])
    made.inputs.add(name=name, datatype=datatype, shape=shape)
    return made


def element(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def with_parameter(request: oip.ModelInferRequest, name: str, **value) -> oip.ModelInferRequest:
    request.parameters[name].CopyFrom(oip.InferParameter(**value))
    return request


def with_output(request: oip.ModelInferRequest, *names: str) -> oip.ModelInferRequest:
    for name in names:
        request.outputs.add(name=name)
    return request


GOOD = element(FILES[0])
MISTAKES = {
    "unknown model": (oip.ModelInferRequest(model_name="else"), "NOT_FOUND", "model_name"),
    "unknown version": (
        oip.ModelInferRequest(model_name="clip-har", model_version="7"),
        "NOT_FOUND",
        "model_version",
    ),
    "nothing": (oip.ModelInferRequest(model_name="clip-har"), "INVALID_ARGUMENT", "inputs"),
    "unknown input": (raw_request(GOOD, name="image"), "INVALID_ARGUMENT", "inputs[0].name"),
    "wrong type": (raw_request(GOOD, datatype="UINT8"), "INVALID_ARGUMENT", "inputs[0].datatype"),
    "negative shape": (raw_request(GOOD, shape=(-1,)), "INVALID_ARGUMENT", "inputs[0].shape"),
    "huge shape": (raw_request(GOOD, shape=(2**62, 2**62)), "INVALID_ARGUMENT", "inputs[0].shape"),
    "wrong count": (raw_request(GOOD, shape=(2,)), "INVALID_ARGUMENT", "inputs[0].shape"),
    "wrong rank": (raw_request(GOOD + GOOD, shape=(1, 2)), "INVALID_ARGUMENT", "images"),
    "no elements": (raw_request(b"", shape=(0,)), "INVALID_ARGUMENT", "images"),
    "length cut off": (raw_request(b"\1\0"), "INVALID_ARGUMENT", "inputs[0]"),
    "element cut off": (raw_request(GOOD[:-1]), "INVALID_ARGUMENT", "inputs[0]"),
    "no picture": (raw_request(element(b"no picture")), "INVALID_ARGUMENT", "images[0]"),
    "half a float": (raw_request(b"123", name="pixel_values", datatype="FP32"), "INVALID_ARGUMENT", "inputs[0]"),
    "flat pixels": (
        raw_request(b"1234", name="pixel_values", datatype="FP32"),
        "INVALID_ARGUMENT",
        "pixel_values",
    ),
    "other field": (
        request_for(images=("BYTES", [1], "fp32_contents", [1.0])),
        "INVALID_ARGUMENT",
        "inputs[0].contents",
    ),
    "too many raw": (
        oip.ModelInferRequest(model_name="clip-har", raw_input_contents=[b""]),
        "INVALID_ARGUMENT",
        "raw_input_contents",
    ),
    "unknown parameter": (
        with_parameter(raw_request(GOOD), "topk", int64_param=1),
        "INVALID_ARGUMENT",
        "parameters.topk",
    ),
    "parameter of a wrong type": (
        with_parameter(raw_request(GOOD), "top_k", string_param="2"),
        "INVALID_ARGUMENT",
        "parameters.top_k",
    ),
    "parameter out of range": (
        with_parameter(raw_request(GOOD), "threshold", double_param=1.5),
        "INVALID_ARGUMENT",
        "threshold",
    ),
    "unknown output": (with_output(raw_request(GOOD), "logits"), "INVALID_ARGUMENT", "outputs[0].name"),
    "output twice": (with_output(raw_request(GOOD), "scores", "scores"), "INVALID_ARGUMENT", "outputs"),
    "no heat map": (with_output(raw_request(GOOD), "heat_map"), "INVALID_ARGUMENT", "outputs[0]"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(service: Service, name: str) -> None:
    request, code, field = MISTAKES[name]
    with pytest.raises(grpc.RpcError) as caught:
        service.open_inference.ModelInfer(request)
    assert caught.value.code().name == code
    assert problem_of(caught.value)["field"] == field


def test_a_long_name_does_not_outgrow_a_header(service: Service) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        service.open_inference.ModelInfer(with_parameter(raw_request(GOOD), "跑" * 20_000, int64_param=1))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(problem_of(caught.value)["field"]) <= 100


def test_pixels_of_another_size_are_refused(service: Service) -> None:
    pixels = np.zeros((1, 3, 8, 8), dtype="<f4")
    with pytest.raises(grpc.RpcError) as caught:
        service.open_inference.ModelInfer(
            raw_request(pixels.tobytes(), name="pixel_values", datatype="FP32", shape=pixels.shape)
        )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_what_clients_send_of_themselves_is_let_through(service: Service) -> None:
    service.open_inference.ModelInfer(with_parameter(raw_request(GOOD), "priority", uint64_param=1))
