"""The Open Inference Protocol, version 2 (KServe's V2 protocol), with the binary tensor data extension.

Names of the model's tensors stand here for REST and gRPC alike.
https://github.com/kserve/open-inference-protocol and https://github.com/triton-inference-server/server (protocol extensions).
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

IMAGES, PIXELS, LABELS, TEMPLATES = "images", "pixel_values", "labels", "templates"
"""Inputs: image files BYTES [n], or ready tensors FP32 [n, 3, h, w]; with them labels BYTES [c], templates BYTES [t]."""

OUTPUTS: dict[str, str] = {
    "labels": "BYTES",
    "scores": "FP32",
    "abstained": "BOOL",
    "calibrated": "BOOL",
    "label_set": "BYTES",
    "prediction_id": "BYTES",
    "image_embeds": "FP32",
    "heat_map": "BYTES",
}
"""Outputs and their types: labels and scores [n, k], image_embeds [n, d], the others [n]. A label set is JSON: a list or null."""

OPTIONS = ("top_k", "threshold", "coverage", "conformal", "explain")
"""Parameters of a request that are ours."""
IGNORED_OPTIONS = frozenset(
    {"priority", "timeout", "sequence_id", "sequence_start", "sequence_end", "binary_data_output"}
)
"""Parameters that clients send of themselves."""

BINARY_EXTENSION = "binary_tensor_data"
HEADER_LENGTH = "Inference-Header-Content-Length"

Parameters = dict[str, Any]


class ServerMetadata(BaseModel):
    """`GET /v2`."""

    name: str = Field(description="Of the server.")
    version: str = Field(description="Of clip-har.")
    extensions: list[str] = Field(description="Extensions of the protocol that are spoken.")


class TensorMetadata(BaseModel):
    """A tensor that the model takes or gives."""

    name: str = Field(description="Its name.")
    datatype: str = Field(description="BYTES, FP32 or BOOL.")
    shape: list[int] = Field(description="-1 where it may be any.")


class ModelMetadata(BaseModel):
    """`GET /v2/models/{name}`."""

    name: str = Field(description="The model's name.")
    versions: list[str] = Field(description="Model ids.")
    platform: str = Field(description="What runs the image encoder, in the protocol's words.")
    inputs: list[TensorMetadata] = Field(description="`images` or `pixel_values`; `labels` and `templates` if wanted.")
    outputs: list[TensorMetadata] = Field(description="What can be asked for.")


class InferTensor(BaseModel):
    """A tensor of a request or an answer."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, description="Its name.")
    datatype: str = Field(min_length=1, description="BYTES, FP32 or BOOL.")
    shape: list[int] = Field(min_length=1, max_length=8, description="Sizes of its dimensions.")
    parameters: Parameters | None = Field(
        None, description="`binary_data_size`: its data follow the JSON, in so many bytes."
    )
    data: list[Any] | None = Field(
        None, description="Its values in row-major order, flat or nested. BYTES: base64 for pictures, text for labels."
    )


class RequestedOutput(BaseModel):
    """An output that is wanted."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, description="Its name.")
    parameters: Parameters | None = Field(None, description="`binary_data`: whether its data are to follow the JSON.")


class InferRequest(BaseModel):
    """`POST /v2/models/{name}/infer`."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(None, max_length=128, description="Comes back in the answer.")
    parameters: Parameters | None = Field(
        None,
        description="top_k, threshold, coverage, conformal, explain; `binary_data_output`: whether all outputs are to follow "
        "the JSON.",
    )
    inputs: list[InferTensor] = Field(min_length=1, max_length=4, description="The tensors.")
    outputs: list[RequestedOutput] | None = Field(None, description="Outputs that are wanted; all if not given.")


class InferResponse(BaseModel):
    """The answer."""

    model_name: str = Field(description="The model's name.")
    model_version: str = Field(description="Model id of the one that answered.")
    id: str | None = Field(None, description="The request's.")
    outputs: list[InferTensor] = Field(description="The tensors.")
