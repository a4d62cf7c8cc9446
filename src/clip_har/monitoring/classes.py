"""What became of each label."""

from __future__ import annotations

import numpy as np

from clip_har.monitoring.checks.predicted_labels import share_changes
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.report import ClassChange


def class_changes(reference: Observations, window: Observations) -> tuple[ClassChange, ...]:
    """A row a label: how often, how confidently and how rightly it was given; the most changed first."""
    if not len(reference) or not len(window):
        return ()
    classes = len(reference.labels)
    before, after, excess = share_changes(reference.predicted, window.predicted, classes)
    means = [_mean_confidence(part, classes) for part in (reference, window)]
    truth = np.full(len(window), -1) if window.truth is None else window.truth
    labelled = np.bincount(truth[truth >= 0], minlength=classes)
    right = np.bincount(truth[(truth >= 0) & (truth == window.predicted)], minlength=classes)
    return tuple(
        ClassChange(
            label=reference.labels[label],
            reference_share=float(before[label]),
            current_share=float(after[label]),
            reference_confidence=means[0][label],
            current_confidence=means[1][label],
            excess=float(excess[label]),
            labelled=int(labelled[label]),
            right=int(right[label]),
        )
        for label in np.argsort(-np.abs(excess), kind="stable")
    )


def _mean_confidence(observations: Observations, classes: int) -> list[float | None]:
    sums = np.bincount(observations.predicted, observations.confidence, minlength=classes)
    counts = np.bincount(observations.predicted, minlength=classes)
    return [float(total / count) if count else None for total, count in zip(sums, counts, strict=True)]
