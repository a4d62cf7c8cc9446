"""The OpenAPI document: what FastAPI finds, and what it cannot: bodies read by hand, problems, limits, keys."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from clip_har.serving.problems import TYPE
from clip_har.serving.rest.examples import ANSWERS, PROBLEMS, REQUESTS
from clip_har.serving.schemas import (
    EmbedRequest,
    FeedbackRequest,
    InferRequest,
    PredictOptions,
    PredictRequest,
    Problem,
)
from clip_har.serving.schemas.problem import MEDIA_TYPE

if TYPE_CHECKING:
    from clip_har.serving.config import ServingConfig

_REFERENCE = "#/components/schemas/{model}"
_ASKING = (400, 401, 408, 413, 415, 422, 429, 500, 503)
_LOOKING = (401, 429, 500, 503)
_TAGS = {
    "recognising": "Pictures in, actions out.",
    "about": "What is served.",
    "open inference protocol": "The Open Inference Protocol, version 2, with binary tensor data: for clients such as `tritonclient`.",
    "operations": "For those who run the service.",
}


def documented(
    name: str,
    answer: type[BaseModel] | None,
    *,
    tag: str = "recognising",
    problems: Sequence[int] | None = None,
    content: dict[str, Any] | None = None,
    operation_id: str | None = None,
) -> dict[str, Any]:
    """Arguments for FastAPI's `add_api_route`.

    Args:
        name: of the operation.
        answer: shape of a good answer in JSON.
        problems: statuses of the problems that it may be answered with.
        content: media types of a good answer besides JSON.
    """
    problems = (_ASKING if name in REQUESTS else _LOOKING) if problems is None else problems
    shown = {} if answer is None else {"application/json": _example(ANSWERS.get(name))}
    good = {"description": "Answered.", "headers": _HEADERS, "content": {**shown, **(content or {})}}
    extra: dict[str, Any] = {"requestBody": REQUESTS[name]} if name in REQUESTS else {}
    return {
        "name": name,
        "operation_id": operation_id or name,
        "tags": [tag],
        "response_model": answer,
        "responses": {200: good, **{status: _problem(status) for status in problems}},
        "openapi_extra": extra,
    }


def describe(app: FastAPI, config: ServingConfig, version: str, *, wants_key: bool, fetches: bool) -> dict[str, Any]:
    """The document of an app, with the limits of this service.

    Args:
        wants_key: whether an API key is wanted.
        fetches: whether pictures may be given by URL.
    """
    document = get_openapi(
        title="clip-har",
        version=version,
        summary="Recognises human actions in photographs.",
        description=_DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = document["components"]["schemas"]
    for model in (PredictRequest, EmbedRequest, FeedbackRequest, InferRequest, Problem):
        _add(schemas, model)
    schemas["PredictForm"] = _form(PredictOptions, "Pictures as files, and how they are to be scored.")
    schemas["EmbedForm"] = _form(None, "Pictures as files.")
    _limit(schemas, config, fetches)
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "key": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "The same, for clients that cannot.",
        },
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path not in OPEN_PATHS:
                operation["security"] = (
                    [{"bearer": []}, {"key": []}] if wants_key else [{}, {"bearer": []}, {"key": []}]
                )
            if not wants_key or path in OPEN_PATHS:
                operation["responses"].pop("401", None)
            if MEDIA_TYPE not in operation["responses"].get("422", {"content": {MEDIA_TYPE: {}}})["content"]:
                del operation["responses"]["422"]  # FastAPI's own, for path parameters that take any text
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return document


OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthz", "/v2/health/live", "/v2/health/ready"})
"""Answered without a key: probes have none."""


def _problem(status: int) -> dict[str, Any]:
    title, example = PROBLEMS[status]
    headers = dict(_HEADERS)
    if status in (429, 503):
        headers["Retry-After"] = {
            "description": "Whole seconds after which to try again, where that makes sense.",
            "schema": {"type": "integer", "minimum": 1},
        }
    whole = {
        "type": TYPE + example["code"],
        "title": title,
        "status": status,
        **example,
        "request_id": "9b2f6c1e0d8e4f0f8a7c5b3a1d2e4f60",
    }
    schema = {"$ref": _REFERENCE.format(model="Problem")}
    return {
        "description": title,
        "headers": headers,
        "content": {MEDIA_TYPE: {"schema": schema, "example": whole}},
    }


def _example(value: Any) -> dict[str, Any]:
    return {} if value is None else {"example": value}


def _add(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    schema = model.model_json_schema(ref_template=_REFERENCE)
    for name, definition in schema.pop("$defs", {}).items():
        schemas.setdefault(name, definition)
    schemas[model.__name__] = schema


def _form(options: type[BaseModel] | None, description: str) -> dict[str, Any]:
    """The form's fields: those of JSON, without null, and the pictures as files."""
    properties = {} if options is None else copy.deepcopy(options.model_json_schema()["properties"])
    for field in properties.values():
        either = [one for one in field.pop("anyOf", ()) if one.get("type") != "null"]
        if either:
            field.update(either[0])
        if field.get("default", ...) is None:
            del field["default"]
    picture = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
    urls = copy.deepcopy(EmbedRequest.model_json_schema()["properties"]["urls"])
    urls.update(next(one for one in urls.pop("anyOf") if one.get("type") != "null"))
    urls.pop("default", None)
    return {
        "type": "object",
        "title": "Form",
        "description": description,
        "additionalProperties": False,
        "properties": {
            "images": {"type": "array", "items": picture, "minItems": 1, "description": "Image files."},
            "urls": urls,
            **properties,
        },
    }


def _limit(schemas: dict[str, Any], config: ServingConfig, fetches: bool) -> None:
    """Write this service's limits into the shapes of requests."""
    limits = config.limits
    for name in ("PredictRequest", "EmbedRequest", "PredictForm", "EmbedForm"):
        schema = schemas[name]
        fields = schema["properties"]
        _lists(fields.get("labels"), limits.max_labels, limits.max_label_characters)
        _lists(fields.get("templates"), limits.max_templates, limits.max_template_characters)
        _lists(fields["images"], limits.max_images, None)
        _lists(fields["urls"], limits.max_images, None)
        if "top_k" in fields:
            fields["top_k"]["maximum"] = limits.max_top_k
        if fetches:
            schema["anyOf"] = [{"required": ["images"]}, {"required": ["urls"]}]
        else:
            del fields["urls"]
            schema["required"] = ["images"]
            if "anyOf" in fields["images"]:
                fields["images"].update(fields["images"].pop("anyOf")[0])
                fields["images"].pop("default", None)
    schemas["FeedbackRequest"]["properties"]["label"]["maxLength"] = limits.max_label_characters


def _lists(field: dict[str, Any] | None, most: int, longest: int | None) -> None:
    for one in () if field is None else (field, *field.get("anyOf", ())):
        if one.get("type") == "array":
            one["maxItems"] = most
            if longest is not None:
                one["items"] = {**one["items"], "minLength": 1, "maxLength": longest, "pattern": r"\S"}


_HEADERS = {
    "X-Request-ID": {"description": "The request's id: the caller's, or a new one.", "schema": {"type": "string"}},
}
_DESCRIPTION = """\
Give every request an id of your own in the header `X-Request-ID` and it comes back with the answer and stands in the service's log;
a W3C `traceparent` is taken too.

Every error is [problem details](https://www.rfc-editor.org/rfc/rfc9457) in one shape: `code` says what kind it is, `detail` what was wrong
and what would be right, `field` where. 429 and 503 say in `Retry-After` when to try again."""
