"""What makes confidence mean what it says, fitted on the calibration split: temperature, abstention, label sets.

The temperature is Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2; it changes no prediction. The
other two are in `abstention` and `conformal`. They are fitted on the same photographs as the temperature: one number, which
moves neither by more than chance does.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.models.abstention import AbstentionThreshold, abstention_threshold
from clip_har.models.conformal import COVERAGES, ConformalQuantiles, conformal_quantiles
from clip_har.models.head import softmax

_LOWEST, _HIGHEST = 0.01, 100.0


class CalibrationConfig(ComponentConfig):
    """What a model's answers are to keep to."""

    precision: float = Field(
        0.9, gt=0, lt=1, description="Precision that answers are to have; where it cannot be had the model abstains."
    )
    confidence: float = Field(
        0.9, gt=0, lt=1, description="Probability, over calibration sets, that the threshold for it really gives it."
    )
    coverage: float = Field(
        0.9,
        ge=COVERAGES[0],
        le=COVERAGES[-1],
        description="Share of photographs whose label set holds the true label.",
    )


class Calibration(ComponentConfig):
    """What turns logits into probabilities that can be trusted, and the split that it comes from."""

    temperature: float = Field(gt=0, description="Logits are divided by it before the softmax.")
    split: str = Field(description="Split that it was fitted on.")
    samples: int = Field(ge=0, description="Photographs in that split.")
    data_hash: str = Field(description="Content hash of the Manifest.")
    abstention: AbstentionThreshold | None = Field(None, description="Below which confidence there is no answer.")
    conformal: ConformalQuantiles | None = Field(None, description="What decides which labels are in a set.")
    coverage: float = Field(0.9, gt=0, lt=1, description="Coverage of a set if none is asked for.")


def calibrate(
    logits: np.ndarray,
    labels: np.ndarray,
    config: CalibrationConfig,
    *,
    split: str,
    data_hash: str,
    tuning: tuple[np.ndarray, np.ndarray] | None = None,
) -> Calibration:
    """Fit temperature, abstention threshold and conformal quantiles.

    Args:
        logits: float [n, c] of the calibration split.
        labels: int [n].
        tuning: the same of the validation split, on which the sets' penalty is chosen.
    """
    temperature = fit_temperature(logits, labels)
    probabilities = softmax(logits, temperature)
    tuned = None if tuning is None else (softmax(tuning[0], temperature), tuning[1])
    return Calibration(
        temperature=temperature,
        split=split,
        samples=len(labels),
        data_hash=data_hash,
        abstention=abstention_threshold(probabilities, labels, config.precision, confidence=config.confidence),
        conformal=conformal_quantiles(probabilities, labels, tuned, tuned_for=config.coverage),
        coverage=config.coverage,
    )


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that minimises the negative log-likelihood.

    Args:
        logits: float [n, c].
        labels: int [n].
    """
    from scipy.optimize import minimize_scalar

    values = logits.astype(np.float64)
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = values / np.exp(log_temperature)
        top = scaled.max(axis=1)
        return float(np.mean(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)) - scaled[rows, labels]))

    bounds = (np.log(_LOWEST), np.log(_HIGHEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))
