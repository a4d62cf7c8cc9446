"""Observations as small tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clip_har.monitoring.observations import Observations

if TYPE_CHECKING:
    import pandas as pd


def labels_table(observed: Observations) -> pd.DataFrame:
    """A row a label that was given, the most frequent first: pictures, share, mean confidence, abstained, right of labelled."""
    import pandas as pd

    rows = []
    for place, label in enumerate(observed.labels):
        of_label = observed.predicted == place
        known = of_label & (observed.truth >= 0) if observed.truth is not None else np.zeros(len(observed), bool)
        if of_label.any():
            row = {
                "label": label,
                "pictures": int(of_label.sum()),
                "share": float(of_label.mean()),
                "confidence": float(observed.confidence[of_label].mean()),
                "abstained": int(observed.abstained[of_label].sum()),
            }
            if known.any():
                row["right"] = float((observed.truth[known] == place).mean())
            rows.append(row)
    table = pd.DataFrame(rows, columns=None if rows else ["label", "pictures"])
    return table.sort_values("pictures", ascending=False, kind="stable") if rows else table


def figures_table(observed: Observations) -> pd.DataFrame:
    """A row a figure of the pictures: mean, standard deviation, and three quantiles; what is NaN is left out."""
    import pandas as pd

    rows = []
    for name, values in observed.figures.items():
        known = values[~np.isnan(values)].astype(np.float64)
        if len(known):
            low, middle, high = np.quantile(known, (0.05, 0.5, 0.95))
            spread = {"mean": known.mean(), "deviation": known.std(), "5 %": low, "median": middle, "95 %": high}
            rows.append({"figure": name} | {key: float(value) for key, value in spread.items()})
    return pd.DataFrame(rows, columns=None if rows else ["figure", "mean"])
