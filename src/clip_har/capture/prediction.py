"""One prediction as it is captured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CapturedPrediction:
    """What is known of one answer of the service.

    Attributes:
        id: of the prediction; feedback names it.
        time: when it was answered, in seconds since 1970 (UTC).
        model_id, encoder_hash: what answered; with `id` the key of the row.
        embedding: float32 [d]; empty if there is none (`error`).
        labels, scores: the best first.
        calibrated, abstained: as answered.
        probabilities: float32 [c] over the model's labels, in their order; None for labels of the caller's own.
        width, height, format, bytes: of the file that was sent.
        statistics: see `clip_har.capture.statistics.STATISTICS`; a missing one is stored as NaN.
        seconds: from the request to the answer.
        surface: where it came from ("rest").
        role: of the model ("champion", "challenger", "shadow": it was not heard).
        image: the file as it was sent; kept only if the capture is told to.
        error: code of what was wrong with the picture; empty if nothing was.
    """

    id: str
    time: float
    model_id: str
    encoder_hash: str
    embedding: np.ndarray
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    calibrated: bool
    abstained: bool
    probabilities: np.ndarray | None
    width: int
    height: int
    format: str
    bytes: int
    statistics: Mapping[str, float]
    seconds: float
    surface: str
    role: str
    image: bytes | None = None
    error: str = ""
