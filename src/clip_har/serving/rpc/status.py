"""What went wrong → a gRPC status, with the problem as JSON beside it."""

from __future__ import annotations

import json

import grpc

from clip_har.serving.errors import DeadlineExceeded, ServiceError
from clip_har.serving.problems import problem

PROBLEM = "problem-bin"
REQUEST_ID = "x-request-id"

# gRPC's convention for its clients' retry policies: when to try again, in milliseconds.
_PUSHBACK = "grpc-retry-pushback-ms"
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
# A client takes 8 kB of metadata as a rule; a message may quote what was asked, and each of its characters may become
# twelve bytes of header.
_MOST_CHARACTERS, _MOST_FIELD_CHARACTERS = 300, 100

Metadata = tuple[tuple[str, str | bytes], ...]


def code_of(error: ServiceError) -> grpc.StatusCode:
    """gRPC's code for an error."""
    if isinstance(error, DeadlineExceeded):
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return _CODES.get(error.status, grpc.StatusCode.INTERNAL)


def details_of(error: ServiceError) -> str:
    """The message, short enough for a header."""
    text = str(error).encode("utf-8", "replace").decode()
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def trailing_metadata(error: ServiceError, request_id: str) -> Metadata:
    """What goes with the status: the request's id, the problem, and when to try again."""
    body = {**problem(error, request_id), "detail": details_of(error)}
    if error.field is not None:
        body["field"] = error.field[:_MOST_FIELD_CHARACTERS]
    found: Metadata = (
        (REQUEST_ID, request_id),
        (PROBLEM, json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")),
    )
    if error.retry_after is not None:
        found += ((_PUSHBACK, str(max(0, round(1000 * error.retry_after)))),)
    return found
