"""Pictures of which some are taken for a window: what the statistics are computed from, prepared once for all of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from clip_har.monitoring.config import ProfileConfig
from clip_har.monitoring.observations import Observations

_PAIRED = 400  # pictures whose pairs the kernel's bandwidth is the median of
_NEGLIGIBLE = 1e-6  # share of the largest variance below which a component is rounding
_CHUNK = 4096


class Pool:
    """A reference and a window thrown together; which is which is said by the masks that statistics are asked for.

    Nothing here depends on the masks, so that no pair is told from another by anything but its own pictures: principal
    components and the kernel's bandwidth come from all pictures alike, as in a permutation test.

    Attributes:
        observations: of n pictures.
        config: components and neighbours.
    """

    def __init__(self, observations: Observations, config: ProfileConfig) -> None:
        self.observations, self.config = observations, config

    def __len__(self) -> int:
        return len(self.observations)

    @cached_property
    def embeddings(self) -> np.ndarray:
        """float32 [n, d], L2-normalised."""
        assert self.observations.embeddings is not None
        return normalised(self.observations.embeddings)

    @cached_property
    def components(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal components.

        Returns:
            float64 [n, k], orthonormal columns: the pictures' coordinates, centred, all of one variance; float64 [d, k]:
            what takes centred embeddings there.
        """
        centred = self.embeddings.astype(np.float64)
        centred -= centred.mean(axis=0)
        variances, directions = np.linalg.eigh(centred.T @ centred)
        count = min(self.config.components, max(len(self) // 4, 1), centred.shape[1])
        variances, directions = variances[::-1][:count], directions[:, ::-1][:, :count]
        kept = variances > max(_NEGLIGIBLE * variances[0], 1e-12)
        projection = directions[:, kept] / np.sqrt(variances[kept])
        return centred @ projection, projection

    @cached_property
    def kernel(self) -> np.ndarray:
        """float32 [n, n]: Gaussian kernel with the median of the squared distances as its scale, less its own mean.

        Gretton et al. 2012, "A Kernel Two-Sample Test", section 8, for the bandwidth. A constant less changes no discrepancy and
        keeps sums exact in float32.
        """
        rows = np.random.default_rng(0).permutation(len(self))[:_PAIRED]
        between = self.cosines[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)]
        median = max(2 - 2 * float(np.median(between)), 1e-6)
        kernel = np.exp((self.cosines - 1) * np.float32(2 / median))
        kernel -= kernel.mean()
        return kernel

    @cached_property
    def cosines(self) -> np.ndarray:
        """float32 [n, n], of every picture with every other."""
        return self.embeddings @ self.embeddings.T

    def closest(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest other pictures of each: int [n, count], and their cosines, float32 [n, count], the nearest first."""
        distances = -self.cosines
        np.fill_diagonal(distances, np.inf)
        rows = np.argpartition(distances, count - 1, axis=1)[:, :count]
        cosines = -np.take_along_axis(distances, rows, axis=1)
        order = np.argsort(-cosines, axis=1, kind="stable")
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(cosines, order, axis=1)

    @cached_property
    def entropy(self) -> np.ndarray:
        """float32 [n], of the probabilities, in nats."""
        assert self.observations.probabilities is not None
        return entropy(self.observations.probabilities)


def normalised(embeddings: np.ndarray) -> np.ndarray:
    """float32 [n, d] with rows of length 1, as encoders give them; a row of zeros stays."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return (embeddings / np.maximum(lengths, 1e-12)).astype(np.float32, copy=False)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """float32 [n], in nats, of float32 [n, c]."""
    found = np.empty(len(probabilities), np.float32)
    for start in range(0, len(probabilities), _CHUNK):
        part = probabilities[start : start + _CHUNK]
        found[start : start + _CHUNK] = -(part * np.log(np.maximum(part, 1e-30))).sum(axis=1)
    return found


def joined(first: Observations, second: Observations) -> Observations:
    """The pictures of both, the first's before the second's; what one of them lacks is lacking."""

    def both(name: str) -> np.ndarray | None:
        one, other = getattr(first, name), getattr(second, name)
        return None if one is None or other is None else np.concatenate([one, other])

    arrays = ("predicted", "confidence", "abstained", "embeddings", "probabilities", "truth")
    shared = [name for name in first.figures if name in second.figures]
    return replace(
        first,
        ids=first.ids + second.ids,
        figures={name: np.concatenate([first.figures[name], second.figures[name]]) for name in shared},
        times=None,
        pictures=None,
        **{name: both(name) for name in arrays},
    )
