"""gRPC without the sending: messages ↔ the same shapes as over REST, and what a failed call means."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from clip_har.client.errors import NO_ANSWER, UNREADABLE, ServiceProblem, problem_in
from clip_har.client.results import PictureResult
from clip_har.component import validated
from clip_har.errors import ClipHarError, ConfigError
from clip_har.serving.schemas import (
    EmbedResponse,
    EmbedResult,
    FeedbackRequest,
    FeedbackResponse,
    PredictionResult,
    PredictOptions,
    PredictResponse,
    Problem,
    ScoredLabel,
)


class MissingPackage(ClipHarError, ImportError):
    """Something is wanted that is not installed."""


try:
    import grpc

    from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1
except (ImportError, RuntimeError) as error:  # the latter: what the generated messages say to versions that are too old
    raise MissingPackage(
        f"The gRPC clients want grpcio and protobuf (pip install 'clip-har[client-grpc]'): {error}"
    ) from error

REQUEST_ID = "x-request-id"
_PROBLEM = "problem-bin"
_PUSHBACK = "grpc-retry-pushback-ms"
HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"  # HealthCheckResponse(status=SERVING)
# Without a problem beside them these come from gRPC itself or a proxy.
_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNIMPLEMENTED: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 413,
}


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        method: of the stub.
        message: what is asked.
        repeatable: whether it may be made twice.
        request_id: names it in the service's log, in all tries.
    """

    method: str
    message: Any
    repeatable: bool = True
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def metadata(self, key: str | None) -> tuple[tuple[str, str], ...]:
        """Its metadata."""
        return metadata(key, self.request_id)


class Frame(NamedTuple):
    """The answer to one frame of a stream.

    Attributes:
        id: as it was sent.
        result: the answer, or why there is none.
    """

    id: str
    result: PictureResult | ServiceProblem


def metadata(key: str | None, request_id: str) -> tuple[tuple[str, str], ...]:
    """Of a call."""
    named = ((REQUEST_ID, request_id),)
    return named if not key else (*named, ("authorization", f"Bearer {key}"))


def predict(pictures: Sequence[bytes], options: PredictOptions, request_id: str | None) -> Call:
    """ActionRecognition.Predict."""
    images = [v1.Image(content=picture) for picture in pictures]
    message = v1.PredictRequest(images=images, options=options_message(options))
    return Call("Predict", message, **({} if request_id is None else {"request_id": request_id}))


def embed(pictures: Sequence[bytes], request_id: str | None) -> Call:
    """ActionRecognition.Embed."""
    message = v1.EmbedRequest(images=[v1.Image(content=picture) for picture in pictures])
    return Call("Embed", message, **({} if request_id is None else {"request_id": request_id}))


def feedback(prediction_id: str, label: str) -> Call:
    """ActionRecognition.Feedback. Not repeatable, as over REST."""
    told = validated(FeedbackRequest, {"prediction_id": prediction_id, "label": label})
    return Call("Feedback", v1.FeedbackRequest(**told.model_dump()), repeatable=False)


def frame(frame_id: str, picture: bytes, options: PredictOptions | None) -> Any:
    """A frame of ActionRecognition.PredictStream; options hold for those after it too."""
    message = v1.PredictStreamRequest(frame_id=frame_id, image=v1.Image(content=picture))
    if options is not None:
        message.options.CopyFrom(options_message(options))
    return message


def options_message(options: PredictOptions) -> Any:
    """How pictures are to be scored."""
    return v1.PredictOptions(**options.model_dump(exclude_defaults=True))


def predicted(response: Any) -> PredictResponse:
    """As over REST."""
    return PredictResponse(
        request_id=response.request_id, model_id=response.model_id, results=[_result(one) for one in response.results]
    )


def embedded(response: Any) -> EmbedResponse:
    """As over REST."""
    results = [
        EmbedResult(embedding=None, error=_problem(one.error))
        if one.HasField("error")
        else EmbedResult(embedding=list(one.values))
        for one in response.embeddings
    ]
    dimensions = next((len(one.embedding) for one in results if one.embedding is not None), 0)
    return EmbedResponse(
        request_id=response.request_id, model_id=response.model_id, dimensions=dimensions, results=results
    )


def told(response: Any, call: Call) -> FeedbackResponse:
    """As over REST."""
    return FeedbackResponse(
        request_id=response.request_id, prediction_id=call.message.prediction_id, label=call.message.label
    )


def answered(response: Any, request_id: str) -> Frame:
    """The answer to a frame."""
    found = _result(response.result)
    if found.error is not None:
        return Frame(response.frame_id, ServiceProblem.of(found.error, request_id))
    return Frame(response.frame_id, PictureResult(model_id=response.model_id, request_id=request_id, **dict(found)))


def failure(error: grpc.RpcError, target: str, request_id: str) -> ServiceProblem:
    """What a failed call means."""
    code, details = error.code(), (error.details() or "").rstrip(".")
    found = dict(error.trailing_metadata() or ())
    request_id = _text(found.get(REQUEST_ID)) or request_id
    problem = problem_in(found.get(_PROBLEM, b""))
    if problem is not None:
        return ServiceProblem.of(problem, request_id, _pushback(found.get(_PUSHBACK)))
    if code is grpc.StatusCode.UNAVAILABLE:
        connecting = "failed to connect" in details.lower() or "name resolution" in details.lower()
        said = (
            f"No service answers at {target}: {details}."
            if connecting
            else f"The connection to {target} broke: {details}."
        )
        return ServiceProblem(said, code=NO_ANSWER, request_id=request_id, maybe_done=not connecting)
    if code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return ServiceProblem(f"{target} did not answer in time.", request_id=request_id, maybe_done=True)
    status = _STATUSES.get(code, 500)
    return ServiceProblem(
        f"{target} answers {code.name}: {details}.",
        status=status,
        code="too_large" if status == 413 else UNREADABLE,
        request_id=request_id,
        maybe_done=status == 500,
    )


def channel_options(most_bytes: int) -> list[tuple[str, int]]:
    """Of a channel: answers may be large, and tries are counted in one place only."""
    return [("grpc.max_receive_message_length", most_bytes), ("grpc.enable_retries", 0)]


def credentials(
    ca_certificate: str | Path | None, certificate: str | Path | None, key: str | Path | None
) -> grpc.ChannelCredentials:
    """TLS from PEM files.

    Raises:
        ConfigError: if one cannot be read, or only half of the client's own pair is given.
    """
    if (certificate is None) != (key is None):
        raise ConfigError("A client's certificate and its private key are wanted together.")
    return grpc.ssl_channel_credentials(_pem(ca_certificate), _pem(key), _pem(certificate))


def _pem(path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error


def _result(message: Any) -> PredictionResult:
    failed = message.HasField("error")
    return PredictionResult(
        prediction_id=None if failed else message.prediction_id,
        label=None if failed else message.label,
        confidence=None if failed else message.confidence,
        labels=[ScoredLabel(label=one.label, score=one.score) for one in message.labels],
        abstained=message.abstained,
        calibrated=message.calibrated,
        label_set=list(message.label_set.labels) if message.HasField("label_set") else None,
        heat_map=base64.b64encode(message.heat_map).decode() if message.heat_map else None,
        heat_map_label=message.heat_map_label or None,
        seconds=dict(message.seconds),
        error=_problem(message.error) if failed else None,
    )


def _problem(message: Any) -> Problem:
    return Problem(
        type=message.type,
        title=message.title,
        status=message.status,
        detail=message.detail,
        code=message.code,
        field=message.field or None,
        retry_after=message.retry_after if message.HasField("retry_after") else None,
    )


def _pushback(value: Any) -> float | None:
    text = _text(value)
    return int(text) / 1000 if text.isdecimal() else None


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
