"""The generated code is what the protos say, and the Open Inference Protocol's messages are the protocol's."""

from __future__ import annotations

from pathlib import Path

import pytest

from clip_har.serving.rpc.generate import GENERATED, generate
from clip_har.serving.schemas.rpc import action_recognition_pb2, open_inference_pb2


def test_the_generated_code_is_current(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    made = generate(tmp_path)
    committed = {path.name for path in GENERATED.iterdir() if "_pb2" in path.name}
    assert {path.name for path in made} == committed
    for path in made:
        assert path.read_text() == (GENERATED / path.name).read_text(), f"{path.name}: renew it (rpc/generate.py)"


def messages_of(descriptor, prefix: str = "") -> dict:
    """Name → its fields, of all messages and those inside them."""
    found = {}
    for message in descriptor.values():
        name = prefix + message.name
        fields = {(field.name, field.number, field.type, field.is_repeated) for field in message.fields}
        found[name] = fields
        found |= messages_of(message.nested_types_by_name, f"{name}.")
    return found


def test_the_messages_are_those_that_foreign_clients_send() -> None:
    """Both packages in one process, besides: their names do not meet."""
    theirs = pytest.importorskip("tritonclient.grpc").service_pb2.DESCRIPTOR
    ours = open_inference_pb2.DESCRIPTOR
    known = messages_of(theirs.message_types_by_name)
    for name, fields in messages_of(ours.message_types_by_name).items():
        assert fields <= known[name], name
    service, foreign = (file.services_by_name["GRPCInferenceService"] for file in (ours, theirs))
    for method in service.methods:
        other = foreign.methods_by_name[method.name]
        assert (method.input_type.full_name, method.output_type.full_name) == (
            other.input_type.full_name,
            other.output_type.full_name,
        )


def test_messages_can_be_copied_and_printed() -> None:
    """The pool of our own is no hindrance."""
    from google.protobuf import json_format

    response = action_recognition_pb2.PredictResponse(model_id="m")
    response.results.add(label="running").seconds["head"] = 0.5
    assert json_format.Parse(json_format.MessageToJson(response), action_recognition_pb2.PredictResponse()) == response
