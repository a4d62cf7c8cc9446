"""A window in time: its parts in order, and since when something is otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from clip_har.monitoring.report import Moment

_PARTS, _FEWEST = 12, 20  # parts, and pictures in one
_SIGNIFICANT = 0.01


def iso_time(seconds: float) -> str:
    """Seconds since 1970 → ISO 8601 in UTC."""
    return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def timeline(times: np.ndarray, values: Mapping[str, np.ndarray]) -> tuple[Moment, ...]:
    """Parts with as many pictures each, in the order of their times.

    Args:
        times: float64 [n], seconds since 1970.
        values: name of a check → float [n], NaN where it is not known; a part has their means.
    """
    order = np.argsort(times, kind="stable")
    count = max(min(_PARTS, len(order) // _FEWEST), min(len(order), 1))
    moments = []
    for rows in np.array_split(order, count) if count else ():
        means = {}
        for name, of in values.items():
            known = of[rows][np.isfinite(of[rows])]
            if len(known):
                means[name] = float(known.mean(dtype=np.float64))
        first, last = iso_time(times[rows[0]]), iso_time(times[rows[-1]])
        moments.append(Moment(start=first, end=last, pictures=len(rows), values=means))
    return tuple(moments)


def changed_at(times: np.ndarray, values: np.ndarray) -> float | None:
    """Time of the first picture after a change of the mean, if there is one in the window.

    The largest deviation of the cumulated sums from a straight line (Page's CUSUM for one change whose time is not known), taken
    for a change if a Brownian bridge is seldom so far away: Csörgő and Horváth 1997, "Limit Theorems in Change-Point Analysis",
    section 2.1.

    Args:
        times: float64 [n], seconds since 1970.
        values: float [n], NaN where it is not known.
    """
    from scipy.stats import kstwobign

    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(times[known], kind="stable")]
    if len(order) < 2 * _FEWEST:
        return None
    series = values[order].astype(np.float64)
    sums = np.abs(np.cumsum(series - series.mean()))[:-1]
    place = int(sums.argmax())
    # The spread on either side of the change: a large change would hide in the spread of the whole.
    spread = np.sqrt(
        (series[: place + 1].var() * (place + 1) + series[place + 1 :].var() * (len(series) - place - 1)) / len(series)
    )
    if sums[place] == 0 or kstwobign.sf(sums[place] / max(spread * len(series) ** 0.5, 1e-12)) > _SIGNIFICANT:
        return None
    return float(times[order[place + 1]])
