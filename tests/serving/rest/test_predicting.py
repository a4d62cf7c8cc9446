"""Pictures over REST: the Predictor's own answers, and one shape of error for those that cannot be used."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from clip_har.inference.predictor import Predictor
from clip_har.serving.schemas import EmbedResponse, FeedbackResponse, PredictionResult, PredictResponse, Problem
from tests.serving.rest.service import RestService, rest_service


@pytest.fixture(scope="module")
def predictor(served_bundle: Path) -> Predictor:
    """The same model, in this process."""
    return Predictor.load(served_bundle, "onnx", device="cpu", threads=1)


def by_form(client: httpx.Client, *images: bytes, **fields: Any) -> httpx.Response:
    files = [("images", (f"{place}.jpg", image)) for place, image in enumerate(images)]
    return client.post("/v1/predict", files=files, data=fields)


def by_json(client: httpx.Client, *images: bytes, **fields: Any) -> httpx.Response:
    return client.post("/v1/predict", json={"images": [base64.b64encode(image).decode() for image in images], **fields})


def results(response: httpx.Response) -> list[PredictionResult]:
    assert response.status_code == 200, response.text
    return PredictResponse.model_validate_json(response.content).results


def problem(response: httpx.Response, status: int, code: str | None = None, field: str | None = None) -> Problem:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(response.content)
    assert found.status == status
    assert found.request_id == response.headers["x-request-id"]
    assert code is None or found.code == code
    assert field is None or found.field == field
    return found


def same(found: list[PredictionResult], wanted: list[Any]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert [pair.label for pair in one.labels] == list(other.labels)
        np.testing.assert_allclose(
            [pair.score for pair in one.labels], other.scores, atol=1e-5
        )  # DESIGN: whatever shares its batch
        assert one.label == other.label
        assert one.confidence == one.labels[0].score
        assert (one.abstained, one.calibrated) == (other.abstained, other.calibrated)
        assert one.label_set == (None if other.label_set is None else list(other.label_set))
        assert one.error is None


@pytest.mark.parametrize("send", [by_form, by_json])
def test_answers_are_the_predictors(client: httpx.Client, predictor: Predictor, photos: list[bytes], send: Any) -> None:
    for photo in photos[:4]:
        same(results(send(client, photo)), predictor.predict([photo]))
    same(results(send(client, *photos[:8], top_k=2)), predictor.predict(photos[:8], top_k=2))
    found = results(send(client, photos[0], threshold=0.3, coverage=0.6))
    same(found, predictor.predict([photos[0]], threshold=0.3, coverage=0.6))
    assert set(found[0].seconds) == {"queue", "decode", "encode", "head"}


@pytest.mark.parametrize("send", [by_form, by_json])
def test_labels_of_the_callers_own(client: httpx.Client, predictor: Predictor, photos: list[bytes], send: Any) -> None:
    labels, templates = ["riding a bicycle", "sitting", "žvýkání"], ["a photo of a person {}.", "someone {}"]
    found = results(send(client, photos[0], labels=labels))
    same(found, predictor.predict([photos[0]], labels=labels))
    assert not found[0].calibrated
    assert found[0].label_set is None
    asked = {"labels": labels, "templates": templates}
    same(results(send(client, photos[0], **asked)), predictor.predict([photos[0]], **asked))
    (unsure,) = results(send(client, photos[0], labels=labels, threshold=0.999))
    assert unsure.abstained


def test_photographs_of_the_data_set_too(client: httpx.Client, predictor: Predictor, har_folder: Path) -> None:
    photos = [path.read_bytes() for path in sorted((har_folder / "train").glob("*.jpg"))[:40]]
    for start in range(0, len(photos), 8):
        some = photos[start : start + 8]
        same(results(by_form(client, *some)), predictor.predict(some))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format(client: httpx.Client, predictor: Predictor, photos: list[bytes], kind: str) -> None:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photos[0])).save(buffer, kind)
    same(results(by_form(client, buffer.getvalue())), predictor.predict([buffer.getvalue()]))


def test_a_label_set_only_if_it_is_wanted(client: httpx.Client, photos: list[bytes]) -> None:
    assert results(by_form(client, photos[0]))[0].label_set
    assert results(by_form(client, photos[0], conformal="false"))[0].label_set is None
    assert results(by_json(client, photos[0], conformal=False))[0].label_set is None


def test_a_heat_map_if_it_is_wanted(client: httpx.Client, service: RestService, photos: list[bytes]) -> None:
    _ = service.engine.model().predictor.encoder  # torch: what the first one would wait for
    assert results(by_form(client, photos[0]))[0].heat_map is None
    (found,) = results(by_form(client, photos[0], explain="true"))
    assert found.heat_map is not None
    assert found.heat_map_label == found.label
    shown = Image.open(io.BytesIO(base64.b64decode(found.heat_map)))
    assert (shown.format, shown.size) == ("PNG", Image.open(io.BytesIO(photos[0])).size)


def test_a_bad_picture_among_good_ones_is_its_own_affair(
    client: httpx.Client, predictor: Predictor, photos: list[bytes]
) -> None:
    found = results(by_form(client, photos[0], b"no picture", photos[1], photos[2][:500], b""))
    same([found[0], found[2]], predictor.predict(photos[:2]))
    errors = [found[place].error for place in (1, 3, 4)]
    assert [(error.code, error.status, error.field) for error in errors if error is not None] == [
        ("not_an_image", 415, "images[1]"),
        ("truncated", 422, "images[3]"),
        ("empty_file", 422, "images[4]"),
    ]
    assert all(error is not None and error.request_id is None for error in errors)
    assert [found[1].label, found[1].prediction_id, found[1].labels] == [None, None, []]


def test_one_picture_that_cannot_be_used_is_the_requests_error(client: httpx.Client, photos: list[bytes]) -> None:
    problem(by_form(client, b"no picture"), 415, "not_an_image", "images[0]")
    problem(by_form(client, photos[0][:500]), 422, "truncated", "images[0]")
    problem(by_json(client, b"GIF89a"), 415, "not_an_image", "images[0]")
    problem(by_form(client, b"no picture", b""), 415, "not_an_image", "images[0]")


def test_a_bomb_is_refused(client: httpx.Client) -> None:
    buffer = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(buffer, "PNG")
    problem(by_form(client, buffer.getvalue()), 413, "too_many_pixels", "images[0]")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"top_k": 0}, "top_k"),
        ({"top_k": "many"}, "top_k"),
        ({"top_k": 101}, "top_k"),
        ({"threshold": 1.5}, "threshold"),
        ({"coverage": 0}, "coverage"),
        ({"coverage": 1.0}, "coverage"),
        ({"coverage": 0.9, "labels": ["a", "b"]}, "coverage"),
        ({"labels": ["a", " "]}, "labels[1]"),
        ({"labels": ["a", "a"]}, "labels"),
        ({"labels": ["x" * 101]}, "labels[0]"),
        ({"labels": ["a", "b"], "templates": ["no place"]}, "templates"),
        ({"labels": ["a", "b"], "explain": "true"}, "explain"),
        ({"lables": "a"}, "lables"),
        ({"urls": ["https://example.com/a.jpg"]}, "urls"),
    ],
)
def test_what_cannot_be_asked(client: httpx.Client, photos: list[bytes], fields: dict[str, Any], field: str) -> None:
    problem(by_form(client, photos[0], **fields), 422, field=field)
    typed = {name: value == "true" if name == "explain" else value for name, value in fields.items()}
    problem(by_json(client, photos[0], **typed), 422, field=field)


def test_more_pictures_or_texts_than_allowed(client: httpx.Client, photos: list[bytes]) -> None:
    problem(by_form(client, *photos[:1] * 17), 413, "too_large", "images")
    problem(by_json(client, *photos[:1] * 17), 413, "too_large", "images")
    labels = [f"label {number}" for number in range(101)]
    problem(by_form(client, photos[0], labels=labels), 422, field="labels")
    problem(by_form(client, photos[0], labels=[*labels, *labels]), 413, "too_large")


def test_a_picture_in_a_field_of_another_name_is_told_which_it_wants(client: httpx.Client, photos: list[bytes]) -> None:
    problem = client.post("/v1/predict", files={"image": photos[0]})
    assert (problem.status_code, problem.json()["field"]) == (422, "image")
    assert "pictures go into `images`" in problem.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "body"),
        (b"{", 400, "body"),
        (b"[1]", 422, None),
        (b'{"images": []}', 422, "images"),
        (b"{}", 422, "images"),
        (b'{"images": "AAAA"}', 422, "images"),
        (b'{"images": ["A=A"]}', 422, "images[0]"),
        (b'{"images": ["AAAA"], "threshold": NaN}', 422, "threshold"),
        (b'{"images": ["AAAA"], "top_k": true}', 422, "top_k"),
        (b'{"images": ["\\ud800"]}', 400, "body"),
        (b"[" * 10_000, 400, "body"),
        (b'{"images": ["AAAA"], "labels": ["' + b"\xff" + b'"]}', 400, "body"),
    ],
)
def test_bodies_that_are_not_what_they_should_be(
    client: httpx.Client, body: bytes, status: int, field: str | None
) -> None:
    answer = client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    problem(answer, status, field=field)


def test_several_mistakes_are_told_at_once(client: httpx.Client, photos: list[bytes]) -> None:
    found = problem(by_json(client, photos[0], top_k="a", threshold=7, colour="red"), 422)
    assert {error.field for error in found.errors or ()} == {"top_k", "threshold", "colour"}


def test_base64_may_be_wrapped(client: httpx.Client, predictor: Predictor, photos: list[bytes]) -> None:
    wrapped = base64.encodebytes(photos[0]).decode()
    same(results(client.post("/v1/predict", json={"images": [wrapped]})), predictor.predict(photos[:1]))


def test_a_large_body_is_answered(client: httpx.Client, predictor: Predictor) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1700, 1800, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "BMP")
    data = buffer.getvalue()
    assert len(data) > 9_000_000
    same(results(by_form(client, data)), predictor.predict([data]))
    problem(by_json(client, data), 413, "too_large", "body")


def test_embeddings_are_the_predictors(client: httpx.Client, predictor: Predictor, photos: list[bytes]) -> None:
    files = [("images", photo) for photo in (photos[0], b"no picture", photos[1])]
    answer = client.post("/v1/embed", files=files)
    assert answer.status_code == 200
    found = EmbedResponse.model_validate_json(answer.content)
    vectors = [found.results[0].embedding, found.results[2].embedding]
    np.testing.assert_allclose(np.asarray(vectors), predictor.embed_images(photos[:2]), atol=1e-6)
    assert found.results[1].embedding is None
    assert found.results[1].error is not None
    assert found.results[1].error.code == "not_an_image"
    assert found.dimensions == len(vectors[0] or ()) == 16
    problem(client.post("/v1/embed", files={"images": b"no picture"}), 415, "not_an_image")
    problem(client.post("/v1/embed", files={"images": photos[0]}, data={"top_k": "3"}), 422, field="top_k")


def test_feedback_is_on_disk_when_it_is_answered(
    client: httpx.Client, service: RestService, photos: list[bytes]
) -> None:
    from clip_har.capture.store import CaptureStore

    prediction_id = results(by_form(client, photos[0]))[0].prediction_id
    answer = client.post("/v1/feedback", json={"prediction_id": prediction_id, "label": "sitting"})
    assert answer.status_code == 200
    assert FeedbackResponse.model_validate_json(answer.content).label == "sitting"
    assert service.engine.capture is not None
    rows = CaptureStore(service.engine.capture.folder).feedback().to_pylist()
    assert [(row["prediction_id"], row["label"]) for row in rows] == [(prediction_id, "sitting")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prediction_id": "x", "label": "a"}, "prediction_id"),
        ({"prediction_id": "5f0c" * 8, "label": " "}, "label"),
        ({"prediction_id": "5f0c" * 8, "label": "x" * 101}, "label"),
        ({"prediction_id": "5f0c" * 8}, "label"),
        ({"prediction_id": "5f0c" * 8, "label": "a", "more": 1}, "more"),
    ],
)
def test_feedback_that_cannot_be_kept(client: httpx.Client, body: dict[str, Any], field: str) -> None:
    problem(client.post("/v1/feedback", json=body), 422, field=field)
    content = json.dumps(body)
    problem(client.post("/v1/feedback", content=content, headers={"content-type": "text/plain"}), 415)


def test_pictures_behind_urls_if_that_is_switched_on(
    served_bundle: Path, predictor: Predictor, photos: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from clip_har.serving.errors import Unprocessable
    from clip_har.serving.security import Security

    async def fetch(self: Security, url: str, max_bytes: int, field: str = "url") -> bytes:
        if url.endswith("missing.jpg"):
            raise Unprocessable(f"{url} answers 404.", field=field)
        return b"no picture" if url.endswith("text.jpg") else photos[1]

    monkeypatch.setattr(Security, "fetch", fetch)
    host = "https://pictures.example.com"
    with (
        rest_service(served_bundle, security={"url_hosts": ["pictures.example.com"]}) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        urls = [f"{host}/missing.jpg", f"{host}/a.jpg", f"{host}/text.jpg"]
        found = results(by_form(client, photos[0], urls=urls))
        same([found[0], found[2]], predictor.predict(photos[:2]))
        assert [(one.error.code, one.error.field) for one in found if one.error is not None] == [
            ("unprocessable", "urls[0]"),
            ("not_an_image", "urls[2]"),
        ]
        same(results(client.post("/v1/predict", json={"urls": [f"{host}/a.jpg"]})), predictor.predict(photos[1:2]))
        problem(client.post("/v1/predict", json={"urls": [f"{host}/missing.jpg"]}), 422, field="urls[0]")
        problem(client.post("/v1/predict", json={"urls": ["file:///etc/passwd"]}), 422, field="urls[0]")
        document = client.get("/openapi.json").json()["components"]["schemas"]
        assert "urls" in document["PredictRequest"]["properties"]
