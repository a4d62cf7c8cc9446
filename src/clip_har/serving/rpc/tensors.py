"""The Open Inference Protocol's tensors ↔ numpy: in typed fields, or raw (little-endian, row-major, BYTES with lengths)."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clip_har.serving.errors import Unprocessable
from clip_har.serving.schemas.rpc import open_inference_pb2 as oip

_FIELDS = {"BYTES": "bytes_contents", "FP32": "fp32_contents", "BOOL": "bool_contents"}
_RAW_TYPES = {"FP32": np.dtype("<f4"), "BOOL": np.dtype("?")}
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Tensor:
    """An input.

    Attributes:
        shape: no dimension is below 0.
        values: of BYTES a list of bytes in row-major order; of FP32 float32 of that shape.
    """

    shape: tuple[int, ...]
    values: Any


def tensors_in(request: oip.ModelInferRequest, wanted: dict[str, str]) -> dict[str, Tensor]:
    """The inputs of a request, by name.

    Args:
        wanted: names that are known, with their datatypes.

    Raises:
        Unprocessable: if one is unknown, given twice, or not what it says it is.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise Unprocessable(
            f"raw_input_contents has {len(raw)} entries for {len(request.inputs)} inputs; one for each is wanted, or none.",
            field="raw_input_contents",
        )
    found: dict[str, Tensor] = {}
    for place, given in enumerate(request.inputs):
        field = f"inputs[{place}]"
        if given.name not in wanted:
            raise Unprocessable(
                f"There is no input {given.name[:40]!r}; wanted: {', '.join(wanted)}.", field=f"{field}.name"
            )
        if given.name in found:
            raise Unprocessable(f"The input {given.name} is given twice.", field=f"{field}.name")
        if given.datatype != wanted[given.name]:
            raise Unprocessable(
                f"{given.name} is {wanted[given.name]}, not {given.datatype[:40]!r}.", field=f"{field}.datatype"
            )
        if given.parameters:
            raise Unprocessable(
                f"{given.name}: no parameters are known here, got {sorted(given.parameters)[0][:40]!r}.",
                field=f"{field}.parameters",
            )
        shape = tuple(given.shape)
        if any(size < 0 for size in shape):
            raise Unprocessable(f"{given.name}: a shape of {list(shape)} is none.", field=f"{field}.shape")
        values = _raw(given, raw[place], field) if raw else _typed(given, field)
        if len(values) != math.prod(shape):
            raise Unprocessable(
                f"{given.name}: a shape of {list(shape)} has {math.prod(shape)} elements, and {len(values)} are given.",
                field=f"{field}.shape",
            )
        found[given.name] = Tensor(shape, values if given.datatype == "BYTES" else values.reshape(shape))
    return found


def texts_in(tensor: Tensor | None, name: str) -> tuple[str, ...] | None:
    """BYTES as texts; None if there is no such tensor.

    Raises:
        Unprocessable: if they are not UTF-8.
    """
    if tensor is None:
        return None
    try:
        return tuple(value.decode() for value in tensor.values)
    except UnicodeDecodeError as error:
        raise Unprocessable(f"{name}: text in UTF-8 is wanted.", field=name) from error


def put_tensor(response: oip.ModelInferResponse, name: str, datatype: str, values: Any, raw: bool) -> None:
    """Add an output.

    Args:
        values: of BYTES an array of bytes objects, else an array of the datatype.
        raw: whether it goes to raw_output_contents.
    """
    output = response.outputs.add(name=name, datatype=datatype, shape=values.shape)
    flat = values.ravel()
    if not raw:
        getattr(output.contents, _FIELDS[datatype]).extend(flat.tolist())
    elif datatype == "BYTES":
        response.raw_output_contents.append(
            b"".join(part for value in flat for part in (_LENGTH.pack(len(value)), value))
        )
    else:
        response.raw_output_contents.append(np.ascontiguousarray(flat, dtype=_RAW_TYPES[datatype]).tobytes())


def bytes_array(values: Sequence[Any]) -> np.ndarray:
    """Texts or bytes, nested in lists, as an array of bytes objects."""
    shape = (len(values), len(values[0])) if isinstance(values[0], list | tuple) else (len(values),)
    flat = [value for row in values for value in row] if len(shape) == 2 else values
    made = np.empty(len(flat), dtype=object)
    made[:] = [value.encode("utf-8", "replace") if isinstance(value, str) else value for value in flat]
    return made.reshape(shape)


def _typed(given: oip.ModelInferRequest.InferInputTensor, field: str) -> Any:
    wanted = _FIELDS[given.datatype]
    for other, _ in given.contents.ListFields():
        if other.name != wanted:
            raise Unprocessable(f"The elements of {given.datatype} belong in {wanted}.", field=f"{field}.contents")
    values = getattr(given.contents, wanted)
    return list(values) if given.datatype == "BYTES" else np.array(values, dtype=np.float32)


def _raw(given: oip.ModelInferRequest.InferInputTensor, data: bytes, field: str) -> Any:
    if given.HasField("contents"):
        raise Unprocessable(
            f"{given.name} has contents and raw_input_contents; one of them is wanted.", field=f"{field}.contents"
        )
    if given.datatype != "BYTES":
        if len(data) % 4:
            raise Unprocessable(f"{given.name}: {len(data)} bytes are no whole number of FP32.", field=field)
        return np.frombuffer(data, dtype="<f4")
    values, place = [], 0
    while place < len(data):
        if place + 4 > len(data):
            raise Unprocessable(f"{given.name}: the last length is cut off.", field=field)
        (length,) = _LENGTH.unpack_from(data, place)
        place += 4 + length
        if place > len(data):
            raise Unprocessable(
                f"{given.name}: an element of {length:,} bytes is announced, and {len(data) - place + length:,} follow.",
                field=field,
            )
        values.append(data[place - length : place])
    return values
