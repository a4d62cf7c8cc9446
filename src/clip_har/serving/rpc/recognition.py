"""Our own service: `clip_har.v1.ActionRecognition`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from clip_har.serving.asking import Answered
from clip_har.serving.errors import ServiceError
from clip_har.serving.rpc.calls import Call, Calls
from clip_har.serving.rpc.results import (
    asked_of,
    contents_of,
    merged,
    problem_message,
    result_message,
)
from clip_har.serving.rpc.streaming import Streams
from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1

if TYPE_CHECKING:
    from clip_har.serving.admission import Ticket
    from clip_har.serving.engine import Engine
    from clip_har.serving.security import Security

SERVICE = v1.DESCRIPTOR.services_by_name["ActionRecognition"].full_name


class ActionRecognition:
    """Answers its calls.

    Args:
        engine: what answers.
        security: what fetches pictures that are given by URL.
    """

    def __init__(self, engine: Engine, security: Security) -> None:
        self._engine, self._security = engine, security
        self.streams = Streams(engine, security)

    def methods(self, calls: Calls) -> dict[str, grpc.RpcMethodHandler]:
        """The service's methods."""
        return {
            "Predict": calls.admitted(v1.PredictRequest, self.predict),
            "PredictStream": calls.stream(self.streams.answer),
            "Embed": calls.admitted(v1.EmbedRequest, self.embed),
            "Feedback": calls.unary(v1.FeedbackRequest, self.feedback),
        }

    async def predict(self, request: v1.PredictRequest, call: Call, ticket: Ticket) -> v1.PredictResponse:
        """Scores pictures."""
        contents = await contents_of(request.images, self._security, self._engine.config.limits)
        images = [content for content in contents if isinstance(content, bytes)]
        asked = asked_of(request.options, call)
        answers = await self._engine.predict(images, asked, ticket) if images or not contents else []
        results = merged(contents, answers)
        response = v1.PredictResponse(request_id=call.request_id)
        for result in results:
            if isinstance(result, Answered):
                response.model_id = result.model_id
                call.trace.stages(result.seconds, model_id=result.model_id)
            else:
                self._engine.metrics.rejected(result.code)
            response.results.append(result_message(result))
        call.noted |= {"images": len(results), "model_id": response.model_id}
        return response

    async def embed(self, request: v1.EmbedRequest, call: Call, ticket: Ticket) -> v1.EmbedResponse:
        """Pictures to vectors."""
        contents = await contents_of(request.images, self._security, self._engine.config.limits)
        images = [content for content in contents if isinstance(content, bytes)]
        model_id, embeddings = await self._engine.embed(images, ticket) if images or not contents else ("", [])
        response = v1.EmbedResponse(request_id=call.request_id, model_id=model_id)
        for result in merged(contents, embeddings):
            if isinstance(result, ServiceError):
                self._engine.metrics.rejected(result.code)
                response.embeddings.add(error=problem_message(result))
            else:
                response.embeddings.add(values=result)
        call.noted |= {"images": len(contents), "model_id": model_id}
        return response

    async def feedback(self, request: v1.FeedbackRequest, call: Call) -> v1.FeedbackResponse:
        """Says what a predicted picture really showed."""
        await self._engine.feedback(request.prediction_id, request.label, call.caller)
        return v1.FeedbackResponse(request_id=call.request_id)
