"""Mutated files over REST: an answer or a problem of the caller's, never a fault of the service's."""

from __future__ import annotations

import base64
import io
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from clip_har.serving.schemas import PredictResponse, Problem
from tests.inference.test_mutated_images import FORMATS, HAR, mutated
from tests.serving.rest.service import RestService

MOST = 16  # pictures in a request


@pytest.fixture(scope="module")
def sources(photos: list[bytes]) -> list[bytes]:
    """Pictures in all formats: real photographs where they are, and the tiny model's."""
    found = []
    for data in [*photos[:3], *(path.read_bytes() for path in sorted(HAR.glob("*.jpg"))[:3])]:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        for name in FORMATS:
            buffer = io.BytesIO()
            image.save(buffer, name)
            found.append(buffer.getvalue())
    return found


@pytest.mark.parametrize("cases", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_mutated_file_is_answered_or_refused(
    client: httpx.Client, service: RestService, sources: list[bytes], cases: int
) -> None:
    generator = np.random.default_rng(1)
    outcomes: Counter[str] = Counter()
    for number in range(cases):
        data = mutated(sources[number % len(sources)], generator)
        if number % 4:
            answer = client.post("/v1/predict", files={"images": ("a", data)})
        elif data:
            answer = client.post("/v1/predict", json={"images": [base64.b64encode(data).decode()]})
        else:
            continue
        if answer.status_code == 200:
            (result,) = PredictResponse.model_validate_json(answer.content).results
            assert sum(pair.score for pair in result.labels) == pytest.approx(1, abs=1e-4)
            outcomes["answered"] += 1
        else:
            problem = Problem.model_validate_json(answer.content)
            assert (answer.status_code, problem.status) in {(413, 413), (415, 415), (422, 422)}, problem
            assert problem.field == "images[0]"
            outcomes[problem.code] += 1
    assert outcomes["answered"] > cases / 10
    assert len(outcomes) > 3, outcomes
    assert service.engine.admission.depth == 0


def test_many_in_one_request(client: httpx.Client, sources: list[bytes]) -> None:
    generator = np.random.default_rng(2)
    for start in range(0, 96, MOST):
        some = [mutated(source, generator) for source in (sources * 6)[start : start + MOST]]
        answer = client.post("/v1/predict", files=[("images", ("a", data)) for data in some])
        assert answer.status_code == 200, answer.text
        results = PredictResponse.model_validate_json(answer.content).results
        assert len(results) == len(some)
        assert all((result.error is None) == (result.label is not None) for result in results)


def test_the_answer_is_the_predictors_for_what_is_left_of_a_picture(
    client: httpx.Client, served_bundle: Path, sources: list[bytes]
) -> None:
    from clip_har.inference.predictor import Predictor

    predictor = Predictor.load(served_bundle, "onnx", device="cpu", threads=1)
    generator = np.random.default_rng(3)
    for number in range(60):
        data = mutated(sources[number % len(sources)], generator)
        (wanted,) = predictor.predict([data])
        answer = client.post("/v1/predict", files={"images": ("a", data)})
        if wanted.error is None:
            (result,) = PredictResponse.model_validate_json(answer.content).results
            assert [pair.label for pair in result.labels] == list(wanted.labels)
            np.testing.assert_allclose([pair.score for pair in result.labels], wanted.scores, atol=1e-5)
        else:
            assert Problem.model_validate_json(answer.content).code == wanted.error.reason
