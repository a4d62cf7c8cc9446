"""Bodies of `/v1/predict` and `/v1/embed`, forms and JSON → pictures and options."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from clip_har.serving.config import RequestLimits
from clip_har.serving.errors import TooLarge, Unprocessable, UnsupportedMedia
from clip_har.serving.problems import Invalid, of_validation
from clip_har.serving.rest.multipart import parse_form, text_of
from clip_har.serving.schemas.predicting import EmbedRequest, ImagesRequest, PredictOptions, PredictRequest

Shape = TypeVar("Shape", bound=BaseModel)

FORM, JSON = "multipart/form-data", "application/json"
_IMAGES, _URLS = "images", "urls"
_LISTS = ("labels", "templates", _URLS)
_LARGE = 262_144  # bytes of a body above which it is taken apart in a thread, and the loop goes on
_SPACES = {ord(space): None for space in " \t\r\n"}


@dataclass(frozen=True)
class Pictures:
    """What a request brings.

    Attributes:
        images: files' bytes.
        urls: where more of them are; they come after the others.
        options: how they are to be scored.
    """

    images: list[bytes]
    urls: list[str]
    options: PredictOptions


async def read_pictures(content_type: str, body: bytes, limits: RequestLimits, *, options: bool) -> Pictures:
    """Take a body apart.

    Args:
        content_type: header.
        options: whether the request may have options; of `/v1/embed` it may not.

    Raises:
        UnsupportedMedia, BadRequest, TooLarge, Unprocessable: if it is not what it should be.
    """
    kind = media_type(content_type)
    if kind == FORM:
        return await off_loop(body, lambda: _from_form(content_type, body, limits, options))
    if kind == JSON:
        return await off_loop(body, lambda: _from_json(body, limits, options))
    raise UnsupportedMedia(
        f"Content-Type: {kind[:80]!r} is not taken here; wanted: {FORM} or {JSON}.", field="Content-Type"
    )


def media_type(content_type: str) -> str:
    """A Content-Type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


async def off_loop(body: bytes, work: Callable[[], Shape | Pictures]):
    """Do work on a body; if it is large, in a thread."""
    return work() if len(body) < _LARGE else await asyncio.to_thread(work)


def parse_json(shape: type[Shape], body: bytes) -> Shape:
    """A JSON body as a shape; types are not converted.

    Raises:
        BadRequest, Invalid: if it is not one.
    """
    try:
        return shape.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise of_validation(error) from None


def decoded_base64(text: str, field: str) -> bytes:
    """Bytes of a base64 text; white space in it is passed over.

    Raises:
        Unprocessable: if it is none.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        try:
            return binascii.a2b_base64(text.translate(_SPACES), strict_mode=True)
        except ValueError as error:
            raise Unprocessable(f"{field}: it is no base64 ({error}).", field=field) from None


def _from_json(body: bytes, limits: RequestLimits, options: bool) -> Pictures:
    asked: ImagesRequest = parse_json(PredictRequest if options else EmbedRequest, body)
    given = asked.images or []
    _check_count(len(given) + len(asked.urls or []), limits)
    images = [decoded_base64(text, f"{_IMAGES}[{place}]") for place, text in enumerate(given)]
    return Pictures(images, asked.urls or [], asked if isinstance(asked, PredictOptions) else PredictOptions())


def _from_form(content_type: str, body: bytes, limits: RequestLimits, options: bool) -> Pictures:
    most = limits.max_images + limits.max_labels + limits.max_templates + len(PredictOptions.model_fields)
    images: list[bytes] = []
    texts: dict[str, list[bytes]] = {}
    for name, content in parse_form(content_type, body, max_parts=most):
        if name == _IMAGES:
            images.append(content)
        else:
            texts.setdefault(name, []).append(content)
    urls = text_of(_URLS, texts.pop(_URLS, []))
    _check_count(len(images) + len(urls), limits)
    values: dict[str, object] = {}
    for name, parts in texts.items():
        if name not in PredictOptions.model_fields:
            raise Invalid([(name, f"there is no such field; pictures go into `{_IMAGES}`.")])
        known = text_of(name, parts)
        if len(known) > 1 and name not in _LISTS:
            raise Invalid([(name, "it is given more than once.")])
        values[name] = known if name in _LISTS else known[0]
    try:
        if urls:
            ImagesRequest.model_validate({_URLS: urls})
        made = PredictOptions.model_validate(values) if options else EmbedRequest.model_validate(values)
    except ValidationError as error:
        raise of_validation(error) from None
    return Pictures(images, urls, made if isinstance(made, PredictOptions) else PredictOptions())


def _check_count(count: int, limits: RequestLimits) -> None:
    """Before anything is decoded or fetched; the engine holds it against all limits again."""
    if count > limits.max_images:
        raise TooLarge(f"{count} pictures in one request; at most {limits.max_images} are allowed.", field=_IMAGES)
