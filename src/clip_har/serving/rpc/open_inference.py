"""The Open Inference Protocol's service: `inference.GRPCInferenceService`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from clip_har.serving.asking import Answered, Asked
from clip_har.serving.errors import NotFound, ServiceError, Unprocessable
from clip_har.serving.rpc.calls import Call, Calls
from clip_har.serving.rpc.tensors import Tensor, bytes_array, put_tensor, tensors_in, texts_in
from clip_har.serving.schemas.open_inference import (
    IGNORED_OPTIONS,
    IMAGES,
    LABELS,
    OPTIONS,
    OUTPUTS,
    PIXELS,
    TEMPLATES,
)
from clip_har.serving.schemas.rpc import open_inference_pb2 as oip

if TYPE_CHECKING:
    from clip_har.serving.admission import Ticket
    from clip_har.serving.engine import Engine

SERVICE = oip.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
SURFACE = "oip-grpc"
OPEN_METHODS = frozenset(f"/{SERVICE}/{name}" for name in ("ServerLive", "ServerReady"))

_INPUTS = {IMAGES: "BYTES", PIXELS: "FP32", LABELS: "BYTES", TEMPLATES: "BYTES"}
_PLATFORMS = {"onnx": "onnxruntime_onnx", "torch": "pytorch_libtorch", "tensorrt": "tensorrt_plan"}
_SERVER = "clip-har"
_SHORTEST_VERSION = 8  # digits of a model id
_MOST_ID_CHARACTERS = 128


class OpenInference:
    """Answers the protocol's calls.

    Args:
        engine: what answers.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._name = engine.config.name

    def methods(self, calls: Calls) -> dict[str, grpc.RpcMethodHandler]:
        """The service's methods."""
        return {
            "ServerLive": calls.unary(oip.ServerLiveRequest, self.server_live),
            "ServerReady": calls.unary(oip.ServerReadyRequest, self.server_ready),
            "ModelReady": calls.unary(oip.ModelReadyRequest, self.model_ready),
            "ServerMetadata": calls.unary(oip.ServerMetadataRequest, self.server_metadata),
            "ModelMetadata": calls.unary(oip.ModelMetadataRequest, self.model_metadata),
            "ModelInfer": calls.admitted(oip.ModelInferRequest, self.model_infer),
        }

    async def server_live(self, _request: oip.ServerLiveRequest, _call: Call) -> oip.ServerLiveResponse:
        """The process answers."""
        return oip.ServerLiveResponse(live=True)

    async def server_ready(self, _request: oip.ServerReadyRequest, _call: Call) -> oip.ServerReadyResponse:
        """Whether predictions are answered now."""
        return oip.ServerReadyResponse(ready=self._engine.ready)

    async def model_ready(self, request: oip.ModelReadyRequest, _call: Call) -> oip.ModelReadyResponse:
        """Whether the model answers now."""
        self._require_name(request.name)
        if not self._engine.ready:
            return oip.ModelReadyResponse(ready=False)
        self._require_version(request.version)
        return oip.ModelReadyResponse(ready=True)

    async def server_metadata(self, _request: oip.ServerMetadataRequest, _call: Call) -> oip.ServerMetadataResponse:
        """Who answers."""
        return oip.ServerMetadataResponse(name=_SERVER, version=version("clip-har"))

    async def model_metadata(self, request: oip.ModelMetadataRequest, _call: Call) -> oip.ModelMetadataResponse:
        """The model's tensors."""
        self._require_name(request.name)
        self._require_version(request.version)
        model = self._engine.model()
        kind = model.runtime_name.partition("-")[0]
        made = oip.ModelMetadataResponse(
            name=self._name, versions=[model.model_id], platform=_PLATFORMS.get(kind, kind)
        )
        inputs = {IMAGES: [-1], PIXELS: [-1, *model.input_shape], LABELS: [-1], TEMPLATES: [-1]}
        for name, shape in inputs.items():
            made.inputs.add(name=name, datatype=_INPUTS[name], shape=shape)
        wide = {"labels": -1, "scores": -1, "image_embeds": model.bundle.class_matrix.shape[1]}
        for name, datatype in OUTPUTS.items():
            made.outputs.add(name=name, datatype=datatype, shape=[-1, wide[name]] if name in wide else [-1])
        return made

    async def model_infer(self, request: oip.ModelInferRequest, call: Call, ticket: Ticket) -> oip.ModelInferResponse:
        """Scores pictures, or ready tensors. One that cannot be used fails the call: the protocol has no other way."""
        self._require_name(request.model_name)
        self._require_version(request.model_version)
        if len(request.id) > _MOST_ID_CHARACTERS:
            raise Unprocessable(f"An id has at most {_MOST_ID_CHARACTERS} characters.", field="id")
        inputs = tensors_in(request, _INPUTS)
        asked = _asked(request, inputs, call)
        wanted = _wanted(request, asked)
        results = await self._results(inputs, asked, ticket)
        for result in results:
            if isinstance(result, ServiceError):
                raise result
            call.trace.stages(result.seconds, model_id=result.model_id)
        call.noted |= {"images": len(results), "model_id": results[0].model_id}
        return _response(request, self._name, results, wanted)

    async def _results(self, inputs: dict[str, Tensor], asked: Asked, ticket: Ticket) -> list[Answered | ServiceError]:
        images, pixels = inputs.get(IMAGES), inputs.get(PIXELS)
        if (images is None) == (pixels is None):
            raise Unprocessable(f"One of the inputs {IMAGES} and {PIXELS} is wanted, and not both.", field="inputs")
        if images is not None:
            if len(images.shape) != 1 and images.shape[1:] != (1,):
                raise Unprocessable(f"{IMAGES}: a shape of [n] is wanted, got {list(images.shape)}.", field=IMAGES)
            return await self._engine.predict(images.values, asked, ticket)
        if len(pixels.shape) != 4:
            raise Unprocessable(f"{PIXELS}: a shape of [n, 3, h, w] is wanted, got {list(pixels.shape)}.", field=PIXELS)
        return await self._engine.predict_pixels(pixels.values, asked, ticket)

    def _require_name(self, name: str) -> None:
        if name != self._name:
            raise NotFound(f"There is no model {name[:80]!r} here; {self._name} is served.", field="model_name")

    def _require_version(self, version: str) -> None:
        served = [self._engine.model().model_id]
        if self._engine.versions.challenger is not None:
            served.append(self._engine.versions.challenger.model_id)
        if version and not (len(version) >= _SHORTEST_VERSION and any(known.startswith(version) for known in served)):
            raise NotFound(
                f"There is no version {version[:80]!r} of {self._name} here; served: {', '.join(served)}.",
                field="model_version",
            )


def _asked(request: oip.ModelInferRequest, inputs: dict[str, Tensor], call: Call) -> Asked:
    given: dict[str, Any] = {}
    for name, parameter in request.parameters.items():
        if name in IGNORED_OPTIONS:
            continue
        if name not in OPTIONS:
            raise Unprocessable(
                f"There is no parameter {name!r}; wanted: {', '.join(OPTIONS)}.", field=f"parameters.{name}"
            )
        choice = parameter.WhichOneof("parameter_choice")
        given[name] = _option(name, None if choice is None else getattr(parameter, choice))
    return Asked(
        labels=texts_in(inputs.get(LABELS), LABELS),
        templates=texts_in(inputs.get(TEMPLATES), TEMPLATES),
        key=call.request_id,
        surface=SURFACE,
        caller=call.caller,
        version=request.model_version or None,
        **given,
    )


def _option(name: str, value: bool | int | float | str | None) -> bool | int | float:
    if name in ("conformal", "explain"):
        right, kind = isinstance(value, bool), "true or false"
    elif name == "top_k":
        right, kind = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    else:
        right, kind = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    if not right or (isinstance(value, float) and not math.isfinite(value)):
        raise Unprocessable(f"{name}: wanted: {kind}, got {value!r}.", field=f"parameters.{name}")
    return value


def _wanted(request: oip.ModelInferRequest, asked: Asked) -> list[str]:
    """Names of the outputs, in the order in which they were asked for."""
    names = [output.name for output in request.outputs]
    for place, output in enumerate(request.outputs):
        if output.name not in OUTPUTS:
            raise Unprocessable(
                f"There is no output {output.name!r}; wanted: {', '.join(OUTPUTS)}.", field=f"outputs[{place}].name"
            )
        if output.parameters:
            raise Unprocessable("Outputs have no parameters here.", field=f"outputs[{place}].parameters")
    if len(set(names)) != len(names):
        raise Unprocessable("An output is asked for twice.", field="outputs")
    if "heat_map" in names and not asked.explain:
        raise Unprocessable(
            "A heat map is made only with the parameter explain.", field=f"outputs[{names.index('heat_map')}]"
        )
    return names or [name for name in OUTPUTS if name != "heat_map" or asked.explain]


def _response(
    request: oip.ModelInferRequest, name: str, results: Sequence[Answered], wanted: list[str]
) -> oip.ModelInferResponse:
    made = oip.ModelInferResponse(model_name=name, model_version=results[0].model_id, id=request.id)
    raw = len(request.raw_input_contents) > 0
    for output in wanted:
        put_tensor(made, output, OUTPUTS[output], _OF_RESULTS[output](results), raw)
    return made


_OF_RESULTS = {
    "labels": lambda results: bytes_array([result.prediction.labels for result in results]),
    "scores": lambda results: np.array([result.prediction.scores for result in results], dtype=np.float32),
    "abstained": lambda results: np.array([result.prediction.abstained for result in results], dtype=bool),
    "calibrated": lambda results: np.array([result.prediction.calibrated for result in results], dtype=bool),
    "label_set": lambda results: bytes_array([_label_set(result) for result in results]),
    "prediction_id": lambda results: bytes_array([result.id for result in results]),
    "image_embeds": lambda results: np.stack([result.embedding for result in results]),
    "heat_map": lambda results: bytes_array([result.heat_map or b"" for result in results]),
}


def _label_set(result: Answered) -> str:
    found = result.prediction.label_set
    return json.dumps(None if found is None else list(found), ensure_ascii=False)
