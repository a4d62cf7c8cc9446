"""A whole window beside the whole reference: figures for people, of every picture."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from clip_har.monitoring.accuracy import AccuracyEstimator, known_right
from clip_har.monitoring.checks.pool import entropy, normalised
from clip_har.monitoring.config import ProfileConfig
from clip_har.monitoring.observations import Observations

_CHUNK = 2048


class Comparison:
    """Reference and window, and what several checks need of both, computed once and in parts.

    Attributes:
        reference: all pictures of the profile.
        window: all pictures looked at.
        config: of the profile.
    """

    def __init__(self, reference: Observations, window: Observations, config: ProfileConfig) -> None:
        self.reference, self.window, self.config = reference, window, config

    @cached_property
    def reference_distances(self) -> np.ndarray:
        """float32 [m]: 1 - mean cosine to the nearest other pictures of the reference."""
        return self._distances(self._reference, itself=True)

    @cached_property
    def window_distances(self) -> np.ndarray:
        """float32 [n]: 1 - mean cosine to the nearest pictures of the reference."""
        assert self.window.embeddings is not None
        return self._distances(self.window.embeddings, itself=False)

    @cached_property
    def _reference(self) -> np.ndarray:
        assert self.reference.embeddings is not None
        return normalised(self.reference.embeddings)

    def _distances(self, embeddings: np.ndarray, *, itself: bool) -> np.ndarray:
        count = max(min(self.config.neighbours, len(self.reference) - itself), 1)
        found = np.empty(len(embeddings), np.float32)
        for start in range(0, len(embeddings), _CHUNK):
            cosines = normalised(embeddings[start : start + _CHUNK]) @ self._reference.T
            if itself:
                rows = np.arange(len(cosines))
                cosines[rows, start + rows] = -np.inf
            nearest = np.partition(cosines, cosines.shape[1] - count, axis=1)[:, -count:]
            found[start : start + _CHUNK] = 1 - nearest.mean(axis=1)
        return found

    @cached_property
    def entropies(self) -> tuple[np.ndarray, np.ndarray]:
        """float32 [m] and [n], in nats."""
        assert self.reference.probabilities is not None
        assert self.window.probabilities is not None
        return entropy(self.reference.probabilities), entropy(self.window.probabilities)

    @cached_property
    def accuracy_estimator(self) -> AccuracyEstimator | None:
        """Fitted on the reference; None if nothing is known of what is right there."""
        if not len(known_right(self.reference)[0]):
            return None
        return AccuracyEstimator(self.reference, self.reference_distances if self._embedded else None)

    @cached_property
    def taken_for_right(self) -> tuple[np.ndarray, np.ndarray]:
        """float64 [m] and [n]: what the estimator takes for right."""
        assert self.accuracy_estimator is not None
        near = (self.reference_distances, self.window_distances) if self._embedded else (None, None)
        before, now = (
            self.accuracy_estimator.right(part.confidence, distances)
            for part, distances in zip((self.reference, self.window), near, strict=True)
        )
        return before, now

    @property
    def _embedded(self) -> bool:
        return self.reference.embeddings is not None and self.window.embeddings is not None

    @cached_property
    def separation(self) -> tuple[np.ndarray, np.ndarray]:
        """float32 [m] and [n]: how much a picture looks like the window's, in standard deviations of the reference from its mean.

        Along the direction of a linear discriminant between the two, in principal components; of more pictures than the reference
        has, as many drawn at random fit it. Each picture's own part in the direction is taken out of its score.
        """
        from clip_har.monitoring.checks.embedding_classifier import discriminant_scores
        from clip_har.monitoring.checks.pool import Pool, joined

        generator, count = np.random.default_rng(self.config.seed), len(self.reference)
        rows = np.sort(generator.permutation(len(self.window))[:count])
        pool = Pool(joined(self.reference, self.window.take(rows)), self.config)
        is_window = np.arange(len(pool)) >= count
        fitted = discriminant_scores(pool, is_window[None])[0]
        mean, deviation = fitted[:count].mean(), max(float(fitted[:count].std()), 1e-12)
        scores = np.empty(len(self.window), np.float32)
        if len(rows) < len(self.window):
            assert self.window.embeddings is not None
            coordinates, projection = pool.components
            direction = projection @ (coordinates.T @ (is_window - is_window.mean()))
            centre = pool.embeddings.mean(axis=0, dtype=np.float64)
            for start in range(0, len(scores), _CHUNK):
                part = normalised(self.window.embeddings[start : start + _CHUNK])
                scores[start : start + _CHUNK] = (part - centre) @ direction
        scores[rows] = fitted[count:]
        return ((fitted[:count] - mean) / deviation).astype(np.float32), ((scores - mean) / deviation).astype(
            np.float32
        )
