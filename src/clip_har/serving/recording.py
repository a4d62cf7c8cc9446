"""What of an answer is captured."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.capture.config import CaptureConfig
from clip_har.serving.asking import Answered, Asked
from clip_har.serving.errors import ServiceError
from clip_har.serving.picture import Done, Job

if TYPE_CHECKING:
    from clip_har.capture.prediction import CapturedPrediction
    from clip_har.capture.writer import CaptureWriter


def open_capture(config: CaptureConfig, workspace: Path | None) -> CaptureWriter | None:
    """Where answers are kept; None if capture is off, or there is no place for it."""
    if not config.enabled or (config.folder is None and workspace is None):
        return None
    from clip_har.capture.writer import CaptureWriter

    return CaptureWriter(Path(config.folder) if config.folder else workspace / "capture", config)


def recorded(answer: Answered, done: Done, job: Job, asked: Asked, role: str) -> CapturedPrediction:
    """An answer as it is captured."""
    from clip_har.capture.prediction import CapturedPrediction

    return CapturedPrediction(
        id=answer.id,
        time=time.time(),
        model_id=answer.model_id,
        encoder_hash=job.model.bundle.info.encoder_hash,
        embedding=done.embedding,
        labels=done.prediction.labels,
        scores=done.prediction.scores,
        calibrated=done.prediction.calibrated,
        abstained=done.prediction.abstained,
        probabilities=done.probabilities,
        width=done.width,
        height=done.height,
        format=done.format,
        bytes=len(job.image) if job.image is not None else 0,
        statistics=done.statistics,
        seconds=sum(answer.seconds.values()),
        surface=asked.surface,
        role=role,
        image=job.image,
    )


def refused(error: ServiceError, job: Job, asked: Asked) -> CapturedPrediction:
    """A picture that could not be used, as it is captured: what was wrong, and not its bytes, which may be anything."""
    from clip_har.capture.prediction import CapturedPrediction

    return CapturedPrediction(
        id=job.id,
        time=time.time(),
        model_id=job.model.model_id,
        encoder_hash=job.model.bundle.info.encoder_hash,
        embedding=np.empty(0, np.float32),
        labels=(),
        scores=(),
        calibrated=False,
        abstained=False,
        probabilities=None,
        width=0,
        height=0,
        format="",
        bytes=len(job.image) if job.image is not None else 0,
        statistics={},
        seconds=time.monotonic() - job.entered,
        surface=asked.surface,
        role=job.model.role,
        error=error.code,
    )
