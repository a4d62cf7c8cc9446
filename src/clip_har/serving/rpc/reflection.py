"""Server reflection, so that tools like grpcurl can call without the protos."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, aio

# The same messages under the name that newer tools ask for first.
SERVICES = ("grpc.reflection.v1.ServerReflection", SERVICE_NAME)
_METHOD = "ServerReflectionInfo"


class Reflection:
    """Says which services there are and what their messages look like.

    Args:
        services: their full names.
        files: the protos that they are in; none may import another.
    """

    def __init__(self, services: Iterable[str], files: Iterable[FileDescriptor]) -> None:
        pool = DescriptorPool()
        for file in (*files, reflection_pb2.DESCRIPTOR):
            pool.AddSerializedFile(file.serialized_pb)
        self._servicer = aio.ReflectionServicer((*services, *SERVICES), pool=pool)

    def services(self) -> dict[str, dict[str, grpc.RpcMethodHandler]]:
        """The service under both its names, each with its method."""
        method = grpc.stream_stream_rpc_method_handler(
            self.answers, response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString
        )
        return {name: {_METHOD: method} for name in SERVICES}

    async def answers(self, messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        """An answer to each question."""
        async for raw in messages:
            try:
                asked = reflection_pb2.ServerReflectionRequest.FromString(raw)
            except DecodeError:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The message is no ServerReflectionRequest.")
            async for answer in self._servicer.ServerReflectionInfo(_one(asked), context):
                yield answer


async def _one(item: Any) -> AsyncIterator[Any]:
    yield item
