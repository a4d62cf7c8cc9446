"""What grpcurl would do with a command line: its flags, the address, the method and the JSON are taken as they stand."""

from __future__ import annotations

import argparse
import json
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def grpcurl(arguments: list[str], stdin: str = "") -> Any:
    """The answer as JSON; the names of services; or those of the methods of one.

    Args:
        arguments: the command's own, without its name. What grpcurl would refuse is refused too.
        stdin: what `-d @` reads.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-d", default="")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("address")
    parser.add_argument("words", nargs="+")
    options = parser.parse_args(arguments)
    assert options.address.rpartition(":")[2].isdecimal(), options.address
    with grpc.insecure_channel(options.address) as channel:
        reflection = ProtoReflectionDescriptorDatabase(channel)
        if options.words == ["list"]:
            return list(reflection.get_services())
        pool = DescriptorPool(reflection)
        verb, *rest = options.words
        if verb == "describe":
            return [method.name for method in pool.FindServiceByName(rest[0]).methods]
        assert not rest
        service, _, name = verb.partition("/")
        method = pool.FindServiceByName(service).methods_by_name[name]
        assert not method.client_streaming
        text = stdin if options.d == "@" else options.d
        message = json_format.ParseDict(
            json.loads(text) if text else {}, GetMessageClass(method.input_type)(), descriptor_pool=pool
        )
        metadata = [(key.strip().lower(), value.strip()) for key, value in (one.split(":", 1) for one in options.H)]
        call = channel.unary_unary(
            f"/{service}/{name}",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        return json_format.MessageToDict(call(message, metadata=metadata, timeout=30))
