"""The Open Inference Protocol, version 2, over REST."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import FastAPI, Path, Request
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.responses import Response

from clip_har.serving.asking import Answered, Asked
from clip_har.serving.errors import BadRequest, NotFound, ServiceError, Unprocessable, UnsupportedMedia
from clip_har.serving.problems import of_validation
from clip_har.serving.rest.answers import json_response
from clip_har.serving.rest.describing import require_ready
from clip_har.serving.rest.gateway import Visit
from clip_har.serving.rest.openapi import documented
from clip_har.serving.rest.reading import JSON, media_type, off_loop, parse_json
from clip_har.serving.rest.tensors import BinaryData, bytes_tensor, float_tensor, output_tensor
from clip_har.serving.schemas import (
    InferRequest,
    InferResponse,
    LiveResponse,
    ModelMetadata,
    PredictOptions,
    ReadyResponse,
    ServerMetadata,
)
from clip_har.serving.schemas import open_inference as protocol

if TYPE_CHECKING:
    from clip_har.serving.engine import Engine

_SERVER = "clip-har"
_TAG = "open inference protocol"
_SHORTEST_VERSION = 8  # digits of a model id
_PLATFORMS = {"onnx": "onnxruntime_onnx", "torch": "pytorch_libtorch", "tensorrt": "tensorrt_plan"}
# tritonclient names no Content-Type, or this one.
_TAKEN = ("", JSON, "application/octet-stream")

Name = Annotated[str, Path(description="The model's name.")]
Version = Annotated[str, Path(description="A model id, or its first digits (eight or more).")]


class OpenInference:
    """The protocol's routes.

    Args:
        engine: of the service.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._name = engine.config.name

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        oip: dict[str, Any] = {"tag": _TAG}
        found = {**oip, "problems": (401, 404, 429, 500, 503)}
        asked = {**oip, "problems": (400, 401, 404, 408, 413, 415, 422, 429, 500, 503)}
        binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        app.add_api_route(
            "/v2", self.server, **documented("server_metadata", ServerMetadata, problems=(401, 429, 500), **oip)
        )
        app.add_api_route(
            "/v2/health/live",
            self.live,
            **documented("live", LiveResponse, problems=(500,), operation_id="oip_live", **oip),
        )
        app.add_api_route(
            "/v2/health/ready",
            self.ready,
            **documented("ready", ReadyResponse, problems=(500, 503), operation_id="oip_ready", **oip),
        )
        of_model = (self.metadata, self.model_ready, self.infer)
        of_version = (self.metadata_of, self.model_ready_of, self.infer_with)
        for path, suffix, (metadata, ready, infer) in (
            ("/v2/models/{name}", "", of_model),
            ("/v2/models/{name}/versions/{version}", "_of_version", of_version),
        ):
            app.add_api_route(
                path,
                metadata,
                **documented("model_metadata", ModelMetadata, operation_id=f"model_metadata{suffix}", **found),
            )
            app.add_api_route(
                f"{path}/ready",
                ready,
                **documented("model_ready", ReadyResponse, operation_id=f"model_ready{suffix}", **found),
            )
            app.add_api_route(
                f"{path}/infer",
                infer,
                methods=["POST"],
                **documented("infer", InferResponse, operation_id=f"infer{suffix}", content=binary, **asked),
            )

    async def server(self) -> Response:
        """What speaks the protocol here."""
        return json_response(
            {"name": _SERVER, "version": version("clip-har"), "extensions": [protocol.BINARY_EXTENSION]}
        )

    async def live(self) -> Response:
        """Whether the process answers."""
        return json_response({"live": True})

    async def ready(self) -> Response:
        """Whether pictures are answered."""
        require_ready(self._engine)
        return json_response({"ready": True})

    async def metadata(self, name: Name) -> Response:
        """The model's tensors."""
        return self._metadata(name, None)

    async def metadata_of(self, name: Name, version: Version) -> Response:
        """The model's tensors, of one version."""
        return self._metadata(name, version)

    async def model_ready(self, name: Name) -> Response:
        """Whether the model answers."""
        return self._ready(name, None)

    async def model_ready_of(self, name: Name, version: Version) -> Response:
        """Whether a version of the model answers."""
        return self._ready(name, version)

    async def infer(self, request: Request, name: Name) -> Response:
        """Recognise the action in pictures (`images`), or in tensors that are ready for the encoder (`pixel_values`).

        With a picture that cannot be used the whole request is answered with its error.
        """
        return await self._infer(Visit.of(request.scope), name, None)

    async def infer_with(self, request: Request, name: Name, version: Version) -> Response:
        """The same with a certain version of the model."""
        return await self._infer(Visit.of(request.scope), name, version)

    def _metadata(self, name: str, version: str | None) -> Response:
        self._find(name, version)
        model = self._engine.model()
        _, height, width = model.input_shape
        sizes = {"labels": [-1, -1], "scores": [-1, -1], "image_embeds": [-1, model.bundle.class_matrix.shape[1]]}
        inputs = [
            (protocol.IMAGES, "BYTES", [-1]),
            (protocol.PIXELS, "FP32", [-1, 3, height, width]),
            (protocol.LABELS, "BYTES", [-1]),
            (protocol.TEMPLATES, "BYTES", [-1]),
        ]
        outputs = [(output, datatype, sizes.get(output, [-1])) for output, datatype in protocol.OUTPUTS.items()]
        kind = model.runtime_name.partition("-")[0]
        return json_response(
            {
                "name": self._name,
                "versions": [model.model_id],
                "platform": _PLATFORMS.get(kind, kind),
                "inputs": [dict(zip(("name", "datatype", "shape"), one, strict=True)) for one in inputs],
                "outputs": [dict(zip(("name", "datatype", "shape"), one, strict=True)) for one in outputs],
            }
        )

    def _ready(self, name: str, version: str | None) -> Response:
        require_ready(self._engine)
        self._find(name, version)
        return json_response({"ready": True})

    def _find(self, name: str, version: str | None) -> None:
        """Refuse a name, or a version, that is not served.

        Raises:
            NotFound: it says what is.
        """
        if name != self._name:
            raise NotFound(f"There is no model {name[:80]!r} here; wanted: {self._name!r}.", field="name")
        if version is None:
            return
        if len(version) < _SHORTEST_VERSION or not any(served.startswith(version) for served in self._served()):
            raise NotFound(
                f"There is no version {version[:80]!r} of the model here; served: {', '.join(self._served())}.",
                field="version",
            )

    def _served(self) -> list[str]:
        """Model ids of the versions that answer."""
        versions = getattr(self._engine, "versions", None)
        challenger = getattr(versions, "challenger", None)
        models = [self._engine.model(), *([challenger] if challenger is not None else [])]
        return list(dict.fromkeys(model.model_id for model in models))

    async def _infer(self, visit: Visit, name: str, version: str | None) -> Response:
        self._find(name, version)
        request, binary = await off_loop(visit.body, lambda: _request(visit.headers, visit.body))
        options = options_of(request.parameters or {})
        wanted = _wanted(request, explain=options.explain)
        tensors = {tensor.name: (f"inputs[{place}]", tensor) for place, tensor in enumerate(request.inputs)}
        if len(tensors) < len(request.inputs):
            raise Unprocessable("inputs: a tensor is given twice.", field="inputs")
        read: dict[str, Any] = {}
        for tensor_name, (field, tensor) in tensors.items():  # in their order, as their data follow each other
            if tensor_name == protocol.PIXELS:
                read[tensor_name] = float_tensor(tensor, binary, field)
            elif tensor_name in (protocol.IMAGES, protocol.LABELS, protocol.TEMPLATES):
                read[tensor_name] = bytes_tensor(tensor, binary, field, encoded=tensor_name == protocol.IMAGES)
            else:
                raise Unprocessable(
                    f"{field}.name: the model has no input {tensor_name[:40]!r}; it takes {protocol.IMAGES} or "
                    f"{protocol.PIXELS}, and {protocol.LABELS} and {protocol.TEMPLATES}.",
                    field=f"{field}.name",
                )
        binary.finish()
        if (protocol.IMAGES in read) == (protocol.PIXELS in read):
            raise Unprocessable(f"inputs: wanted: {protocol.IMAGES} or {protocol.PIXELS}, one of them.", field="inputs")
        asked = Asked(
            labels=_texts(read, protocol.LABELS),
            templates=_texts(read, protocol.TEMPLATES),
            top_k=options.top_k,
            threshold=options.threshold,
            coverage=options.coverage,
            conformal=options.conformal,
            explain=options.explain,
            key=visit.request_id,
            surface="oip-rest",
            caller=visit.caller,
            version=version,
        )
        if protocol.IMAGES in read:
            visit.images = len(read[protocol.IMAGES])
            results = await self._engine.predict(read[protocol.IMAGES], asked, visit.ticket)
        else:
            visit.images = len(read[protocol.PIXELS])
            results = await self._engine.predict_pixels(read[protocol.PIXELS], asked, visit.ticket)
        answered = []
        for result in results:
            if isinstance(result, ServiceError):
                raise result
            answered.append(result)
            visit.trace.stages(result.seconds, model_id=result.model_id)
        visit.model_id = answered[0].model_id
        return self._response(request, wanted, answered)

    def _response(self, request: InferRequest, wanted: Mapping[str, bool], answered: list[Answered]) -> Response:
        values = outputs_of(answered)
        described, parts = [], []
        for output, binary in wanted.items():
            given = values[output]
            if output == "heat_map" and not binary:  # JSON holds no bytes
                given = [base64.b64encode(image) for image in given]
            tensor, data = output_tensor(output, protocol.OUTPUTS[output], given, binary)
            described.append(tensor)
            if data is not None:
                parts.append(data)
        content: dict[str, Any] = {"model_name": self._name, "model_version": answered[0].model_id}
        if request.id is not None:
            content["id"] = request.id
        header = to_json(content | {"outputs": described}, inf_nan_mode="null")
        if not any(wanted.values()):
            return Response(header, media_type=JSON)
        return Response(
            header + b"".join(parts),
            media_type="application/octet-stream",
            headers={protocol.HEADER_LENGTH: str(len(header))},
        )


def _request(headers: Mapping[str, str], body: bytes) -> tuple[InferRequest, BinaryData]:
    kind = media_type(headers.get("content-type", ""))
    if kind not in _TAKEN:
        raise UnsupportedMedia(f"Content-Type: {kind[:80]!r} is not taken here; wanted: {JSON}.", field="Content-Type")
    length = headers.get(protocol.HEADER_LENGTH.lower())
    if length is None:
        return parse_json(InferRequest, body), BinaryData(b"")
    if not (length.isascii() and length.isdecimal() and len(length) < 12 and 0 < int(length) <= len(body)):
        raise BadRequest(
            f"{protocol.HEADER_LENGTH}: wanted: the length of the JSON, from 1 to the body's {len(body):,} bytes.",
            field=protocol.HEADER_LENGTH,
        )
    return parse_json(InferRequest, body[: int(length)]), BinaryData(body[int(length) :])


def options_of(parameters: Mapping[str, Any]) -> PredictOptions:
    """A request's parameters → options.

    Raises:
        Unprocessable: if one is not known, or out of range.
    """
    for name in parameters:
        if name not in protocol.OPTIONS and name not in protocol.IGNORED_OPTIONS:
            raise Unprocessable(
                f"parameters: {name[:40]!r} is not known here; known: {', '.join(protocol.OPTIONS)}.",
                field="parameters",
            )
    try:
        return PredictOptions.model_validate(
            {name: value for name, value in parameters.items() if name in protocol.OPTIONS}, strict=True
        )
    except ValidationError as error:
        raise of_validation(error) from None


def _wanted(request: InferRequest, *, explain: bool) -> dict[str, bool]:
    """Name of each output that is wanted → whether its data are to follow the JSON."""
    always = (request.parameters or {}).get("binary_data_output", False)
    if not isinstance(always, bool):
        place = "parameters.binary_data_output"
        raise Unprocessable(f"{place}: wanted: true or false.", field=place)
    if not request.outputs:
        return {name: always for name in protocol.OUTPUTS if explain or name != "heat_map"}
    wanted = {}
    for place, output in enumerate(request.outputs):
        field = f"outputs[{place}]"
        if output.name not in protocol.OUTPUTS:
            raise Unprocessable(
                f"{field}.name: the model has no output {output.name[:40]!r}; it has {', '.join(protocol.OUTPUTS)}.",
                field=f"{field}.name",
            )
        if output.name == "heat_map" and not explain:
            raise Unprocessable(f"{field}: a heat map is made only with the parameter explain.", field=field)
        binary = (output.parameters or {}).get("binary_data", always)
        unknown = next((name for name in output.parameters or {} if name != "binary_data"), None)
        if unknown is not None or not isinstance(binary, bool):
            raise Unprocessable(f"{field}.parameters: wanted: binary_data, true or false.", field=f"{field}.parameters")
        wanted[output.name] = binary
    return wanted


def _texts(read: Mapping[str, list[bytes]], name: str) -> tuple[str, ...] | None:
    if name not in read:
        return None
    try:
        return tuple(text.decode() for text in read[name])
    except UnicodeDecodeError:
        raise Unprocessable(f"{name}: the texts are not UTF-8.", field=name) from None


def outputs_of(answered: list[Answered]) -> dict[str, Any]:
    """Answers → the values of all outputs."""
    predictions = [result.prediction for result in answered]
    return {
        "labels": [[label.encode() for label in prediction.labels] for prediction in predictions],
        "scores": np.asarray([prediction.scores for prediction in predictions], dtype=np.float32),
        "abstained": np.asarray([prediction.abstained for prediction in predictions], dtype=np.bool_),
        "calibrated": np.asarray([prediction.calibrated for prediction in predictions], dtype=np.bool_),
        "label_set": [json.dumps(prediction.label_set, ensure_ascii=False).encode() for prediction in predictions],
        "prediction_id": [result.id.encode() for result in answered],
        "image_embeds": np.asarray([result.embedding for result in answered], dtype=np.float32),
        "heat_map": [result.heat_map or b"" for result in answered],
    }
