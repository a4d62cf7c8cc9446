"""Shapes of requests and answers: light, and strict where a mistake would go unseen."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from clip_har.serving import errors
from clip_har.serving.problems import as_service_error, problem
from clip_har.serving.schemas import PredictRequest, PredictResponse, Problem

HEAVY = ("torch", "fastapi", "grpc", "bentoml", "numpy", "PIL", "onnxruntime", "starlette", "google.protobuf")


def test_the_client_needs_nothing_but_pydantic() -> None:
    code = f"import sys, clip_har.serving.schemas\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_the_service_starts_without_what_it_does_not_need() -> None:
    names = ("torch", "transformers", "pandas", "sklearn", "mlflow", "zenml", "pyarrow", "grpc", "bentoml")
    code = f"import sys, clip_har.serving.rest.app\nprint(*(name for name in {names} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_requests_refuse_what_they_do_not_know_and_answers_pass_it_over() -> None:
    with pytest.raises(ValidationError):
        PredictRequest.model_validate({"images": ["AAAA"], "lables": ["a"]})
    answer = {"request_id": "r", "model_id": "m", "results": [RESULT], "of_a_later_version": 1}
    assert PredictResponse.model_validate(answer).results[0].label == "a"


RESULT = {
    "prediction_id": "p",
    "label": "a",
    "confidence": 1.0,
    "labels": [{"label": "a", "score": 1.0}],
    "abstained": False,
    "calibrated": True,
    "label_set": None,
}


@pytest.mark.parametrize(
    "kind",
    [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ServiceError)],
)
def test_every_error_is_a_problem(kind: type[errors.ServiceError]) -> None:
    error = kind("What was wrong.", field="images[0]", retry_after=0.25)
    members = problem(error, "abc")
    found = Problem.model_validate(members)
    assert (found.status, found.title, found.detail) == (kind.status, kind.title, "What was wrong.")
    assert (found.field, found.retry_after, found.request_id) == ("images[0]", 0.25, "abc")
    assert "request_id" not in problem(error)
    assert as_service_error(error) is error


def test_a_fault_of_ours_says_nothing_of_itself() -> None:
    error = as_service_error(KeyError("a secret"))
    assert (error.status, "secret" in str(error)) == (500, False)
