"""Whether a model keeps what its calibration promises: the coverage of its label sets, the precision above its threshold."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.models.calibration import Calibration
from clip_har.models.conformal import quantile_rank

_LEVEL = 0.95


class TrustFigures(ComponentConfig):
    """Promises of a calibration, and what became of them on other photographs."""

    coverage: float | None = Field(None, description="Share of label sets that are to hold the true label.")
    covered: float | None = Field(None, description="Share that do.")
    covered_low: float | None = Field(
        None, description="Of splits of these sizes, 95 % have a covered share from here …"
    )
    covered_high: float | None = Field(None, description="… to here, if the promise is kept (beta-binomial).")
    mean_set_size: float | None = Field(None, description="Labels in a set, on average.")
    precision: float | None = Field(None, description="Precision that answers are to have.")
    threshold: float | None = Field(None, description="Confidence below which there is no answer.")
    answered: float | None = Field(None, description="Share of the photographs that are answered.")
    answered_precision: float | None = Field(None, description="Share of these answers that are right.")


def trust_figures(probabilities: np.ndarray, labels: np.ndarray, calibration: Calibration) -> TrustFigures:
    """Measure on photographs that the calibration has not seen.

    The covered share of m other photographs, with quantiles from n, is beta-binomial: Angelopoulos and Bates 2023,
    "Conformal Prediction: A Gentle Introduction", section 3.2.

    Args:
        probabilities: float [m, c], calibrated.
        labels: int [m].
    """
    figures: dict[str, float | None] = {}
    number = len(labels)
    if calibration.conformal is not None and number:
        from scipy.stats import betabinom

        members = calibration.conformal.members(probabilities, calibration.coverage)
        place = quantile_rank(calibration.samples, calibration.conformal.known(calibration.coverage))
        low, high = betabinom.interval(_LEVEL, number, place, max(calibration.samples + 1 - place, 1e-9))
        figures |= {
            "coverage": calibration.coverage,
            "covered": float(members[np.arange(number), labels].mean()),
            "covered_low": float(low / number),
            "covered_high": float(high / number),
            "mean_set_size": float(members.sum(axis=1).mean()),
        }
    if calibration.abstention is not None and number:
        threshold = calibration.abstention.threshold
        figures |= {"precision": calibration.abstention.precision, "threshold": threshold}
        if threshold is not None:
            answered = probabilities.max(axis=1) >= threshold
            right = probabilities.argmax(axis=1) == labels
            figures["answered"] = float(answered.mean())
            figures["answered_precision"] = float(right[answered].mean()) if answered.any() else None
    return TrustFigures(**figures)
