"""The OpenAPI document is whole, true, and what a fuzzer finds no hole in."""

from __future__ import annotations

import base64
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clip_har.serving.rest.app import make_app
from clip_har.serving.schemas import Problem
from clip_har.serving.security import Security
from tests.serving.rest.service import RestService, rest_service
from tests.serving.rest.stand_in import StandInEngine

CASES = int(os.environ.get("CLIP_HAR_FUZZ_CASES", "100"))
# What a schema cannot say: whether base64 is a picture, whether a report is there; and whether there is time.
_NOT_IN_A_SCHEMA = ["2xx", 404, 413, 415, 422, 429]
_REFUSED = [400, 401, 404, 405, 413, 415, 422]
_VARIED = 16  # cases that come of one example more for each operation


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    engine = StandInEngine(limits={"max_labels": 7, "max_top_k": 9, "max_images": 3})
    return make_app(engine, Security.from_config(engine.config)).openapi()  # type: ignore[arg-type]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_operation_of_the_service_is_there(document: dict[str, Any]) -> None:
    assert {(method, path) for method, path, _ in operations(document)} == {
        *(("POST", f"/v1/{name}") for name in ("predict", "embed", "feedback")),
        *(("GET", f"/v1/{name}") for name in ("labels", "model", "reports", "reports/{name}")),
        *(("GET", path) for path in ("/livez", "/readyz", "/healthz", "/metrics")),
        *(("GET", path) for path in ("/v2", "/v2/health/live", "/v2/health/ready")),
        *(("GET", f"/v2/models/{{name}}{path}") for path in ("", "/ready", "/versions/{version}")),
        ("GET", "/v2/models/{name}/versions/{version}/ready"),
        ("POST", "/v2/models/{name}/infer"),
        ("POST", "/v2/models/{name}/versions/{version}/infer"),
    }
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)


def test_problems_and_examples_are_there(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        statuses = set(operation["responses"])
        if method == "POST":
            assert {"400", "413", "415", "422", "429", "503", "408"} <= statuses, path
        for status, response in operation["responses"].items():
            if status != "200":
                shown = response["content"]["application/problem+json"]
                assert shown["schema"] == {"$ref": "#/components/schemas/Problem"}
                assert Problem.model_validate(shown["example"]).status == int(status)
                assert list(response["content"]) == ["application/problem+json"]
            assert "X-Request-ID" in response["headers"]
        assert operation["description"], path
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]["application/json"]
            assert "example" in content or "examples" in content, path


def test_the_pictures_of_the_examples_are_pictures() -> None:
    from clip_har.data.image import decode_image
    from clip_har.serving.rest.examples import REQUESTS

    shown = json.dumps(REQUESTS)
    found = set(re.findall(r'"images": \["([^"]+)"', shown))
    assert len(found) == 1
    assert decode_image(base64.b64decode(found.pop())).format == "PNG"


def test_the_limits_of_this_service_are_in_it(document: dict[str, Any]) -> None:
    for name in ("PredictRequest", "PredictForm"):
        fields = document["components"]["schemas"][name]["properties"]
        assert fields["top_k"]["maximum"] == 9
        assert fields["images"]["maxItems"] == 3
        assert "urls" not in fields
        labels = next(
            one for one in (fields["labels"], *fields["labels"].get("anyOf", ())) if one.get("type") == "array"
        )
        assert labels["maxItems"] == 7


def test_keys_are_in_it_if_they_are_wanted(monkeypatch: pytest.MonkeyPatch, document: dict[str, Any]) -> None:
    assert {} in document["paths"]["/v1/predict"]["post"]["security"]
    monkeypatch.setattr(Security, "wants_key", property(lambda self: True))
    engine = StandInEngine()
    keyed = make_app(engine, Security.from_config(engine.config)).openapi()  # type: ignore[arg-type]
    for _, path, operation in operations(keyed):
        if path.endswith(("z", "/live", "/ready")) and "models" not in path:
            assert "security" not in operation
        else:
            assert {} not in operation["security"], path
            assert "401" in operation["responses"], path


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    import jsonschema_rs

    for name, schema in document["components"]["schemas"].items():
        whole = schema | {"components": document["components"]}
        assert jsonschema_rs.meta.is_valid(whole), name


def test_the_document_as_a_page_loads_nothing(document: dict[str, Any]) -> None:
    from clip_har.serving.rest.reference import render_reference

    page = render_reference(document)
    assert "<h1>" in page
    for _, path, operation in operations(document):
        assert f"<code>{path}</code>" in page
        assert f'id="{operation["operationId"]}"' in page
    assert not re.findall(r'(?:src|href)="(?!#|openapi\.json)', page)
    assert "<script" not in page


# --- fuzzing ---


@pytest.fixture(scope="module")
def fuzzed(served_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestService]:
    with rest_service(
        served_bundle, workspace=tmp_path_factory.mktemp("workspace"), queue={"deadline_seconds": 60}
    ) as service:
        _ = service.engine.model().predictor.encoder  # torch: what the first heat map would wait for
        yield service


# A form has texts only: of a null or a number the word is sent, which is a label like another. In JSON they are refused.
_A_TEXT_IN_A_FORM = re.compile(r"\(was (array|string), became (null|integer|number|boolean|string)\)")


def findings(service: RestService, cases: int) -> tuple[int, Counter[str], list[str]]:
    """Have schemathesis try so many cases or more, with all of its checks; cases, checks that passed, what failed."""
    import schemathesis
    from schemathesis.engine import events, from_schema

    config = schemathesis.Config.from_dict(
        {
            "seed": 8,
            "generation": {"max-examples": max(1, cases // _VARIED)},
            "phases": {"coverage": {"enabled": cases >= 1000}},
            "checks": {
                "positive_data_acceptance": {"expected-statuses": _NOT_IN_A_SCHEMA},
                "negative_data_rejection": {"expected-statuses": _REFUSED},
            },
        }
    )
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json", config=config)
    tried, passed, failed = 0, Counter[str](), []
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError):
            failed.append(f"{event.label}: {event.value}")
        elif isinstance(event, events.FatalError):
            failed.append(f"{event.exception!r}")
        elif isinstance(event, events.ScenarioFinished):
            tried += len(event.recorder.cases)
            for case_id, checks in event.recorder.checks.items():
                form = event.recorder.cases[case_id].value.media_type == "multipart/form-data"
                for check in checks:
                    if check.failure_info is None:
                        passed[check.name] += 1
                    else:
                        failure = check.failure_info.failure
                        if form and _A_TEXT_IN_A_FORM.search(failure.message):
                            continue
                        failed.append(f"{event.recorder.label}: {failure.title}: {failure.message}")
    # Half a surrogate pair, say, cannot be sent from one of pytest's processes to another.
    return tried, passed, [said.encode("ascii", "backslashreplace").decode() for said in failed]


def test_a_fuzzer_finds_nothing(fuzzed: RestService) -> None:
    tried, passed, failed = findings(fuzzed, CASES)
    assert not failed, "\n\n".join(failed[:5])
    assert tried >= CASES
    for check in ("not_a_server_error", "response_schema_conformance", "negative_data_rejection", "unsupported_method"):
        assert passed[check] > CASES / 3, passed
    print(tried, dict(passed))
    assert fuzzed.engine.admission.depth == 0


@pytest.mark.slow
@pytest.mark.skipif("CLIP_HAR_FUZZ_CASES" in os.environ, reason="the case above runs them all")
@pytest.mark.thorough
def test_a_fuzzer_finds_nothing_in_many_cases(fuzzed: RestService) -> None:
    tried, _, failed = findings(fuzzed, 2000)
    assert not failed, "\n\n".join(failed[:5])
    assert tried >= 2000
