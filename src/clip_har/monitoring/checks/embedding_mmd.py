"""Do the window's embeddings lie where the reference's do?"""

from __future__ import annotations

import numpy as np

from clip_har.monitoring.checks.base import Check, Values, number, went
from clip_har.monitoring.checks.comparison import Comparison
from clip_har.monitoring.checks.pool import Pool
from clip_har.monitoring.observations import Observations


class EmbeddingMmd(Check):
    """Squared maximum mean discrepancy, unbiased, with a Gaussian kernel.

    Gretton et al. 2012, "A Kernel Two-Sample Test", equation 3.
    """

    name = "embedding_mmd"
    title = "Embeddings (discrepancy)"
    kind = "embeddings"
    statistic_name = "maximum mean discrepancy, squared"
    unit = "1 - cosine"

    def lacks(self, observations: Observations) -> str:
        return "embeddings" if observations.embeddings is None else ""

    def statistics(self, pool: Pool, windows: np.ndarray) -> np.ndarray:
        kernel, inside = pool.kernel, windows.astype(np.float32)
        own = np.diagonal(kernel).astype(np.float64)
        sums = kernel.sum(axis=1, dtype=np.float64)
        w = windows.sum(axis=1).astype(np.float64)
        r = len(pool) - w
        in_window = np.einsum("bn,bn->b", inside @ kernel, inside, dtype=np.float64)
        of_window = windows @ sums
        in_reference = sums.sum() - 2 * of_window + in_window
        own_window = windows @ own
        with np.errstate(divide="ignore", invalid="ignore"):
            return (
                (in_window - own_window) / (w * (w - 1))
                + (in_reference - (own.sum() - own_window)) / (r * (r - 1))
                - 2 * (of_window - in_window) / (w * r)
            )

    def values(self, comparison: Comparison) -> Values:
        return Values(comparison.reference_distances, comparison.window_distances)

    def said(self, values: Values, drift: bool) -> str:
        before, after = values.means
        if before is None or after is None:
            return "No embeddings were compared."
        if not drift:
            return "The embeddings lie where the reference's do, as far as can be told."
        return (
            f"The embeddings lie elsewhere: the distance to the nearest reference pictures {went(before, after)}."
            if abs(after - before) > 1e-9
            else f"The embeddings are spread otherwise, as far from the reference as before ({number(after)})."
        )
