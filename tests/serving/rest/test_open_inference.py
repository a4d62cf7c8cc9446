"""The Open Inference Protocol over REST, asked by a foreign client, and by hand."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from clip_har.inference.predictor import Predictor
from clip_har.serving.schemas import InferResponse, ModelMetadata, Problem, ServerMetadata
from tests.serving.rest.service import RestService

triton = pytest.importorskip("tritonclient.http")
INFER = "/v2/models/clip-har/infer"


@pytest.fixture(scope="module")
def predictor(served_bundle: Path) -> Predictor:
    return Predictor.load(served_bundle, "onnx", device="cpu", threads=1)


@pytest.fixture(scope="module")
def foreign(service: RestService) -> Iterator[Any]:
    """NVIDIA's client."""
    client = triton.InferenceServerClient(service.url.removeprefix("http://"))
    yield client
    client.close()
    client.close = lambda: None  # it closes itself once more when it is collected, in whatever thread that is


def bytes_input(name: str, elements: list[bytes]) -> Any:
    given = triton.InferInput(name, [len(elements)], "BYTES")
    given.set_data_from_numpy(np.asarray(elements, dtype=np.object_))
    return given


def test_a_foreign_client_finds_the_model(foreign: Any, service: RestService) -> None:
    assert foreign.is_server_live()
    assert foreign.is_server_ready()
    assert foreign.is_model_ready("clip-har")
    assert not foreign.is_model_ready("another")
    model_id = service.engine.model().model_id
    assert foreign.is_model_ready("clip-har", model_id[:12])
    assert not foreign.is_model_ready("clip-har", "0" * 12)
    assert "binary_tensor_data" in foreign.get_server_metadata()["extensions"]
    told = foreign.get_model_metadata("clip-har")
    assert told["versions"] == [model_id]
    assert {"name": "pixel_values", "datatype": "FP32", "shape": [-1, 3, 32, 32]} in told["inputs"]


@pytest.mark.parametrize("binary", [True, False])
def test_a_foreign_client_gets_predictions(
    foreign: Any, predictor: Predictor, photos: list[bytes], binary: bool
) -> None:
    wanted = predictor.predict(photos[:3], top_k=2)
    names = ("labels", "scores", "image_embeds", "abstained", "label_set", "prediction_id")
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
    answer = foreign.infer("clip-har", [bytes_input("images", photos[:3])], outputs=outputs, parameters={"top_k": 2})
    labels = answer.as_numpy("labels")
    assert labels.shape == (3, 2)
    texts = [[one.decode() if isinstance(one, bytes) else one for one in row] for row in labels]
    assert texts == [list(one.labels) for one in wanted]
    np.testing.assert_allclose(answer.as_numpy("scores"), [one.scores for one in wanted], atol=1e-5)
    np.testing.assert_allclose(answer.as_numpy("image_embeds"), predictor.embed_images(photos[:3]), atol=1e-5)
    assert answer.as_numpy("abstained").dtype == np.bool_
    assert [json.loads(one) for one in answer.as_numpy("label_set")] == [list(one.label_set or ()) for one in wanted]
    assert len({bytes(one) if binary else one for one in answer.as_numpy("prediction_id")}) == 3
    assert answer.get_response()["model_version"] == predictor.bundle.model_id


def test_all_outputs_if_none_is_named(foreign: Any, service: RestService, photos: list[bytes]) -> None:
    _ = service.engine.model().predictor.encoder  # torch: what the first heat map would wait for
    answer = foreign.infer("clip-har", [bytes_input("images", photos[:1])], request_id="r1")
    assert answer.get_response()["id"] == "r1"
    assert {one["name"] for one in answer.get_response()["outputs"]} == {
        *("labels", "scores", "abstained", "calibrated", "label_set", "prediction_id", "image_embeds")
    }
    explained = foreign.infer("clip-har", [bytes_input("images", photos[:1])], parameters={"explain": True})
    assert explained.as_numpy("heat_map")[0].startswith(b"\x89PNG")


@pytest.mark.parametrize("binary", [True, False])
def test_ready_tensors(foreign: Any, predictor: Predictor, photos: list[bytes], binary: bool) -> None:
    pixels = np.stack([predictor._pictures.load(photo) for photo in photos[:2]])
    given = triton.InferInput("pixel_values", list(pixels.shape), "FP32")
    given.set_data_from_numpy(pixels, binary_data=binary)
    answer = foreign.infer("clip-har", [given])
    np.testing.assert_allclose(answer.as_numpy("image_embeds"), predictor.embed_images(photos[:2]), atol=1e-5)
    assert [row[0].decode() for row in answer.as_numpy("labels")] == [
        one.label for one in predictor.predict(photos[:2])
    ]


def test_labels_of_the_callers_own(foreign: Any, predictor: Predictor, photos: list[bytes]) -> None:
    labels = ["cycling", "žvýkání", "sitting"]
    given = [bytes_input("images", photos[:1]), bytes_input("labels", [label.encode() for label in labels])]
    answer = foreign.infer("clip-har", given)
    (wanted,) = predictor.predict(photos[:1], labels=labels)
    assert [one.decode() for one in answer.as_numpy("labels")[0]] == list(wanted.labels)
    np.testing.assert_allclose(answer.as_numpy("scores")[0], wanted.scores, atol=1e-5)
    assert not answer.as_numpy("calibrated")[0]
    assert json.loads(answer.as_numpy("label_set")[0]) is None


def test_a_certain_version(foreign: Any, service: RestService, photos: list[bytes]) -> None:
    model_id = service.engine.model().model_id
    images = [bytes_input("images", photos[:1])]
    assert foreign.infer("clip-har", images, model_version=model_id).get_response()["model_version"] == model_id
    with pytest.raises(triton.InferenceServerException, match="no version"):
        foreign.infer("clip-har", images, model_version="0123456789")


def test_a_foreign_client_reads_our_errors(foreign: Any, photos: list[bytes]) -> None:
    with pytest.raises(triton.InferenceServerException, match="allowed format") as refused:
        foreign.infer("clip-har", [bytes_input("images", [photos[0], b"no picture"])])
    assert refused.value.status() == "415"


def test_answers_have_their_shapes(client: httpx.Client, photos: list[bytes]) -> None:
    assert ServerMetadata.model_validate_json(client.get("/v2").content).name == "clip-har"
    ModelMetadata.model_validate_json(client.get("/v2/models/clip-har").content)
    data = [base64.b64encode(photos[0]).decode()]
    body = {"id": "7", "inputs": [{"name": "images", "datatype": "BYTES", "shape": [1, 1], "data": [data]}]}
    answer = client.post(INFER, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    found = InferResponse.model_validate_json(answer.content)
    assert found.id == "7"
    assert {tensor.name: tensor.shape for tensor in found.outputs}["labels"] == [1, 4]


def image(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["AAAA"]} | changes]}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (image(datatype="FP32"), 422, "inputs[0].datatype"),
        (image(shape=[2]), 422, "inputs[0].shape"),
        (image(shape=[-1]), 422, "inputs[0].shape"),
        (image(shape=[1, 2]), 422, "inputs[0].shape"),
        (image(shape=[2**40, 2**40]), 422, "inputs[0].shape"),
        (image(shape=[]), 422, "inputs[0].shape"),
        (image(data=[1]), 422, "inputs[0].data"),
        (image(data=["A"]), 422, "inputs[0].data[0]"),
        (image(data=None), 422, "inputs[0].data"),
        (image(name="pictures"), 422, "inputs[0].name"),
        (image(parameters={"shared_memory_region": "r"}), 422, "inputs[0].parameters"),
        (image(data=None, parameters={"binary_data_size": 4}), 400, "inputs[0]"),
        (image(data=None, parameters={"binary_data_size": -4}), 422, "inputs[0].parameters.binary_data_size"),
        (image(parameters={"binary_data_size": 0}), 422, "inputs[0].data"),
        (image() | {"parameters": {"top_k": 0}}, 422, "top_k"),
        (image() | {"parameters": {"top_k": "5"}}, 422, "top_k"),
        (image() | {"parameters": {"colour": 1}}, 422, "parameters"),
        (image() | {"parameters": {"binary_data_output": 1}}, 422, "parameters.binary_data_output"),
        (image() | {"outputs": [{"name": "colour"}]}, 422, "outputs[0].name"),
        (image() | {"outputs": [{"name": "heat_map"}]}, 422, "outputs[0]"),
        (
            image() | {"outputs": [{"name": "labels", "parameters": {"classification": 2}}]},
            422,
            "outputs[0].parameters",
        ),
        ({"inputs": []}, 422, "inputs"),
        ({"inputs": image()["inputs"] * 2}, 422, "inputs"),
        ({"inputs": [{"name": "labels", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}, 422, "inputs"),
        (
            {"inputs": [{"name": "pixel_values", "datatype": "FP32", "shape": [1, 3, 2, 2], "data": [0] * 12}]},
            422,
            None,
        ),
        ({"inputs": [{"name": "pixel_values", "datatype": "FP32", "shape": [2], "data": [0, "1"]}]}, 422, None),
        ({"inputs": [{"name": "pixel_values", "datatype": "FP32", "shape": [1], "data": [1e300]}]}, 422, None),
        ({"inputs": [{"name": "pixel_values", "datatype": "FP32", "shape": [0, 3, 32, 32], "data": []}]}, 422, None),
        (image(), 415, "images[0]"),
        ([], 422, None),
    ],
)
def test_what_cannot_be_inferred(client: httpx.Client, body: Any, status: int, field: str | None) -> None:
    answer = client.post(INFER, json=body)
    assert answer.status_code == status, answer.text
    problem = Problem.model_validate_json(answer.content)
    assert problem.error == problem.detail
    assert field is None or problem.field == field


@pytest.mark.parametrize(
    ("length", "rest", "status"),
    [
        ("0", b"", 400),
        ("-1", b"", 400),
        ("x", b"", 400),
        ("99999", b"", 400),
        ("²", b"", 400),
        (None, b"\x04\0\0", 400),
        (None, b"\xff\xff\xff\x7f", 400),
        (None, b"\x02\0\0\0ab" + b"left over", 400),
        (None, b"\x02\0\0\0ab", 415),
    ],
)
def test_binary_data_that_do_not_fit(client: httpx.Client, length: str | None, rest: bytes, status: int) -> None:
    size = len(rest.removesuffix(b"left over"))
    described = json.dumps(image(data=None, parameters={"binary_data_size": size})).encode()
    header = {"Inference-Header-Content-Length": (length or str(len(described))).encode("utf-8")}
    answer = client.post(INFER, content=described + rest, headers=header)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text


def test_binary_data_of_several_tensors_follow_each_other(
    client: httpx.Client, predictor: Predictor, photos: list[bytes]
) -> None:
    """Labels first, then the pictures: each takes its own."""
    packed = {
        "labels": b"".join(struct.pack("<I", len(label)) + label for label in (b"running", b"sitting")),
        "images": struct.pack("<I", len(photos[0])) + photos[0],
    }
    inputs = [
        {
            "name": name,
            "datatype": "BYTES",
            "shape": [2 if name == "labels" else 1],
            "parameters": {"binary_data_size": len(data)},
        }
        for name, data in packed.items()
    ]
    described = json.dumps({"inputs": inputs, "outputs": [{"name": "scores"}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(described)), "content-type": "application/octet-stream"}
    answer = client.post(INFER, content=described + b"".join(packed.values()), headers=headers)
    assert answer.status_code == 200, answer.text
    (wanted,) = predictor.predict(photos[:1], labels=["running", "sitting"])
    np.testing.assert_allclose(answer.json()["outputs"][0]["data"], wanted.scores, atol=1e-5)


@pytest.mark.parametrize(
    "path", ["/v2/models/another", "/v2/models/clip-har/versions/00000000", "/v2/models/clip-har/versions/3"]
)
def test_names_and_versions_that_are_not_there(client: httpx.Client, path: str) -> None:
    for tail in ("", "/ready"):
        assert client.get(path + tail).status_code == 404
    assert client.post(f"{path}/infer", json=image()).status_code == 404
