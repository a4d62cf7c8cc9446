"""The engine: everything between a request that was read and its answer; REST and gRPC are two thin surfaces over it."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.data.image import PixelBudget
from clip_har.serving.admission import Admission, Ticket
from clip_har.serving.asking import Answered, Asked, check
from clip_har.serving.config import ServingConfig
from clip_har.serving.encoding import Workers, submit
from clip_har.serving.errors import DeadlineExceeded, ServiceError, Unavailable, Unprocessable
from clip_har.serving.explaining import Explaining
from clip_har.serving.observability.drift import watch_drift
from clip_har.serving.observability.metrics import ServiceMetrics
from clip_har.serving.picture import Done, Job, embed, score
from clip_har.serving.recording import open_capture, recorded, refused
from clip_har.serving.response_cache import ResponseCache
from clip_har.serving.served_model import LoadRuntime, Role, ServedModel
from clip_har.serving.settings import Source
from clip_har.serving.shadows import Shadows
from clip_har.serving.versions import Versions

if TYPE_CHECKING:
    from concurrent.futures import Future

    from clip_har.capture.writer import CaptureWriter
    from clip_har.inference.answers import Scorer

logger = logging.getLogger("clip_har.serving")
_DRAIN_STEP = 0.02


class Engine:
    """Answers requests with the models of a source. Its methods are for the event loop that started it.

    Args:
        config: all settings.
        source: where the models come from; public, for the reports beside them.
        load_runtime: what runs image encoders (a runner, say), if not this process.
        metrics: where figures go; its own if not given.

    Attributes:
        admission: lets requests in, before their bodies are read.
        versions: the models.
        metrics: figures.
        capture: where answers are kept; None if nothing is.
        workers: the threads that answer; None before the first model is loaded.
        stopping: whether a shutdown has begun.
        loop: the event loop, once started.
    """

    def __init__(
        self,
        config: ServingConfig,
        source: Source,
        *,
        load_runtime: LoadRuntime | None = None,
        metrics: ServiceMetrics | None = None,
    ) -> None:
        self.config = config
        self.admission = Admission(config.queue)
        self.metrics = metrics or ServiceMetrics()
        self.metrics.watch_queue(lambda: self.admission.depth)
        self.capture: CaptureWriter | None = None
        self.source, self._load_runtime = source, load_runtime
        self._budget = PixelBudget(config.limits.images.max_pixels_in_flight)
        self.versions = Versions(source, config.versions, self._load, self._changed, self._not_loaded)
        self.workers: Workers | None = None
        self._texts = Workers(1)
        self._explaining = Explaining()
        self._cache: ResponseCache[Done] = ResponseCache(config.response_cache)
        self._shadows = Shadows(self)
        self.stopping = False
        self._watching: asyncio.Task | None = None
        if source.workspace is not None:
            watch_drift(self.metrics, source.workspace, self._served_model_id)

    @property
    def ready(self) -> bool:
        """Whether requests are answered: a model is loaded, run in and found right, and no shutdown has begun."""
        return self.versions.champion is not None and self.admission.closed_because is None

    def why_not_ready(self) -> str:
        """Why not, as a sentence; empty if it is."""
        if self.stopping:
            return "The service is shutting down."
        return "" if self.ready else self.versions.why_none()

    def model(self) -> ServedModel:
        """The model that answers now.

        Raises:
            Unavailable: before it is loaded.
        """
        if self.versions.champion is None:
            raise Unavailable(self.versions.why_none(), retry_after=1.0)
        return self.versions.champion

    def _served_model_id(self) -> str | None:
        return self.versions.champion.model_id if self.versions.champion is not None else None

    async def start(self) -> None:
        """Begin to load the model; `ready` tells when requests are answered."""
        self.loop = asyncio.get_running_loop()
        self.capture = open_capture(self.config.capture, self.source.workspace)
        if self.capture is not None:
            capture = self.capture
            self.metrics.capture_dropped(lambda: capture.dropped)
        self._watching = asyncio.create_task(self._serve(), name="versions")

    async def until_ready(self, seconds: float) -> bool:
        """Wait for the model; whether it is there in time. Gives up early if it cannot be served."""
        until = time.monotonic() + seconds
        while not self.ready and "champion" not in self.versions.reload_errors and time.monotonic() < until:
            await asyncio.sleep(_DRAIN_STEP)
        return self.ready

    def close(self, because: str) -> None:
        """Let no more requests in, from now to the end."""
        self.stopping = True
        self.admission.close(because)

    async def stop(self) -> None:
        """Let no more in, answer those inside, write down what was captured."""
        self.close("The service is shutting down.")
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        until = time.monotonic() + self.config.queue.drain_seconds
        while self.admission.depth and time.monotonic() < until:
            await asyncio.sleep(_DRAIN_STEP)
        if self.admission.depth:
            logger.warning("%d pictures were not answered within the drain time.", self.admission.depth)
        if self.workers is not None:
            self.workers.close()
        self._texts.close()
        self._explaining.close()
        for model in (self.versions.champion, self.versions.challenger):
            if model is not None:
                model.encoding.close()
        if self.capture is not None:
            await asyncio.to_thread(self.capture.close)

    async def predict(self, images: Sequence[bytes], asked: Asked, ticket: Ticket) -> list[Answered | ServiceError]:
        """Score pictures; an error in the list is its picture's own.

        Raises:
            ServiceError: for what concerns the request as a whole.
        """
        check(asked, len(images), self.config.limits)
        ticket.widen(len(images))
        model = self.versions.pick(asked.key, asked.version)
        scorer = await self._scorer(model, asked, ticket)
        keys = [self._cache_key(image, model, asked) for image in images]
        known = [self._cache.get(key) for key in keys]
        jobs = [self._job(model, ticket, place, image=image) for place, image in enumerate(images)]
        missing = [job for job, found in zip(jobs, known, strict=True) if found is None]
        made = iter(await self._work(score, missing, ticket, scorer))
        answers: list[Answered | ServiceError] = []
        for job, key, found in zip(jobs, keys, known, strict=True):
            done = next(made) if found is None else replace(found, seconds={})
            if isinstance(done, Done):
                self._cache.put(key, done)
                answers.append(await self._answered(job, done, asked, ticket))
            else:
                if done.of_picture and job.captured:
                    self.capture.record(refused(done, job, asked))
                answers.append(done)
        return answers

    async def predict_pixels(
        self, pixel_values: np.ndarray, asked: Asked, ticket: Ticket
    ) -> list[Answered | ServiceError]:
        """Score ready tensors, float32 [n, 3, h, w] as the model's preprocessing makes them.

        Raises:
            ServiceError: for what concerns the request as a whole.
        """
        check(asked, len(pixel_values), self.config.limits)
        if asked.explain:
            raise Unprocessable("A heat map is drawn over a picture; ready tensors have none.", field="explain")
        ticket.widen(len(pixel_values))
        model = self.versions.pick(asked.key, asked.version)
        model.check_pixels(pixel_values)
        scorer = await self._scorer(model, asked, ticket)
        jobs = [
            self._job(model, ticket, place, pixels=np.ascontiguousarray(pixels, dtype=np.float32))
            for place, pixels in enumerate(pixel_values)
        ]
        made = await self._work(score, jobs, ticket, scorer)
        return [
            await self._answered(job, done, asked, ticket) if isinstance(done, Done) else done
            for job, done in zip(jobs, made, strict=True)
        ]

    async def embed(self, images: Sequence[bytes], ticket: Ticket) -> tuple[str, list[np.ndarray | ServiceError]]:
        """Pictures → (model id, float32 [d] of each, L2-normalised, or its error).

        Raises:
            ServiceError: for what concerns the request as a whole.
        """
        check(Asked(), len(images), self.config.limits)
        ticket.widen(len(images))
        model = self.model()
        jobs = [Job(model, ticket.deadline, image=image, place=place) for place, image in enumerate(images)]
        made = await self._work(embed, jobs, ticket)
        return model.model_id, [done.embedding if isinstance(done, Done) else done for done in made]

    async def feedback(self, prediction_id: str, label: str, caller: str | None) -> None:
        """Keep the true label of a prediction; it is on disk when this returns.

        Raises:
            Unavailable: if nothing is kept here.
            Unprocessable: if it is no id, or no label.
        """
        if self.capture is None:
            raise Unavailable(
                "Feedback is not kept here: "
                + ("capture is switched off." if not self.config.capture.enabled else "capture has no folder.")
            )
        longest = self.config.limits.max_label_characters
        if not label.strip() or len(label) > longest:
            raise Unprocessable(f"label: wanted: 1 to {longest} characters.", field="label")
        try:
            identifier = uuid.UUID(prediction_id).hex
        except ValueError:
            raise Unprocessable(
                "prediction_id: wanted: the id that an answer bore (32 hexadecimal digits).", field="prediction_id"
            ) from None
        try:
            await asyncio.to_thread(self.capture.feedback, identifier, label, time.time(), caller)
        except OSError as error:
            logger.error("Feedback cannot be written: %s", error)
            raise Unavailable("Feedback cannot be written now. Try again later.", retry_after=5.0) from error

    def _load(self, path: Path, role: Role) -> ServedModel:
        """Blocking; in a thread."""
        return ServedModel.load(
            path, role, self.config, self._budget, load_runtime=self._load_runtime, sized=self.metrics.batch
        )

    def _changed(self, place: str, old: ServedModel | None, new: ServedModel | None) -> None:
        if new is None:
            self.metrics.not_serving(old.role if old is not None else place)
        else:
            if old is not None and old.role != new.role:
                self.metrics.not_serving(old.role)
            name = new.bundle.info.method
            self.metrics.serving(new.model_id, new.labels, role=new.role, runtime=new.runtime_name, name=name)
            self.metrics.reloaded(new.model_id, True)
        if old is not None:  # closed when the requests that began with it have ended
            self.loop.call_later(2 * self.config.queue.deadline_seconds, old.encoding.close)

    def _not_loaded(self, path: Path | None) -> None:
        self.metrics.reloaded(path.name if path is not None else "", False)

    async def _serve(self) -> None:
        while self.versions.champion is None:
            await self.versions.look()
            if self.versions.champion is None:
                await asyncio.sleep(self.config.versions.watch_seconds)
        self.workers = Workers(self.versions.champion.encoding.threads)
        self.admission.expect(self.versions.champion.encode_seconds)
        if not self.stopping:
            self.admission.open()
        await self.versions.watch()

    async def _scorer(self, model: ServedModel, asked: Asked, ticket: Ticket) -> Scorer:
        if model.known(asked):
            return model.scorer(asked)
        # Hundreds of texts may take seconds, and cannot be stopped once begun: they have one thread, and pictures the others.
        job = Job(model, ticket.deadline)
        future = submit(self._texts, lambda: job.check_time() or model.scorer(asked))
        [scorer] = await self._results([future], [job], ticket)
        if isinstance(scorer, ServiceError):
            raise scorer
        return scorer

    def _job(self, model: ServedModel, ticket: Ticket, place: int, **what: Any) -> Job:
        """A picture whose answer is captured, if it is to be; statistics are for that alone."""
        job = Job(model, ticket.deadline, place=place, **what)
        job.captured = self.capture is not None and self.capture.samples(job.id)
        # What is kept as a response may be the answer of another prediction, which is captured.
        job.statistics = job.captured or (self.capture is not None and self.config.response_cache > 0)
        return job

    async def _work(
        self, work: Callable[..., Done], jobs: Sequence[Job], ticket: Ticket, *arguments: Any
    ) -> list[Done | ServiceError]:
        """Have threads do it; pictures that are waited for in vain are given up."""
        if not jobs:
            return []
        futures = [submit(self.workers, work, job, self.workers, *arguments) for job in jobs]
        results = await self._results(futures, jobs, ticket)
        for job, done in zip(jobs, results, strict=True):
            if isinstance(done, Done):
                self.admission.answered(job.started)
                for stage, seconds in done.seconds.items():
                    self.metrics.stage(stage, seconds)
                if job.model.predictor.runtime.lanes > 1:  # others tell of their batches themselves
                    self.metrics.batch(1)
        return results

    async def _results(self, futures: Sequence[Future], jobs: Sequence[Job], ticket: Ticket) -> list[Any]:
        waiting = [asyncio.wrap_future(future) for future in futures]
        try:
            await asyncio.wait(waiting, timeout=max(0.0, ticket.seconds_left))
            return [_result(one) for one in waiting]
        finally:
            for one, job in zip(waiting, jobs, strict=True):
                if not one.done():
                    job.abandoned = True
                    one.cancel()

    async def _answered(self, job: Job, done: Done, asked: Asked, ticket: Ticket) -> Answered | ServiceError:
        prediction = done.prediction if asked.conformal else replace(done.prediction, label_set=None)
        answer = Answered(
            id=job.id,
            model_id=job.model.model_id,
            prediction=prediction,
            embedding=done.embedding,
            seconds=done.seconds,
        )
        if asked.explain:
            try:
                explained = await self._explaining.explain(job.model, job.image, prediction.label, ticket)
            except ServiceError as error:
                return error
            answer = replace(answer, heat_map=explained.png, heat_map_label=explained.label)
        self.metrics.predicted(
            answer.model_id,
            prediction.label if prediction.calibrated else "",
            prediction.scores[0],
            prediction.abstained,
        )
        if job.captured:
            self.capture.record(recorded(answer, done, job, asked, job.model.role))
        self._shadows.ask(self.versions.shadow, job, asked)
        return answer

    def _cache_key(self, image: bytes, model: ServedModel, asked: Asked) -> Any:
        if asked.explain:
            return None
        return self._cache.key(
            image, model.model_id, asked.labels, asked.templates, asked.top_k, asked.threshold, asked.coverage
        )


def _result(future: asyncio.Future) -> Any:
    """What a thread gave; a thread's own fault is logged and becomes an error without details."""
    if not future.done() or future.cancelled():
        return DeadlineExceeded("The picture was not answered within the deadline.", retry_after=1.0)
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, MemoryError):
        return Unavailable("There is not enough memory for this picture now. Try again later.", retry_after=1.0)
    logger.error("A picture could not be answered.", exc_info=error)
    return ServiceError("The picture could not be answered; the fault is the service's, and its log says what it was.")
