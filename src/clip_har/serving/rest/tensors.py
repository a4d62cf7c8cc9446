"""Tensors of the Open Inference Protocol over REST: out of JSON or the bytes after it, and back."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from clip_har.serving.errors import BadRequest, Unprocessable
from clip_har.serving.rest.reading import decoded_base64
from clip_har.serving.schemas.open_inference import InferTensor

_MOST_ELEMENTS = 50_000_000
_LENGTH = struct.Struct("<I")


class BinaryData:
    """The bytes after the JSON, handed out in the order of the tensors.

    Args:
        data: all of them.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def take(self, size: int, field: str) -> bytes:
        """The next bytes.

        Raises:
            BadRequest: if there are fewer.
        """
        if size < 0 or self._place + size > len(self._data):
            rest = len(self._data) - self._place
            raise BadRequest(f"{field}: {size:,} bytes are announced, and {rest:,} follow.", field=field)
        part = self._data[self._place : self._place + size]
        self._place += size
        return part

    def finish(self) -> None:
        """Refuse bytes that no tensor has taken.

        Raises:
            BadRequest: if there are any.
        """
        rest = len(self._data) - self._place
        if rest:
            raise BadRequest(f"{rest:,} bytes follow the JSON that belong to no tensor.", field="body")


def bytes_tensor(tensor: InferTensor, binary: BinaryData, field: str, *, encoded: bool) -> list[bytes]:
    """A BYTES tensor of one dimension → its elements.

    Args:
        encoded: whether JSON has them as base64 (pictures); as text otherwise.

    Raises:
        BadRequest, Unprocessable: if it is none.
    """
    _require(tensor, "BYTES", field)
    if len(tensor.shape) > 1 and math.prod(tensor.shape[1:]) != 1:  # [n, 1] is what some clients send for [n]
        raise Unprocessable(f"{field}.shape: wanted: [n], got {tensor.shape[:8]}.", field=f"{field}.shape")
    size = _binary_size(tensor, field)
    if size is not None:
        elements = _split(binary.take(size, field), field)
    else:
        flat = _flat(tensor.data or [])
        if not all(isinstance(element, str) for element in flat):
            raise Unprocessable(f"{field}.data: wanted: strings.", field=f"{field}.data")
        elements = [
            decoded_base64(text, f"{field}.data[{place}]") if encoded else text.encode("utf-8", "surrogatepass")
            for place, text in enumerate(flat)
        ]
    _require_count(tensor, len(elements), field)
    return elements


def float_tensor(tensor: InferTensor, binary: BinaryData, field: str) -> np.ndarray:
    """An FP32 tensor → float32 of its shape.

    Raises:
        BadRequest, Unprocessable: if it is none, or holds what is no finite number.
    """
    _require(tensor, "FP32", field)
    size = _binary_size(tensor, field)
    if size is not None:
        raw = binary.take(size, field)
        if size % 4:
            raise BadRequest(f"{field}: {size:,} bytes are no FP32 data.", field=field)
        values = np.frombuffer(raw, dtype="<f4").astype(np.float32, copy=False)
    else:
        try:
            flat = _flat(tensor.data or [])
            if any(isinstance(value, bool) or not isinstance(value, int | float) for value in flat):
                raise ValueError
            with np.errstate(over="ignore"):
                values = np.asarray(flat, dtype=np.float64).astype(np.float32)
        except (ValueError, OverflowError):
            raise Unprocessable(f"{field}.data: wanted: numbers.", field=f"{field}.data") from None
    _require_count(tensor, values.size, field)
    if not np.isfinite(values).all():
        raise Unprocessable(f"{field}.data: every number must be finite.", field=f"{field}.data")
    return values.reshape(tensor.shape)


def output_tensor(name: str, datatype: str, values: Any, binary: bool) -> tuple[dict[str, Any], bytes | None]:
    """An output's description with its data, or with their size and the data apart.

    Args:
        values: list (of lists) of bytes for BYTES, array otherwise.
        binary: whether the data are to follow the JSON.
    """
    shape = _shape_of(values) if datatype == "BYTES" else list(values.shape)
    described: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
    if binary:
        if datatype == "BYTES":
            data = b"".join(part for element in _flat(values) for part in (_LENGTH.pack(len(element)), element))
        else:
            data = np.ascontiguousarray(values, dtype="<f4" if datatype == "FP32" else np.bool_).tobytes()
        return described | {"parameters": {"binary_data_size": len(data)}}, data
    flat = [element.decode() for element in _flat(values)] if datatype == "BYTES" else values.ravel().tolist()
    return described | {"data": flat}, None


def _require(tensor: InferTensor, datatype: str, field: str) -> None:
    if tensor.datatype != datatype:
        raise Unprocessable(
            f"{field}.datatype: wanted: {datatype} for {tensor.name!r}, got {tensor.datatype[:20]!r}.",
            field=f"{field}.datatype",
        )
    if any(size < 0 for size in tensor.shape) or math.prod(tensor.shape) > _MOST_ELEMENTS:
        raise Unprocessable(f"{field}.shape: {tensor.shape[:8]} is no shape of a tensor.", field=f"{field}.shape")
    for name in tensor.parameters or {}:
        if name not in ("binary_data_size", "content_type"):
            raise Unprocessable(f"{field}.parameters: {name[:40]!r} is not known here.", field=f"{field}.parameters")


def _require_count(tensor: InferTensor, count: int, field: str) -> None:
    wanted = math.prod(tensor.shape)
    if count != wanted:
        raise Unprocessable(
            f"{field}: the shape {tensor.shape[:8]} wants {wanted:,} elements, and there are {count:,}.",
            field=f"{field}.shape",
        )


def _binary_size(tensor: InferTensor, field: str) -> int | None:
    size = (tensor.parameters or {}).get("binary_data_size")
    if size is None:
        if tensor.data is None:
            raise Unprocessable(f"{field}: data are wanted, or binary_data_size.", field=f"{field}.data")
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        place = f"{field}.parameters.binary_data_size"
        raise Unprocessable(f"{place}: wanted: a number of bytes.", field=place)
    if tensor.data is not None:
        raise Unprocessable(f"{field}: data and binary_data_size are both given.", field=f"{field}.data")
    return size


def _split(data: bytes, field: str) -> list[bytes]:
    """Elements, each after its length in four bytes, little-endian."""
    elements, place = [], 0
    while place < len(data):
        if place + 4 > len(data):
            raise BadRequest(f"{field}: the data end inside an element's length.", field=field)
        (size,) = _LENGTH.unpack_from(data, place)
        place += 4
        if place + size > len(data):
            raise BadRequest(f"{field}: the data end inside an element of {size:,} bytes.", field=field)
        elements.append(data[place : place + size])
        place += size
    return elements


def _flat(values: Sequence[Any]) -> list[Any]:
    """Nested lists → their elements, in order."""
    flat = list(values)
    for _ in range(8):
        if not any(isinstance(value, list) for value in flat):
            return flat
        flat = [one for value in flat for one in (value if isinstance(value, list) else [value])]
    raise Unprocessable("data: the lists are nested more than eight deep.", field="inputs")


def _shape_of(values: Sequence[Any]) -> list[int]:
    return [len(values), len(values[0])] if values and isinstance(values[0], list) else [len(values)]
