"""`/v1/predict`, `/v1/embed` and `/v1/feedback`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from starlette.responses import Response

from clip_har.serving.asking import Answered, Asked
from clip_har.serving.errors import DeadlineExceeded, ServiceError, Unprocessable, UnsupportedMedia
from clip_har.serving.rest.answers import embedding, first_error, json_response, prediction
from clip_har.serving.rest.gateway import Visit
from clip_har.serving.rest.openapi import documented
from clip_har.serving.rest.reading import JSON, Pictures, media_type, parse_json, read_pictures
from clip_har.serving.schemas import EmbedResponse, FeedbackRequest, FeedbackResponse, PredictResponse

if TYPE_CHECKING:
    from clip_har.serving.engine import Engine
    from clip_har.serving.security import Security

_FETCHED_AT_ONCE = 4


class Predicting:
    """Pictures in, answers out.

    Args:
        engine, security: of the service.
    """

    def __init__(self, engine: Engine, security: Security) -> None:
        self._engine, self._security = engine, security
        self._limits = engine.config.limits

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        app.add_api_route("/v1/predict", self.predict, methods=["POST"], **documented("predict", PredictResponse))
        app.add_api_route("/v1/embed", self.embed, methods=["POST"], **documented("embed", EmbedResponse))
        app.add_api_route("/v1/feedback", self.feedback, methods=["POST"], **documented("feedback", FeedbackResponse))

    async def predict(self, request: Request) -> Response:
        """Recognise the action in pictures.

        Pictures are answered each for itself: one that cannot be used has its own error beside the others' answers. Only if none
        can be used, the request as a whole is answered with the first one's error.
        """
        visit = Visit.of(request.scope)
        given = await self._read(visit, options=True)
        options = given.options
        asked = Asked(
            labels=None if options.labels is None else tuple(options.labels),
            templates=None if options.templates is None else tuple(options.templates),
            top_k=options.top_k,
            threshold=options.threshold,
            coverage=options.coverage,
            conformal=options.conformal,
            explain=options.explain,
            key=visit.request_id,
            surface="rest",
            caller=visit.caller,
        )
        fetched = await self._fetch(visit, given)
        images = [image for image in fetched if isinstance(image, bytes)]
        answers: list[Answered | ServiceError] = []
        if images or not fetched:
            answers = await self._engine.predict(images, asked, visit.ticket)
        results = merged(given, fetched, answers)
        self._require_some(results)
        good = [result for result in results if isinstance(result, Answered)]
        visit.model_id = good[0].model_id
        for result in good:
            visit.trace.stages(result.seconds, model_id=result.model_id)
        return json_response(
            {
                "request_id": visit.request_id,
                "model_id": visit.model_id,
                "results": [prediction(result) for result in results],
            }
        )

    async def embed(self, request: Request) -> Response:
        """Embed pictures: L2-normalised vectors, equal pictures' equal, alike ones' close by cosine."""
        visit = Visit.of(request.scope)
        given = await self._read(visit, options=False)
        fetched = await self._fetch(visit, given)
        images = [image for image in fetched if isinstance(image, bytes)]
        model_id, embeddings = "", []
        if images or not fetched:
            model_id, embeddings = await self._engine.embed(images, visit.ticket)
        results = merged(given, fetched, embeddings)
        self._require_some(results)
        visit.model_id = model_id
        dimensions = next(len(result) for result in results if not isinstance(result, ServiceError))
        return json_response(
            {
                "request_id": visit.request_id,
                "model_id": model_id,
                "dimensions": dimensions,
                "results": [embedding(result) for result in results],
            }
        )

    async def feedback(self, request: Request) -> Response:
        """Tell the true label of a picture that was predicted. It is on disk when this is answered."""
        visit = Visit.of(request.scope)
        kind = media_type(visit.headers.get("content-type", ""))
        if kind != JSON:
            raise UnsupportedMedia(
                f"Content-Type: {kind[:80]!r} is not taken here; wanted: {JSON}.", field="Content-Type"
            )
        told = parse_json(FeedbackRequest, visit.body)
        most = self._limits.max_label_characters
        if len(told.label) > most:
            raise Unprocessable(f"label: {len(told.label)} characters; at most {most} are allowed.", field="label")
        await self._engine.feedback(told.prediction_id, told.label, visit.caller)
        return json_response({"request_id": visit.request_id, "prediction_id": told.prediction_id, "label": told.label})

    async def _read(self, visit: Visit, *, options: bool) -> Pictures:
        content_type = visit.headers.get("content-type", "")
        given = await read_pictures(content_type, visit.body, self._limits, options=options)
        visit.body = b""  # the pictures are copies: while they wait, one of them is enough
        visit.images = len(given.images) + len(given.urls)
        return given

    def _require_some(self, results: list) -> None:
        """Refuse a request of whose pictures none could be answered; count the errors of the others.

        Raises:
            ServiceError: the first picture's.
        """
        error = first_error(results)
        if error is not None:
            raise error
        for result in results:
            if isinstance(result, ServiceError):
                self._engine.metrics.rejected(result.code)

    async def _fetch(self, visit: Visit, given: Pictures) -> list[bytes | ServiceError]:
        """All pictures in order; those behind URLs fetched, a few at a time."""
        if not given.urls:
            return list(given.images)
        if not self._security.fetches:
            raise Unprocessable(
                "urls: pictures are not fetched here; send their bytes as `images`. (security.url_hosts switches it on.)",
                field="urls",
            )
        places = asyncio.Semaphore(_FETCHED_AT_ONCE)

        async def fetch(place: int, url: str) -> bytes | ServiceError:
            async with places:
                try:
                    return await self._security.fetch(url, self._limits.images.max_bytes, f"urls[{place}]")
                except ServiceError as error:
                    return error

        assert visit.ticket is not None
        try:
            async with asyncio.timeout(max(0.0, visit.ticket.seconds_left)):
                fetched = await asyncio.gather(*(fetch(place, url) for place, url in enumerate(given.urls)))
        except TimeoutError:
            raise DeadlineExceeded("The pictures behind the URLs did not come in time.", retry_after=1.0) from None
        return [*given.images, *fetched]


def merged(given: Pictures, fetched: list, answers: list) -> list:
    """Answers for what could be fetched, and the errors of what could not, in the order of the pictures."""
    rest = iter(answers)
    results = [item if isinstance(item, ServiceError) else next(rest) for item in fetched]
    for place in range(len(given.images), len(results)):  # the engine knows pictures only
        if isinstance(results[place], ServiceError):
            results[place].field = f"urls[{place - len(given.images)}]"
    return results
