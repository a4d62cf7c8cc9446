"""Probabilities → what is said about a picture: the best labels, a label set, or that the model abstains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clip_har.errors import ConfigError, ImageError
from clip_har.models.calibration import Calibration


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture.

    Attributes:
        labels, scores: the best labels and their probabilities, falling.
        calibrated: whether the probabilities are calibrated (they are not for labels of the caller's own).
        abstained: whether the best probability is below the threshold: the answer is not to be acted on.
        label_set: labels that hold the true one as often as the coverage says, the likeliest first; None where
            nothing is known about coverage (labels of the caller's own).
        error: why there is no answer, or None.
    """

    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    calibrated: bool = False
    abstained: bool = False
    label_set: tuple[str, ...] | None = None
    error: ImageError | None = None

    @property
    def label(self) -> str | None:
        """The best label, or None if there is no answer."""
        return self.labels[0] if self.labels else None


class Answering:
    """How a request is answered.

    Args:
        names: labels, in the order of the probabilities.
        calibration: of the bundle; None for labels of the caller's own.
        top_k: labels to answer with.
        threshold: probability below which to abstain; the calibration's if not given.
        coverage: of the label sets; the calibration's if not given.

    Raises:
        ConfigError: if a number cannot be used.
    """

    def __init__(
        self,
        names: Sequence[str],
        calibration: Calibration | None,
        top_k: int,
        threshold: float | None = None,
        coverage: float | None = None,
    ) -> None:
        if top_k < 1:
            raise ConfigError(f"top_k must be at least 1, got {top_k}.")
        if threshold is not None and not 0 <= threshold <= 1:
            raise ConfigError(f"threshold: wanted: a probability from 0 to 1, got {threshold:g}.")
        if coverage is not None and (calibration is None or calibration.conformal is None):
            raise ConfigError(
                "coverage: nothing is known about the coverage of labels of your own; leave it out."
                if calibration is None
                else "coverage: this bundle has no conformal quantiles; leave it out, or train it again."
            )
        self._names, self._top_k, self._calibrated = tuple(names), top_k, calibration is not None
        self._conformal = None if calibration is None else calibration.conformal
        self._coverage = coverage
        if coverage is None and calibration is not None:
            self._coverage = calibration.coverage
        if threshold is None and calibration is not None and calibration.abstention is not None:
            threshold = calibration.abstention.threshold
        self._threshold = 0.0 if threshold is None else threshold
        if self._conformal is not None:  # refuses a coverage that is not known
            self._conformal.members(np.full((1, len(self._names)), 1 / len(self._names)), self._coverage)

    def of(self, probabilities: np.ndarray) -> list[Prediction]:
        """The answers for float32 [n, c]."""
        members = None if self._conformal is None else self._conformal.members(probabilities, self._coverage)
        answers = []
        for row, values in enumerate(probabilities):
            order = np.argsort(-values, kind="stable")
            best = order[: self._top_k]
            answers.append(
                Prediction(
                    labels=tuple(self._names[place] for place in best),
                    scores=tuple(float(values[place]) for place in best),
                    calibrated=self._calibrated,
                    abstained=bool(values[order[0]] < self._threshold),
                    label_set=None
                    if members is None
                    else tuple(self._names[place] for place in order if members[row, place]),
                )
            )
        return answers


class Scorer:
    """Embeddings → the answers to one request.

    Args:
        probabilities: float32 [n, d] → float32 [n, c].
        answering: what is made of them.
        calibrated: whether they are calibrated probabilities of the model's own labels.
    """

    def __init__(
        self, probabilities: Callable[[np.ndarray], np.ndarray], answering: Answering, *, calibrated: bool
    ) -> None:
        self.probabilities = probabilities
        self.calibrated = calibrated
        self._answering = answering

    def __call__(self, embeddings: np.ndarray) -> list[Prediction]:
        """The answers for float32 [n, d]."""
        return self.of_probabilities(self.probabilities(embeddings))

    def of_probabilities(self, probabilities: np.ndarray) -> list[Prediction]:
        """The answers for float32 [n, c]."""
        return self._answering.of(probabilities)
