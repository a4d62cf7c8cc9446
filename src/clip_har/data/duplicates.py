"""Near-duplicates: the same picture saved again, resized, recompressed, recoloured or slightly cropped.

Candidates come from a perceptual hash (pHash, 64 bits); each candidate pair is then verified on the pictures
themselves, because hashes of cut-outs before a plain background are close by chance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

_BLOCK = 2048
_THUMBNAIL = 32
_LARGEST_SHIFT = 3


def perceptual_hash(image: Image.Image) -> int:
    """64-bit pHash (low frequencies of the DCT of a 32 × 32 grey version)."""
    import imagehash

    return int(str(imagehash.phash(image)), 16)


def close_pairs(hashes: np.ndarray, max_distance: int) -> np.ndarray:
    """Pairs of hashes that differ in at most `max_distance` bits.

    Args:
        hashes: uint64 [n].

    Returns:
        int64 [m, 3]: first index, second index (larger), distance; in that order.
    """
    found = [np.empty((0, 3), dtype=np.int64)]
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK]
        distances = np.bitwise_count(block[:, None] ^ hashes[None, start:])
        first, second = np.nonzero(distances <= max_distance)
        later = second > first
        first, second = first[later], second[later]
        found.append(np.stack([first + start, second + start, distances[first, second]], axis=1).astype(np.int64))
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def similarity(first: Image.Image, second: Image.Image) -> float:
    """Correlation of two pictures' small versions, the best over small shifts: 1 for the same picture.

    Brightness, contrast and size do not matter; a banner or a slight crop costs little.
    """
    a, b = (_thumbnail(image) for image in (first, second))
    best = -1.0
    span = _THUMBNAIL - _LARGEST_SHIFT
    shifts = range(-_LARGEST_SHIFT, _LARGEST_SHIFT + 1)
    for down in shifts:
        for right in shifts:
            ay, ax, by, bx = max(down, 0), max(right, 0), max(-down, 0), max(-right, 0)
            height, width = min(span, _THUMBNAIL - abs(down)), min(span, _THUMBNAIL - abs(right))
            best = max(best, _correlation(a[ay : ay + height, ax : ax + width], b[by : by + height, bx : bx + width]))
    return best


def _thumbnail(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX), dtype=np.float64)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / norm) if norm > 1e-6 else float(norm <= 1e-6 and np.allclose(a, b))


def verified_pairs(
    pairs: np.ndarray, picture: Callable[[int], Image.Image], min_similarity: float
) -> list[tuple[int, int, int, float]]:
    """The pairs that are similar in their pixels too.

    Args:
        pairs: as from `close_pairs`.
        picture: gives the picture at an index.

    Returns:
        (first index, second index, distance of the hashes, similarity) for each.
    """
    kept = []
    for first, second, distance in pairs.tolist():
        value = similarity(picture(first), picture(second))
        if value >= min_similarity:
            kept.append((first, second, distance, value))
    return kept


def groups_of(ids: list[str], pairs: list[tuple[int, int]]) -> list[str]:
    """A name for each id's group: the smallest id among all that pairs connect it to."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    first, second = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    graph = coo_matrix((np.ones(len(pairs)), (first, second)), shape=(len(ids), len(ids)))
    _, component = connected_components(graph, directed=False)
    names: dict[int, str] = {}
    for number, name in zip(component.tolist(), ids, strict=True):
        names[number] = min(name, names.get(number, name))
    return [names[number] for number in component.tolist()]
