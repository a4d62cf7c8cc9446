"""Our own service: the Predictor's answers, picture by picture; every option; errors that say what is wrong."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest

from clip_har.capture.store import CaptureStore
from clip_har.inference.predictor import Predictor
from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1
from tests.serving.rpc.service import Service, grpc_service, picture, problem_of

FILES = [picture(seed, format=format) for seed, format in enumerate(("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"))]


@pytest.fixture(scope="module")
def predictor(served_bundle: Path) -> Predictor:
    return Predictor.load(served_bundle, "onnx", device="cpu", threads=1)


def images(*files: bytes) -> list[v1.Image]:
    return [v1.Image(content=file) for file in files]


def failure(call) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def test_the_answers_are_the_predictors(service: Service, predictor: Predictor) -> None:
    response = service.ours.Predict(v1.PredictRequest(images=images(*FILES)))
    assert response.model_id == predictor.bundle.model_id
    for expected, found in zip(predictor.predict(FILES), response.results, strict=True):
        assert tuple(one.label for one in found.labels) == expected.labels
        np.testing.assert_allclose([one.score for one in found.labels], expected.scores, atol=1e-6)
        assert (found.label, found.confidence) == (found.labels[0].label, found.labels[0].score)
        assert (found.abstained, found.calibrated) == (expected.abstained, True)
        assert tuple(found.label_set.labels) == expected.label_set
        assert set(found.seconds) == {"queue", "decode", "encode", "head"}
        assert not found.HasField("error")
    assert len({result.prediction_id for result in response.results}) == len(FILES)


def test_photographs_are_answered_as_by_the_predictor(service: Service, predictor: Predictor, har_folder: Path) -> None:
    files = [path.read_bytes() for path in sorted((har_folder / "train").glob("*.jpg"))[:8]]
    response = service.ours.Predict(v1.PredictRequest(images=images(*files), options=v1.PredictOptions(top_k=4)))
    for expected, found in zip(predictor.predict(files, top_k=4), response.results, strict=True):
        np.testing.assert_allclose([one.score for one in found.labels], expected.scores, atol=1e-6)


def test_every_option_reaches_the_predictor(service: Service, predictor: Predictor) -> None:
    labels, templates = ["surfing", "ironing", "fencing"], ["someone is {}", "a drawing of {}"]
    options = v1.PredictOptions(labels=labels, templates=templates, top_k=2, threshold=1)
    [found] = service.ours.Predict(v1.PredictRequest(images=images(FILES[0]), options=options)).results
    [expected] = predictor.predict([FILES[0]], labels, templates, 2, threshold=1)
    assert tuple(one.label for one in found.labels) == expected.labels
    np.testing.assert_allclose([one.score for one in found.labels], expected.scores, atol=1e-5)
    assert (found.abstained, found.calibrated, found.HasField("label_set")) == (True, False, False)

    [found] = service.ours.Predict(
        v1.PredictRequest(images=images(FILES[0]), options=v1.PredictOptions(coverage=0.99))
    ).results
    assert tuple(found.label_set.labels) == predictor.predict([FILES[0]], coverage=0.99)[0].label_set
    [found] = service.ours.Predict(
        v1.PredictRequest(images=images(FILES[0]), options=v1.PredictOptions(conformal=False))
    ).results
    assert not found.HasField("label_set")


@pytest.mark.slow
def test_a_heat_map_is_a_picture(served_bundle: Path) -> None:
    request = v1.PredictRequest(images=images(FILES[0]), options=v1.PredictOptions(explain=True))
    with grpc_service(served_bundle, queue={"deadline_seconds": 120}) as service:  # torch is imported first
        [found] = service.ours.Predict(request, timeout=120).results
    assert found.heat_map.startswith(b"\x89PNG")
    assert found.heat_map_label == found.label


def test_a_picture_that_cannot_be_used_has_an_error_of_its_own(service: Service) -> None:
    response = service.ours.Predict(v1.PredictRequest(images=images(FILES[0], b"no picture", b"", FILES[1][:200])))
    assert [result.error.status for result in response.results] == [0, 415, 422, 422]
    assert [result.error.code for result in response.results] == ["", "not_an_image", "empty_file", "truncated"]
    assert response.results[1].error.field == "images[1]"
    assert response.results[0].label
    assert not response.results[1].label


@pytest.mark.parametrize(
    ("files", "options", "code", "status", "field"),
    [
        ([b"no picture"], {}, "INVALID_ARGUMENT", 415, "images[0]"),
        ([b"no picture", b""], {}, "INVALID_ARGUMENT", 415, "images[0]"),
        ([], {}, "INVALID_ARGUMENT", 422, "images"),
        (FILES[:1] * 17, {}, "INVALID_ARGUMENT", 413, "images"),
        (FILES[:1], {"top_k": 0}, "INVALID_ARGUMENT", 422, "top_k"),
        (FILES[:1], {"threshold": float("nan")}, "INVALID_ARGUMENT", 422, "threshold"),
        (FILES[:1], {"coverage": 1.0}, "INVALID_ARGUMENT", 422, "coverage"),
        (FILES[:1], {"labels": ["running", "running"]}, "INVALID_ARGUMENT", 422, "labels"),
        (FILES[:1], {"labels": ["running", ""]}, "INVALID_ARGUMENT", 422, "labels[1]"),
        (FILES[:1], {"templates": ["nothing to fill in"]}, "INVALID_ARGUMENT", 422, "templates"),
    ],
)
def test_a_mistake_is_named(service: Service, files, options, code, status, field) -> None:
    request = v1.PredictRequest(images=images(*files), options=v1.PredictOptions(**options))
    error = failure(lambda: service.ours.Predict(request, metadata=(("x-request-id", "mine-7"),)))
    assert error.code().name == code
    problem = problem_of(error)
    assert (problem["status"], problem["field"], problem["request_id"]) == (status, field, "mine-7")
    assert problem["detail"] == error.details()


def test_urls_are_not_fetched_unless_allowed(service: Service) -> None:
    error = failure(lambda: service.ours.Predict(v1.PredictRequest(images=[v1.Image(url="http://127.0.0.1/x.jpg")])))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert problem_of(error)["field"] == "images[0].url"
    mixed = service.ours.Predict(
        v1.PredictRequest(images=[v1.Image(url="http://127.0.0.1/x.jpg"), v1.Image(content=FILES[0])])
    )
    assert [result.HasField("error") for result in mixed.results] == [True, False]


def test_a_quotation_does_not_outgrow_a_header(service: Service) -> None:
    labels = ["跑" * 100 for _ in range(100)]
    request = v1.PredictRequest(images=images(FILES[0]), options=v1.PredictOptions(labels=labels))
    error = failure(lambda: service.ours.Predict(request))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(problem_of(error)["detail"]) <= 300


def test_the_request_id_is_the_callers_if_it_is_sane(service: Service) -> None:
    request = v1.PredictRequest(images=images(FILES[0]))
    response, call = service.ours.Predict.with_call(request, metadata=(("x-request-id", "a-1"),))
    assert response.request_id == dict(call.trailing_metadata())["x-request-id"] == "a-1"
    odd = service.ours.Predict(request, metadata=(("x-request-id", 'a" b'),)).request_id
    assert len(odd) == 32
    assert odd != service.ours.Predict(request).request_id


def test_embeddings_are_the_predictors(service: Service, predictor: Predictor) -> None:
    response = service.ours.Embed(v1.EmbedRequest(images=images(*FILES[:3], b"no picture")))
    assert response.model_id == predictor.bundle.model_id
    found = np.array([one.values for one in response.embeddings[:3]])
    np.testing.assert_allclose(found, predictor.embed_images(FILES[:3]), atol=1e-6)
    assert response.embeddings[3].error.code == "not_an_image"
    assert failure(lambda: service.ours.Embed(v1.EmbedRequest())).code() is grpc.StatusCode.INVALID_ARGUMENT


def test_feedback_is_kept(service: Service) -> None:
    [result] = service.ours.Predict(v1.PredictRequest(images=images(FILES[0]))).results
    service.ours.Feedback(v1.FeedbackRequest(prediction_id=result.prediction_id, label="running"))
    service.engine.capture.flush()
    kept = CaptureStore(service.engine.capture.folder).feedback().to_pylist()
    assert any({result.prediction_id, "running"} <= set(map(str, row.values())) for row in kept)
    for identifier, label in (("no id", "running"), (result.prediction_id, " "), (result.prediction_id, "x" * 1000)):
        error = failure(lambda: service.ours.Feedback(v1.FeedbackRequest(prediction_id=identifier, label=label)))  # noqa: B023
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
