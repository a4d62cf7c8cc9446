"""Which pictures are worth a person's time: those that the model doubts, and that differ from each other and from labelled ones."""

from __future__ import annotations

import numpy as np

_LEAST = 1e-12
_SAME = 1e-6  # squared distance of a picture to itself, as float32 has it
_COMPONENTS = 64
_SAMPLE = 4096  # rows that the components are made from
_BLOCK = 256
_ROUNDS, _SETTLED = 10, 0.002  # of k-means; share of pictures that may still change their group
_LEAST_DOUBT = 1e-3
_CANDIDATES = 3
_ROWS = 8192


def choose(
    embeddings: np.ndarray,
    probabilities: np.ndarray,
    count: int,
    *,
    uncertainty: float,
    seed: int,
    taken: np.ndarray | None = None,
) -> np.ndarray:
    """Indices of pictures to label, int [k], the most telling first; k is `count`, or fewer where there are fewer to choose from.

    The pictures are grouped by k-means in which those count most that the model doubts, and the most typical one of each group
    is chosen (weighted clustering, Zhdanov 2019, "Diverse mini-batch Active Learning"): outliers, which drawing by distance alone
    prefers (BADGE, k-centre), teach little when labels are few. Pictures that are nearer to a labelled one than to any group's
    centre are in no group. docs/labelling.md has
    what a probe gained by it on real photographs, and where it gained nothing.

    Distances are taken between unit embeddings on at most 64 principal components. Time grows as rows × count; memory beyond the
    input is 300 bytes a row.

    Args:
        embeddings: float32 [n, d]; a row that is not finite is never chosen.
        probabilities: float32 [n, c], over the model's labels; a row that is not finite counts as full doubt.
        count: how many are wanted.
        uncertainty: weight of the doubt, which counts as `doubt ** (uncertainty / (1 - uncertainty))`: from 0 (only diversity) to 1
            (only doubt, the most doubtful first).
        seed: the same gives the same choice.
        taken: float32 [m, d], embeddings of pictures that are labelled already, whose surroundings are known; such a
            picture itself is not chosen again.
    """
    random = np.random.default_rng(seed)
    usable = _finite(embeddings)
    axes = _axes(embeddings, usable, random)
    points = _projected(embeddings, usable, axes)
    doubt = doubt_of(probabilities)[usable]
    nearest = np.full(len(points), 2, np.float32)  # squared: as if the first were drawn far from all
    known = np.zeros((0, axes.shape[1]), np.float32) if taken is None else _projected(taken, _finite(taken), axes)
    for start in range(0, len(known), _BLOCK):
        np.minimum(nearest, _distances(points, known[start : start + _BLOCK]).min(axis=1), out=nearest)
    free = nearest > _SAME  # else the very picture is labelled
    count = min(count, int(free.sum()))
    if not count:
        return np.zeros(0, np.int64)
    if uncertainty == 1 or count == free.sum():
        return usable[np.lexsort((random.random(len(points)), -doubt, ~free))[:count]]
    usable, points, nearest, doubt = usable[free], points[free], nearest[free], doubt[free]
    weights = np.maximum(doubt, _LEAST_DOUBT).astype(np.float64) ** (uncertainty / (1 - uncertainty))
    return usable[_typical(points, weights, nearest, count, random)]


def doubt_of(probabilities: np.ndarray) -> np.ndarray:
    """How little the best label stands out from the second, float32 [n], from 0 (certain) to 1 (equal): 1 less the margin."""
    values = np.asarray(probabilities, np.float32)
    if values.shape[1] < 2:
        return np.ones(len(values), np.float32)
    best = np.partition(values, -2, axis=1)[:, -2:]
    margin = best[:, 1] - best[:, 0]
    return np.where(np.isfinite(margin), np.clip(1 - margin, 0, 1), 1).astype(np.float32)


def _typical(
    points: np.ndarray, weights: np.ndarray, known: np.ndarray, count: int, random: np.random.Generator
) -> np.ndarray:
    """Positions of the pictures nearest to the centres of weighted k-means, those of heavy groups first: int [count].

    Args:
        points: float32 [n, k].
        weights: float64 [n].
        known: float32 [n], squared distance to the nearest picture that is labelled.
    """
    drawn = _drawn(points, weights, known, count, random)
    centres, before = points[drawn], None
    for _ in range(_ROUNDS):
        group, distance = _assigned(points, centres)
        group[distance > known] = count  # those that a labelled picture speaks for
        if before is not None and (group != before).mean() < _SETTLED:
            break
        before = group
        mass = np.bincount(group, weights, count + 1)[:count]
        sums = np.stack([np.bincount(group, weights * axis, count + 1)[:count] for axis in points.T], axis=1)
        filled = mass > 0
        centres[filled] = (sums[filled] / mass[filled, None]).astype(np.float32)
    group, distance = _assigned(points, centres)
    order = np.lexsort((distance, group))
    firsts = order[np.unique(group[order], return_index=True)[1]]  # the nearest of each group that has any
    mass = np.bincount(group, weights, count)[group[firsts]]
    chosen = firsts[np.argsort(-mass, kind="stable")]
    rest = [position for position in drawn if position not in set(chosen.tolist())]
    return np.concatenate([chosen, np.asarray(rest, np.int64)])[:count].astype(np.int64)


def _assigned(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each point the nearest centre, int [n], and the squared distance to it, float32 [n]."""
    group, distance = np.empty(len(points), np.int64), np.empty(len(points), np.float32)
    for start in range(0, len(points), _ROWS):
        block = _distances(points[start : start + _ROWS], centres)
        group[start : start + _ROWS] = block.argmin(axis=1)
        distance[start : start + _ROWS] = block.min(axis=1)
    return group, distance


def _drawn(
    points: np.ndarray, weights: np.ndarray, known: np.ndarray, count: int, random: np.random.Generator
) -> np.ndarray:
    """Positions of the first centres, drawn as k-means++ does: int [count], each another."""
    squared, nearest = _squared(points), known.astype(np.float64)
    chosen = np.zeros(count, np.int64)
    for number in range(count):
        cumulative = np.cumsum(nearest * weights)
        draws = np.searchsorted(cumulative, random.random(_CANDIDATES) * cumulative[-1], side="right")
        draws = np.minimum(draws, len(points) - 1)
        left = np.minimum(np.maximum(squared + squared[draws, None] - 2 * (points[draws] @ points.T), 0), nearest)
        best = int((left @ weights).argmin())  # the one that leaves the least unexplained
        position = int(draws[best])
        if nearest[position] <= 0:  # nothing but pictures that are drawn already
            position = int(np.setdiff1d(np.arange(len(points)), chosen[:number])[0])
        chosen[number] = position
        nearest = left[best]
        nearest[position] = 0
    return chosen


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Squared, float32 [n, m]."""
    return np.maximum(_squared(points)[:, None] + _squared(others) - 2 * (points @ others.T), 0)


def _squared(points: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", points, points)


def _finite(rows: np.ndarray) -> np.ndarray:
    """Indices of the rows that are finite."""
    blocks = [np.isfinite(rows[start : start + _ROWS]).all(axis=1) for start in range(0, len(rows), _ROWS)]
    return np.flatnonzero(np.concatenate([np.zeros(0, bool), *blocks]))


def _axes(embeddings: np.ndarray, usable: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Principal axes of the unit embeddings, float32 [d, k]; all of the space where it is no larger."""
    dimensions = embeddings.shape[1]
    if dimensions <= _COMPONENTS or not len(usable):
        return np.eye(dimensions, dtype=np.float32)
    sample = _unit(embeddings[random.choice(usable, min(_SAMPLE, len(usable)), replace=False)])
    centred = sample - sample.mean(axis=0)
    return np.linalg.eigh(centred.T @ centred)[1][:, -_COMPONENTS:].astype(np.float32)


def _projected(embeddings: np.ndarray, usable: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Unit embeddings of these rows on the axes, float32 [n, k]."""
    points = np.empty((len(usable), axes.shape[1]), np.float32)
    for start in range(0, len(usable), _ROWS):
        points[start : start + _ROWS] = _unit(embeddings[usable[start : start + _ROWS]]) @ axes
    return points


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _LEAST)
