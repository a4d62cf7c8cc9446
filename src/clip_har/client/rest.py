"""The service over REST, for threads and for event loops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx

from clip_har.client import exchange
from clip_har.client.errors import ServiceProblem
from clip_har.client.exchange import DEFAULT_URL, Answer, Ask
from clip_har.client.folders import Progress, ask_all, ask_all_async
from clip_har.client.pictures import Picture, contents
from clip_har.client.results import Outcome, PictureResult, only_result, options_of
from clip_har.client.retrying import Tries
from clip_har.client.settings import ClientSettings
from clip_har.serving.schemas import (
    EmbedResponse,
    FeedbackResponse,
    LabelsResponse,
    ModelResponse,
    PredictResponse,
    ReportResponse,
    ReportsResponse,
)


class Client:
    """A service over REST. Safe to use from several threads; connections are kept, so make one and close it at the end.

    Args:
        url: where the service is.
        key: API key, if it wants one.
        settings: how long, how often again, and what is sent.

    Every call raises ServiceProblem if it is not answered as wanted, ImageError if a picture cannot be read, and
    ConfigError if something is asked that no service can answer.
    """

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, settings: ClientSettings | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self.settings = settings or ClientSettings()
        self._http = httpx.Client(**exchange.client_options(self.url, key, self.settings))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(
        self, pictures: Picture | Iterable[Picture], *, request_id: str | None = None, **options: Any
    ) -> PredictResponse:
        """Recognise the action in one picture or several, in one request.

        Args:
            options: labels, templates, top_k, threshold, coverage, conformal, explain, as `options_of` has them.

        Returns:
            A result for each picture; one that cannot be used has an `error` of its own, unless none can.
        """
        chosen = options_of(**options)
        return self._ask(exchange.predict(contents(pictures, self.settings), chosen, request_id))

    def embed(self, pictures: Picture | Iterable[Picture], *, request_id: str | None = None) -> EmbedResponse:
        """L2-normalised vectors of one picture or several."""
        return self._ask(exchange.embed(contents(pictures, self.settings), request_id))

    def feedback(self, prediction_id: str, label: str) -> FeedbackResponse:
        """Say what a predicted picture really showed. On disk when this returns; never sent twice."""
        return self._ask(exchange.feedback(prediction_id, label))

    def labels(self) -> LabelsResponse:
        """The model's labels."""
        return self._ask(exchange.labels())

    def model(self) -> ModelResponse:
        """Which model is served, and what is known of it."""
        return self._ask(exchange.model())

    def reports(self) -> ReportsResponse:
        """The reports that can be read."""
        return self._ask(exchange.reports())

    def report(self, name: str) -> ReportResponse:
        """One of them."""
        return self._ask(exchange.report(name))

    def ready(self) -> bool:
        """Whether a service of ours answers pictures there now. Asks once and raises nothing."""
        once = self.settings.model_copy(update={"tries": 1, "deadline_seconds": self.settings.connect_seconds})
        try:
            return self._ask(exchange.ready(), once).ready
        except ServiceProblem:
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
        """Every picture of a folder, or of any number of paths, a few at a time.

        Args:
            paths: a folder (with those below it), or files; taken as they are needed, so they may be without end.
            concurrency: asked for at one time, and held in memory; the settings' if not given.
            ordered: in the order of the paths; otherwise as they are ready.
            progress: called as `progress(done, total)` after each; total is None for paths that cannot be counted.
            options: as for `predict`.

        Yields:
            The path, and its result or what was wrong with it.

        Raises:
            ServiceProblem: if no other picture would be answered either: there is no service, a key is wanted, the
                options cannot be answered.
        """
        chosen = options_of(**options)

        def one(path: Path) -> PictureResult:
            return only_result(self._ask(exchange.predict(contents(path, self.settings), chosen, None)))

        return ask_all(one, paths, concurrency or self.settings.concurrency, ordered, progress)

    def _ask(self, ask: Ask[Answer], settings: ClientSettings | None = None) -> Answer:
        tries = Tries(settings or self.settings, repeatable=ask.repeatable)
        while True:
            try:
                return self._send(ask, tries)
            except ServiceProblem as problem:
                wait = tries.wait_after(problem)
            time.sleep(wait)

    def _send(self, ask: Ask[Answer], tries: Tries) -> Answer:
        timeout = exchange.timeouts(tries.seconds_left(), self.settings)
        request = self._http.build_request(**ask.arguments(), timeout=timeout)
        until = time.monotonic() + tries.seconds_left()
        most, body = self.settings.max_answer_bytes, bytearray()
        try:
            response = self._http.send(request, stream=True)
            try:
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > most:
                        raise exchange.too_long(ask, request.url, most)
                    if time.monotonic() > until:
                        raise TimeoutError
            finally:
                response.close()
        except (httpx.HTTPError, TimeoutError) as error:
            raise exchange.not_answered(ask, self.url, error) from error
        return exchange.read(ask, response, bytes(body))


class AsyncClient:
    """A service over REST, for event loops. As `Client`, with coroutines.

    Args:
        url: where the service is.
        key: API key, if it wants one.
        settings: how long, how often again, and what is sent.
    """

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, settings: ClientSettings | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self.settings = settings or ClientSettings()
        self._http = httpx.AsyncClient(**exchange.client_options(self.url, key, self.settings))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def predict(
        self, pictures: Picture | Iterable[Picture], *, request_id: str | None = None, **options: Any
    ) -> PredictResponse:
        """As `Client.predict`."""
        chosen = options_of(**options)
        read = await asyncio.to_thread(contents, pictures, self.settings)
        return await self._ask(exchange.predict(read, chosen, request_id))

    async def embed(self, pictures: Picture | Iterable[Picture], *, request_id: str | None = None) -> EmbedResponse:
        """As `Client.embed`."""
        return await self._ask(exchange.embed(await asyncio.to_thread(contents, pictures, self.settings), request_id))

    async def feedback(self, prediction_id: str, label: str) -> FeedbackResponse:
        """As `Client.feedback`."""
        return await self._ask(exchange.feedback(prediction_id, label))

    async def labels(self) -> LabelsResponse:
        """As `Client.labels`."""
        return await self._ask(exchange.labels())

    async def model(self) -> ModelResponse:
        """As `Client.model`."""
        return await self._ask(exchange.model())

    async def reports(self) -> ReportsResponse:
        """As `Client.reports`."""
        return await self._ask(exchange.reports())

    async def report(self, name: str) -> ReportResponse:
        """As `Client.report`."""
        return await self._ask(exchange.report(name))

    async def ready(self) -> bool:
        """As `Client.ready`."""
        once = self.settings.model_copy(update={"tries": 1, "deadline_seconds": self.settings.connect_seconds})
        try:
            return (await self._ask(exchange.ready(), once)).ready
        except ServiceProblem:
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
            return only_result(await self._ask(exchange.predict(read, chosen, None)))

        return ask_all_async(one, paths, concurrency or self.settings.concurrency, ordered, progress)

    async def _ask(self, ask: Ask[Answer], settings: ClientSettings | None = None) -> Answer:
        tries = Tries(settings or self.settings, repeatable=ask.repeatable)
        while True:
            try:
                return await self._send(ask, tries)
            except ServiceProblem as problem:
                wait = tries.wait_after(problem)
            await asyncio.sleep(wait)

    async def _send(self, ask: Ask[Answer], tries: Tries) -> Answer:
        left = tries.seconds_left()
        request = self._http.build_request(**ask.arguments(), timeout=exchange.timeouts(left, self.settings))
        most, body = self.settings.max_answer_bytes, bytearray()
        try:
            async with asyncio.timeout(left):
                response = await self._http.send(request, stream=True)
                try:
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > most:
                            raise exchange.too_long(ask, request.url, most)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, TimeoutError) as error:
            raise exchange.not_answered(ask, self.url, error) from error
        return exchange.read(ask, response, bytes(body))
