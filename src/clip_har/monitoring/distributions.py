"""How what a check compares is distributed, in the reference and in the window: small enough to be part of the report."""

from __future__ import annotations

import numpy as np

from clip_har.monitoring.checks.pool import entropy
from clip_har.monitoring.observations import IMAGE_FIGURES, Observations
from clip_har.monitoring.report import Distribution, DriftReport

BINS = 24
_LABELS = 15  # of the predicted labels; the others are one bin
_ROWS = 2000  # of each side whose distances are taken: they want a product of matrices
_ENDS = (0.5, 99.5)  # percentiles; what lies beyond is in the first and the last bin


def with_distributions(
    report: DriftReport, reference: Observations, window: Observations, *, neighbours: int = 5, seed: int = 0
) -> DriftReport:
    """The report, with a distribution for each check that has one.

    Args:
        neighbours: nearest reference pictures whose mean cosine is a picture's nearness.
        seed: of the samples whose distances are taken.
    """
    found: dict[str, Distribution | None] = {
        name: _binned(reference.figures.get(name), window.figures.get(name)) for name in IMAGE_FIGURES
    }
    found["confidence"] = _binned(reference.confidence, window.confidence)
    found["entropy"] = _binned(entropy_of(reference.probabilities), entropy_of(window.probabilities))
    found["predicted_labels"] = _of_labels(reference, window)
    names = {check.name for check in report.checks}
    if names & {"out_of_vocabulary", "embedding_classifier", "embedding_mmd"}:
        distances = _distances(reference.embeddings, window.embeddings, neighbours, seed)
        found |= dict.fromkeys(("out_of_vocabulary", "embedding_classifier", "embedding_mmd"), distances)
    checks = [
        check.model_copy(update={"distribution": None if check.verdict == "not checked" else found.get(check.name)})
        for check in report.checks
    ]
    return report.model_copy(update={"checks": tuple(checks)})


def entropy_of(probabilities: np.ndarray | None) -> np.ndarray | None:
    """Entropy [n] of probabilities [n, c], in nats."""
    return None if probabilities is None else entropy(probabilities)


def _binned(reference: np.ndarray | None, window: np.ndarray | None, unit: str = "") -> Distribution | None:
    if reference is None or window is None:
        return None
    before, now = (values[np.isfinite(values)].astype(np.float64) for values in (reference, window))
    if not len(before) or not len(now):
        return None
    ends = np.array([np.percentile(values, _ENDS) for values in (before, now)])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if high - low <= 1e-9 * max(abs(low), abs(high), 1.0):
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    shares = [np.histogram(np.clip(values, low, high), edges)[0] / len(values) for values in (before, now)]
    return Distribution(
        edges=_rounded(edges, 6), reference=_rounded(shares[0], 5), current=_rounded(shares[1], 5), unit=unit
    )


def _of_labels(reference: Observations, window: Observations) -> Distribution | None:
    """Shares of the predicted labels, the most changed first."""
    if reference.labels != window.labels or not len(reference) or not len(window):
        return None
    before, now = (np.bincount(one.predicted, minlength=len(one.labels)) / len(one) for one in (reference, window))
    order = np.argsort(-np.abs(now - before), kind="stable")
    shown = order if len(order) <= _LABELS else order[: _LABELS - 1]
    names = [reference.labels[place] for place in shown]
    shares = [list(values[shown]) for values in (before, now)]
    if len(shown) < len(order):
        names.append(f"{len(order) - len(shown)} others")
        for listed in shares:
            listed.append(1 - sum(listed))
    return Distribution(labels=tuple(names), reference=_rounded(shares[0], 5), current=_rounded(shares[1], 5))


def _distances(
    reference: np.ndarray | None, window: np.ndarray | None, neighbours: int, seed: int
) -> Distribution | None:
    """1 - mean cosine to the nearest reference pictures, of samples of both; no picture is its own neighbour."""
    if reference is None or window is None or len(reference) <= neighbours or not len(window):
        return None
    generator = np.random.default_rng(seed)
    rows = [
        np.arange(len(one)) if len(one) <= _ROWS else np.sort(generator.choice(len(one), _ROWS, replace=False))
        for one in (reference, window)
    ]
    found = []
    for own, (one, taken) in enumerate(zip((reference, window), rows, strict=True)):
        cosines = one[taken] @ reference.T
        if not own:
            cosines[np.arange(len(taken)), taken] = -np.inf
        nearest = np.partition(cosines, cosines.shape[1] - neighbours, axis=1)[:, -neighbours:]
        found.append(1 - nearest.mean(axis=1))
    return _binned(*found, unit="distance to the nearest pictures of the reference")


def _rounded(values: np.ndarray | list[float], digits: int) -> tuple[float, ...]:
    return tuple(round(float(value), digits) for value in values)
