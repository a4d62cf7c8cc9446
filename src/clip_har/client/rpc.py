"""The service over gRPC, for threads and for event loops: the same answers, in the same shapes, as over REST."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

from clip_har.client import messages
from clip_har.client.folders import Progress, ask_all, ask_all_async
from clip_har.client.messages import Call, Frame, grpc
from clip_har.client.pictures import Picture, content, contents
from clip_har.client.results import Outcome, PictureResult, only_result, options_of
from clip_har.client.retrying import Tries
from clip_har.client.settings import ClientSettings
from clip_har.serving.schemas import EmbedResponse, FeedbackResponse, PredictResponse
from clip_har.serving.schemas.rpc.action_recognition_pb2_grpc import ActionRecognitionStub

DEFAULT_TARGET = "127.0.0.1:3001"
_LOOK_SECONDS = 0.1


class Connection:
    """Where a service is, and how it is asked: what both clients are made with.

    Args:
        target: host and port.
        key: API key, if the service wants one.
        settings: how long, how often again, and what is sent.
        tls: whether TLS is spoken; implied by any of the files.
        ca_certificate: PEM file of the authority that signed the service's certificate; the system's if not given.
        certificate, certificate_key: PEM files that this client shows, if it must.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        key: str | None = None,
        settings: ClientSettings | None = None,
        tls: bool = False,
        ca_certificate: str | Path | None = None,
        certificate: str | Path | None = None,
        certificate_key: str | Path | None = None,
    ) -> None:
        self.target, self._key = target, key
        self.settings = settings or ClientSettings()
        secure = tls or ca_certificate is not None or certificate is not None or certificate_key is not None
        self._credentials = messages.credentials(ca_certificate, certificate, certificate_key) if secure else None
        self._options = messages.channel_options(self.settings.max_answer_bytes)

    def _open(self, module: Any) -> Any:
        """A channel of `grpc` or `grpc.aio`."""
        if self._credentials is None:
            return module.insecure_channel(self.target, options=self._options)
        return module.secure_channel(self.target, self._credentials, options=self._options)


class GrpcClient(Connection):
    """A service over gRPC, made as a `Connection` is. Safe to use from several threads; raises what `Client` does."""

    def __init__(self, target: str = DEFAULT_TARGET, **options: Any) -> None:
        super().__init__(target, **options)
        self._channel = self._open(grpc)
        self._stub = ActionRecognitionStub(self._channel)

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def predict(
        self, pictures: Picture | Iterable[Picture], *, request_id: str | None = None, **options: Any
    ) -> PredictResponse:
        """As `Client.predict`."""
        chosen = options_of(**options)
        return messages.predicted(self._ask(messages.predict(contents(pictures, self.settings), chosen, request_id)))

    def embed(self, pictures: Picture | Iterable[Picture], *, request_id: str | None = None) -> EmbedResponse:
        """As `Client.embed`."""
        return messages.embedded(self._ask(messages.embed(contents(pictures, self.settings), request_id)))

    def feedback(self, prediction_id: str, label: str) -> FeedbackResponse:
        """As `Client.feedback`."""
        call = messages.feedback(prediction_id, label)
        return messages.told(self._ask(call), call)

    def ready(self) -> bool:
        """Whether the service answers pictures now. Asks once and raises nothing."""
        check = self._channel.unary_unary(messages.HEALTH)
        try:
            return check(b"", timeout=self.settings.connect_seconds) == messages.SERVING
        except grpc.RpcError:
            return False

    def predict_files(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        concurrency: int | None = None,
        ordered: bool = True,
        progress: Progress | None = None,
        **options: Any,
    ) -> Iterator[tuple[Path, Outcome]]:
        """As `Client.predict_files`."""
        chosen = options_of(**options)

        def one(path: Path) -> PictureResult:
            call = messages.predict(contents(path, self.settings), chosen, None)
            return only_result(messages.predicted(self._ask(call)))

        return ask_all(one, paths, concurrency or self.settings.concurrency, ordered, progress)

    def predict_stream(
        self, frames: Iterable[tuple[str, Picture]], *, in_flight: int = 2, **options: Any
    ) -> Iterator[Frame]:
        """Answers to frames as they come, over one stream; nothing is tried again.

        Args:
            frames: a frame's id, which its answer carries, and its picture. The next is taken only when fewer than
                `in_flight` are unanswered: frames that give the newest picture then never wait in a queue.
            options: as for `predict`; they hold for all frames.

        Yields:
            Answers as they are ready, not always in the frames' order.

        Raises:
            ServiceProblem: if the stream as a whole ends otherwise than by its last frame.
        """
        chosen = options_of(**options)
        places, over = threading.Semaphore(in_flight), threading.Event()
        failed: list[BaseException] = []

        def sent() -> Iterator[Any]:  # gRPC takes from it in a thread of its own, and hides what it raises
            first, source = True, iter(frames)
            try:
                while True:
                    while not places.acquire(timeout=_LOOK_SECONDS):
                        if over.is_set():
                            return
                    try:
                        frame_id, picture = next(source)
                    except StopIteration:
                        return
                    yield messages.frame(frame_id, content(picture, self.settings), chosen if first else None)
                    first = False
            except Exception as error:
                failed.append(error)

        opened = Call("PredictStream", None)
        answers = self._stub.PredictStream(sent(), metadata=opened.metadata(self._key))
        try:
            for response in answers:
                places.release()
                yield messages.answered(response, opened.request_id)
        except grpc.RpcError as error:
            raise messages.failure(error, self.target, opened.request_id) from error
        finally:
            over.set()
            answers.cancel()
        if failed:
            raise failed[0]

    def _ask(self, call: Call) -> Any:
        tries = Tries(self.settings, repeatable=call.repeatable)
        method, metadata = getattr(self._stub, call.method), call.metadata(self._key)
        while True:
            try:
                return method(call.message, timeout=tries.seconds_left(), metadata=metadata)
            except grpc.RpcError as error:
                problem = messages.failure(error, self.target, call.request_id)
            time.sleep(tries.wait_after(problem))


class AsyncGrpcClient(Connection):
    """As `GrpcClient`, for event loops. To be made inside the loop that it is used in."""

    def __init__(self, target: str = DEFAULT_TARGET, **options: Any) -> None:
        super().__init__(target, **options)
        self._channel = self._open(grpc.aio)
        self._stub = ActionRecognitionStub(self._channel)

    async def __aenter__(self) -> AsyncGrpcClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def predict(
        self, pictures: Picture | Iterable[Picture], *, request_id: str | None = None, **options: Any
    ) -> PredictResponse:
        """As `Client.predict`."""
        chosen = options_of(**options)
        read = await asyncio.to_thread(contents, pictures, self.settings)
        return messages.predicted(await self._ask(messages.predict(read, chosen, request_id)))

    async def embed(self, pictures: Picture | Iterable[Picture], *, request_id: str | None = None) -> EmbedResponse:
        """As `Client.embed`."""
        read = await asyncio.to_thread(contents, pictures, self.settings)
        return messages.embedded(await self._ask(messages.embed(read, request_id)))

    async def feedback(self, prediction_id: str, label: str) -> FeedbackResponse:
        """As `Client.feedback`."""
        call = messages.feedback(prediction_id, label)
        return messages.told(await self._ask(call), call)

    async def ready(self) -> bool:
        """As `GrpcClient.ready`."""
        check = self._channel.unary_unary(messages.HEALTH)
        try:
            return await check(b"", timeout=self.settings.connect_seconds) == messages.SERVING
        except grpc.RpcError:
            return False

    def predict_files(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        concurrency: int | None = None,
        ordered: bool = True,
        progress: Progress | None = None,
        **options: Any,
    ) -> AsyncGenerator[tuple[Path, Outcome], None]:
        """As `Client.predict_files`, to be read with `async for`."""
        chosen = options_of(**options)

        async def one(path: Path) -> PictureResult:
            read = await asyncio.to_thread(contents, path, self.settings)
            return only_result(messages.predicted(await self._ask(messages.predict(read, chosen, None))))

        return ask_all_async(one, paths, concurrency or self.settings.concurrency, ordered, progress)

    async def predict_stream(
        self, frames: AsyncIterable[tuple[str, Picture]], *, in_flight: int = 2, **options: Any
    ) -> AsyncIterator[Frame]:
        """As `GrpcClient.predict_stream`; frames come by `async for`."""
        chosen = options_of(**options)
        places = asyncio.Semaphore(in_flight)
        failed: list[BaseException] = []

        async def sent() -> AsyncIterator[Any]:
            first, source = True, aiter(frames)
            try:
                while True:
                    await places.acquire()
                    try:
                        frame_id, picture = await anext(source)
                    except StopAsyncIteration:
                        return
                    read = await asyncio.to_thread(content, picture, self.settings)
                    yield messages.frame(frame_id, read, chosen if first else None)
                    first = False
            except Exception as error:
                failed.append(error)

        opened = Call("PredictStream", None)
        answers = self._stub.PredictStream(sent(), metadata=opened.metadata(self._key))
        try:
            async for response in answers:
                places.release()
                yield messages.answered(response, opened.request_id)
        except grpc.RpcError as error:
            raise messages.failure(error, self.target, opened.request_id) from error
        finally:
            answers.cancel()
        if failed:
            raise failed[0]

    async def _ask(self, call: Call) -> Any:
        tries = Tries(self.settings, repeatable=call.repeatable)
        method, metadata = getattr(self._stub, call.method), call.metadata(self._key)
        while True:
            try:
                return await method(call.message, timeout=tries.seconds_left(), metadata=metadata)
            except grpc.RpcError as error:
                problem = messages.failure(error, self.target, call.request_id)
            await asyncio.sleep(tries.wait_after(problem))
