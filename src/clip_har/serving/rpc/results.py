"""Answers ↔ the messages of `clip_har.v1`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clip_har.serving.asking import Answered, Asked
from clip_har.serving.errors import ServiceError, TooLarge
from clip_har.serving.problems import problem
from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1

if TYPE_CHECKING:
    from clip_har.serving.config import RequestLimits
    from clip_har.serving.rpc.calls import Call
    from clip_har.serving.security import Security

SURFACE = "grpc"
_FETCHED_AT_ONCE = 4


def asked_of(options: v1.PredictOptions, call: Call) -> Asked:
    """What is asked of the engine."""
    return Asked(
        labels=tuple(options.labels) or None,
        templates=tuple(options.templates) or None,
        top_k=options.top_k if options.HasField("top_k") else 5,
        threshold=options.threshold if options.HasField("threshold") else None,
        coverage=options.coverage if options.HasField("coverage") else None,
        conformal=options.conformal if options.HasField("conformal") else True,
        explain=options.explain,
        key=call.request_id,
        surface=SURFACE,
        caller=call.caller,
    )


async def contents_of(images: Sequence[v1.Image], security: Security, limits: RequestLimits) -> list[Any]:
    """Bytes of each picture, or why a URL did not give them.

    Raises:
        TooLarge: if there are too many to fetch.
    """
    if not any(image.WhichOneof("source") == "url" for image in images):
        return [image.content for image in images]
    if len(images) > limits.max_images:  # before anything is fetched
        raise TooLarge(
            f"{len(images)} pictures in one request; at most {limits.max_images} are allowed.", field="images"
        )

    places = asyncio.Semaphore(_FETCHED_AT_ONCE)

    async def content(place: int, image: v1.Image) -> bytes | ServiceError:
        if image.WhichOneof("source") != "url":
            return image.content
        try:
            async with places:
                return await security.fetch(image.url, limits.images.max_bytes, field=f"images[{place}].url")
        except ServiceError as error:
            return error

    return await asyncio.gather(*(content(place, image) for place, image in enumerate(images)))


def merged(contents: Sequence[Any], answers: Sequence[Any]) -> list[Any]:
    """An answer or error for each picture: of those that could be had, the engine's.

    Raises:
        ServiceError: the first one, if there is no answer at all.
    """
    given, results = iter(answers), []
    for place, content in enumerate(contents):
        result = content if isinstance(content, ServiceError) else next(given)
        if isinstance(result, ServiceError) and result is not content and result.field is not None:
            result.field = f"images[{place}]"  # the engine has counted only those that it was given
        results.append(result)
    if results and all(isinstance(result, ServiceError) for result in results):
        raise results[0]
    return results


def result_message(result: Answered | ServiceError) -> v1.PredictionResult:
    """One picture's answer."""
    if isinstance(result, ServiceError):
        return v1.PredictionResult(error=problem_message(result))
    prediction = result.prediction
    made = v1.PredictionResult(
        prediction_id=result.id,
        label=prediction.labels[0],
        confidence=prediction.scores[0],
        abstained=prediction.abstained,
        calibrated=prediction.calibrated,
        heat_map=result.heat_map or b"",
        heat_map_label=result.heat_map_label or "",
        seconds=result.seconds,
    )
    for label, score in zip(prediction.labels, prediction.scores, strict=True):
        made.labels.add(label=label, score=score)
    if prediction.label_set is not None:
        made.label_set.SetInParent()  # may be empty, which is not the same as unknown
        made.label_set.labels.extend(prediction.label_set)
    return made


def problem_message(error: ServiceError) -> v1.Problem:
    """One picture's error."""
    known = problem(error)
    return v1.Problem(**{name: value for name, value in known.items() if name in v1.Problem.DESCRIPTOR.fields_by_name})
