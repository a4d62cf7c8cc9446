"""Errors → problem details (RFC 9457), the one shape that every caller sees; and anything else → an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from clip_har.errors import BundleError, ConfigError, ImageError
from clip_har.serving.errors import BadRequest, ServiceError, Unprocessable, of_image

TYPE = "urn:clip-har:problem:"
_MOST_ERRORS = 20
_OUR_FAULT = "Something failed here that is no fault of the request. The log has it under the request's id."


class Invalid(Unprocessable):
    """A request whose fields are not what they should be.

    Args:
        errors: field and what is wrong with it, of each.
    """

    def __init__(self, errors: Iterable[tuple[str, str]]) -> None:
        self.errors = list(errors)[:_MOST_ERRORS]
        field, detail = self.errors[0]
        super().__init__(f"{field}: {detail}" if field else detail, field=field or None)


def problem(error: ServiceError, request_id: str | None = None) -> dict[str, Any]:
    """The members of an error's problem details; those that are not known are left out.

    Args:
        request_id: None for the error of one picture among several.
    """
    known: dict[str, Any] = {
        "type": TYPE + error.code,
        "title": error.title,
        "status": error.status,
        "detail": str(error),
        "code": error.code,
    }
    if error.field is not None:
        known["field"] = error.field
    if request_id is not None:
        known["request_id"] = request_id
    if error.retry_after is not None:
        known["retry_after"] = round(error.retry_after, 3)
    if isinstance(error, Invalid) and len(error.errors) > 1:
        known["errors"] = [{"field": field, "detail": detail} for field, detail in error.errors]
    return known


def as_service_error(error: Exception) -> ServiceError:
    """What a caller is told of an exception. One that no caller can cause is a fault of ours, and says nothing of itself."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, ImageError):
        return of_image(error)
    if isinstance(error, ConfigError | BundleError):
        return Unprocessable(str(error))
    return ServiceError(_OUR_FAULT)


def of_validation(error: ValidationError) -> ServiceError:
    """What pydantic says of a request → BadRequest if it is no JSON at all, else Invalid with its fields."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return BadRequest(
            f"The body is no JSON: {_lowered(details[0]['msg'].removeprefix('Invalid JSON: '))}.", field="body"
        )
    return Invalid((_field(detail["loc"]), _sentence(detail)) for detail in details)


def _field(location: Iterable[int | str]) -> str:
    """("images", 2) → "images[2]"."""
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f"{'.' if name else ''}{part}"
    return name


def _sentence(detail: Mapping[str, Any]) -> str:
    if detail["type"] == "extra_forbidden":
        return "there is no such field."
    if detail["type"] == "missing":
        return "a value is wanted and none is given."
    said = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    wanted = _lowered(said) if detail["type"] == "value_error" else f"wanted: {said}"
    return wanted if wanted.endswith(".") else f"{wanted}."


def _lowered(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]
