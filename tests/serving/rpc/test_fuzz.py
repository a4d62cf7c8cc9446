"""Random requests: OK, or a code that says whose mistake it is; never UNKNOWN or INTERNAL, and never the end.

CLIP_HAR_FUZZ_CASES sets how many (150).
"""

from __future__ import annotations

import os
import random
import struct
from collections import Counter
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from clip_har.serving.schemas.rpc import action_recognition_pb2 as v1
from clip_har.serving.schemas.rpc import open_inference_pb2 as oip
from tests.inference.test_mutated_images import FORMATS, mutated
from tests.serving.rpc.service import Service, picture

CASES = int(os.environ.get("CLIP_HAR_FUZZ_CASES", "150"))
ALLOWED = {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}
FILES = [picture(seed, format=format) for seed, format in enumerate(FORMATS)]
TEXTS = (
    "",
    "running",
    "a photo of a person {}.",
    "{}{}",
    "\0",
    "跑步",
    "🏃" * 40,
    "x" * 101,
    "images",
    "clip-har",
    "BYTES",
)
NUMBERS = (0, 1, -1, 2, 5, 100, 2**31 - 1, -(2**31))
FLOATS = (0.0, 0.5, 1.0, -1.0, 0.9, float("nan"), float("inf"), 1e308, 1e-320)
METHODS = {
    "/clip_har.v1.ActionRecognition/Predict": v1.PredictRequest,
    "/clip_har.v1.ActionRecognition/Embed": v1.EmbedRequest,
    "/clip_har.v1.ActionRecognition/Feedback": v1.FeedbackRequest,
    "/clip_har.v1.ActionRecognition/PredictStream": v1.PredictStreamRequest,
    "/inference.GRPCInferenceService/ModelInfer": oip.ModelInferRequest,
    "/inference.GRPCInferenceService/ModelMetadata": oip.ModelMetadataRequest,
    "/inference.GRPCInferenceService/ModelReady": oip.ModelReadyRequest,
    "/inference.GRPCInferenceService/ServerMetadata": oip.ServerMetadataRequest,
}


def some_bytes(chance: random.Random) -> bytes:
    kind = chance.randrange(5)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    file = chance.choice(FILES)
    if kind == 1:
        return mutated(file, np.random.default_rng(chance.randrange(2**32)))
    return struct.pack("<I", len(file)) + file if kind == 2 else file


def value_of(field: FieldDescriptor, chance: random.Random):
    if field.type == FieldDescriptor.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type == FieldDescriptor.TYPE_STRING:
        return chance.choice(TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return some_bytes(chance)
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        number = chance.choice(FLOATS)
        return number if field.type == FieldDescriptor.TYPE_DOUBLE or abs(number) < 1e38 else 1.0
    number = chance.choice(NUMBERS)
    return abs(number) if field.type in (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64) else number


def filled(message: Message, chance: random.Random, depth: int = 0) -> Message:
    """A message with random fields, each by chance."""
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.4:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for _ in range(chance.randrange(3)):
                name = chance.choice(("top_k", "threshold", "coverage", "conformal", "explain", "else", "priority"))
                if name != "explain":  # heat maps are slow
                    filled(getattr(message, field.name)[name], chance, depth + 1)
        elif field.is_repeated:
            for _ in range(chance.choice((0, 1, 1, 2, 3, 20))):
                target = getattr(message, field.name)
                if field.message_type is not None:
                    filled(target.add(), chance, depth + 1)
                else:
                    target.append(value_of(field, chance))
        elif field.message_type is not None:
            filled(getattr(message, field.name), chance, depth + 1)
        elif field.name != "explain":
            setattr(message, field.name, value_of(field, chance))
    return message


def likely(message: Message, chance: random.Random) -> Message:
    """The same nearer to what is answered."""
    if isinstance(message, oip.ModelInferRequest) and chance.random() < 0.8:
        message.model_name, message.model_version = "clip-har", ""
        if chance.random() < 0.8:
            del message.raw_input_contents[:]
            for tensor in message.inputs:
                tensor.parameters.clear()
                tensor.name = chance.choice(("images", "images", "labels", "pixel_values", "templates"))
                tensor.datatype = "FP32" if tensor.name == "pixel_values" else "BYTES"
                kept = [len(tensor.contents.bytes_contents)]
                tensor.contents.CopyFrom(oip.InferTensorContents(bytes_contents=tensor.contents.bytes_contents))
                del tensor.shape[:]
                tensor.shape.extend(kept)
    return message


def payload(method: str, chance: random.Random) -> bytes:
    if chance.random() < 0.15:
        return chance.randbytes(chance.randrange(300))
    data = likely(filled(METHODS[method](), chance), chance).SerializeToString()
    if chance.random() < 0.15 and data:
        return mutated(data, np.random.default_rng(chance.randrange(2**32)))
    return data


def outcome(service: Service, method: str, data: bytes) -> str:
    """The code that bytes are answered with; of a stream, two such messages'."""
    as_is = {"request_serializer": bytes, "response_deserializer": bytes}
    try:
        if method.endswith("Stream"):
            list(service.channel.stream_stream(method, **as_is)(iter([data, data]), timeout=20))
        else:
            service.channel.unary_unary(method, **as_is)(data, timeout=20)
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def test_random_requests_are_answered_or_refused(service: Service) -> None:
    chance, found = random.Random(8), Counter()
    for _ in range(CASES):
        method = chance.choice(list(METHODS))
        data = payload(method, chance)
        code = outcome(service, method, data)
        assert code in ALLOWED, (code, method, data)
        found[code] += 1
    assert set(found) == ALLOWED, found
    assert service.engine.admission.depth == 0
    print(found)


@pytest.mark.slow
def test_mutated_images_are_answered_or_refused(service: Service, har_folder: Path) -> None:
    """The files of `tests/inference/test_mutated_images.py`, in both services."""
    generator, found = np.random.default_rng(0), Counter()
    files = [*FILES, *(path.read_bytes() for path in sorted((har_folder / "train").glob("*.jpg"))[:3])]
    for number in range(max(300, CASES)):
        data = mutated(files[number % len(files)], generator)
        if number % 2:
            code = outcome(
                service,
                "/clip_har.v1.ActionRecognition/Predict",
                v1.PredictRequest(images=[v1.Image(content=data)]).SerializeToString(),
            )
        else:
            request = oip.ModelInferRequest(model_name="clip-har")
            request.inputs.add(name="images", datatype="BYTES", shape=[1]).contents.bytes_contents.append(data)
            code = outcome(service, "/inference.GRPCInferenceService/ModelInfer", request.SerializeToString())
        assert code in ("OK", "INVALID_ARGUMENT"), (code, data[:100])
        found[code] += 1
    assert min(found["OK"], found["INVALID_ARGUMENT"]) > 30, found
    print(found)
