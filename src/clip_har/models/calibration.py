"""Temperature scaling: one number, fitted on the calibration split, that makes confidence mean what it says.

Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2. It changes no prediction.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig

_LOWEST, _HIGHEST = 0.01, 100.0


class Calibration(ComponentConfig):
    """What turns logits into probabilities that can be trusted, and the split that it comes from."""

    temperature: float = Field(gt=0, description="Logits are divided by it before the softmax.")
    split: str = Field(description="Split that it was fitted on.")
    samples: int = Field(ge=0, description="Photographs in that split.")
    data_hash: str = Field(description="Content hash of the Manifest.")


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
