"""The challenger as a shadow: it answers beside the champion while there is time for it, and is recorded, not heard."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from clip_har.serving.asking import Answered, Asked
from clip_har.serving.encoding import submit
from clip_har.serving.errors import ServiceError
from clip_har.serving.picture import Done, Job, score
from clip_har.serving.recording import recorded
from clip_har.serving.served_model import ServedModel

if TYPE_CHECKING:
    from clip_har.serving.engine import Engine

_WAITING = 8


class Shadows:
    """For the event loop of the engine that it belongs to.

    Attributes:
        waiting: answers that are being made.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.waiting = 0

    def ask(self, shadow: ServedModel | None, job: Job, asked: Asked) -> None:
        """Have the shadow answer the job that was answered just now; nothing happens where the service is busy.

        Args:
            shadow: the challenger; None if there is none.
        """
        engine = self._engine
        unwanted = shadow is None or shadow is job.model or not job.captured or job.image is None
        if unwanted or not shadow.known(asked):  # texts would be embedded only for it
            return
        if self.waiting >= _WAITING or 2 * engine.admission.depth > engine.admission.capacity:
            engine.metrics.rejected("shadow")
            return
        deadline = time.monotonic() + engine.config.queue.deadline_seconds
        silent = Job(shadow, deadline, image=job.image, statistics=True, id=job.id)
        try:
            future = submit(engine.workers, score, silent, engine.workers, shadow.scorer(asked))
        except ServiceError:
            return
        self.waiting += 1
        future.add_done_callback(lambda done: engine.loop.call_soon_threadsafe(self._answered, silent, asked, done))

    def _answered(self, job: Job, asked: Asked, future: Future[Done]) -> None:
        self.waiting -= 1
        capture = self._engine.capture
        if future.cancelled() or future.exception() is not None or capture is None or self._engine.stopping:
            return
        done = future.result()
        shadowed = Answered(
            id=job.id,  # that of the answer which was heard: one deletion, and one feedback, for both
            model_id=job.model.model_id,
            prediction=done.prediction,
            embedding=done.embedding,
            seconds=done.seconds,
        )
        capture.record(recorded(shadowed, done, job, asked, "shadow"))
