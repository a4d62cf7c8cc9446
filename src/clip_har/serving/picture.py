"""What a thread does with one picture: decode, preprocess, encode, score; given up where nobody waits any more."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from clip_har.errors import ImageError
from clip_har.inference.answers import Prediction, Scorer
from clip_har.serving.encoding import Workers
from clip_har.serving.errors import DeadlineExceeded, of_image
from clip_har.serving.served_model import ServedModel

_NO_PREDICTION = Prediction()


class Job:
    """One picture of a request.

    Attributes:
        model: what answers.
        deadline: when, by `time.monotonic()`, nobody waits for it any more.
        image: the file's bytes; or
        pixels: float32 [3, h, w].
        place: its number in the request, from 0.
        statistics: whether the picture's statistics are wanted.
        captured: whether the answer is.
        id: of the prediction, a UUID in hex.
        abandoned: set when nobody waits any more.
        entered, started: when it was handed in, and when a thread began with it.
    """

    __slots__ = (
        *("abandoned", "captured", "deadline", "entered", "id", "image", "model", "pixels", "place", "started"),
        "statistics",
    )

    def __init__(
        self,
        model: ServedModel,
        deadline: float,
        *,
        image: bytes | None = None,
        pixels: np.ndarray | None = None,
        place: int = 0,
        statistics: bool = False,
        id: str = "",
    ) -> None:
        self.model, self.deadline, self.image, self.pixels, self.place = model, deadline, image, pixels, place
        self.statistics, self.captured = statistics, False
        self.id = id or uuid.uuid4().hex
        self.abandoned = False
        self.entered = time.monotonic()
        self.started = 0.0

    def check_time(self) -> None:
        """Give up if nobody waits.

        Raises:
            DeadlineExceeded: if so.
        """
        if self.abandoned or time.monotonic() > self.deadline:
            raise DeadlineExceeded("The picture was not answered within the deadline.", retry_after=1.0)


@dataclass(frozen=True)
class Done:
    """What became of a picture.

    Attributes:
        embedding: float32 [d].
        prediction: its labels.
        probabilities: float32 [c] of the model's labels; None for labels of the caller's own.
        seconds: by stage.
        width, height, format: of the file; 0 and "" for ready tensors.
        statistics: brightness, contrast …
    """

    embedding: np.ndarray
    prediction: Prediction = _NO_PREDICTION
    probabilities: np.ndarray | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    width: int = 0
    height: int = 0
    format: str = ""
    statistics: Mapping[str, float] = field(default_factory=dict)


def embed(job: Job, workers: Workers) -> Done:
    """A picture → its embedding.

    Raises:
        ServiceError: if it cannot be had.
    """
    started = job.started = time.monotonic()
    job.check_time()
    facts: dict = {}
    pixels = job.pixels
    if pixels is None:
        assert job.image is not None, "a job has an image or pixels"
        try:
            decoded = job.model.decode(job.image)
            pixels = job.model.pixels(decoded)
        except ImageError as error:
            raise of_image(error, f"images[{job.place}]") from error
        facts = {"width": decoded.width, "height": decoded.height, "format": decoded.format}
        if job.statistics:
            from clip_har.capture.statistics import image_statistics

            facts["statistics"] = image_statistics(decoded.image)
        job.check_time()
    decoded_at = time.monotonic()
    embedding = job.model.encoding.encode(pixels, alone=workers.alone)
    seconds = {
        "queue": started - job.entered,
        "decode": decoded_at - started,
        "encode": time.monotonic() - decoded_at,
    }
    return Done(embedding=embedding, seconds=seconds, **facts)


def score(job: Job, workers: Workers, scorer: Scorer) -> Done:
    """A picture → its labels.

    Raises:
        ServiceError: as `embed`.
    """
    done = embed(job, workers)
    began = time.monotonic()
    probabilities = scorer.probabilities(done.embedding[None])
    [prediction] = scorer.of_probabilities(probabilities)
    return Done(
        embedding=done.embedding,
        prediction=prediction,
        probabilities=probabilities[0] if scorer.calibrated else None,
        seconds={**done.seconds, "head": time.monotonic() - began},
        width=done.width,
        height=done.height,
        format=done.format,
        statistics=done.statistics,
    )
