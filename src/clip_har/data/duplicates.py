"""Near-duplicates: the same picture saved again, resized, recompressed, recoloured or slightly cropped.

Candidates come from a perceptual hash (pHash, 64 bits); each candidate pair is then verified on the pictures
themselves, because hashes of cut-outs before a plain background are close by chance. Both look at luminance alone, so
that a grey or tinted version of a picture is that picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from clip_har.data.close_hashes import close_pairs
from clip_har.data.loading import map_ahead

__all__ = ["close_pairs", "groups_of", "perceptual_hash", "similarity", "verified_pairs"]

_THUMBNAIL = 32
_LARGEST_SHIFT = 3
_THUMBNAILS_HELD = 1 << 16  # of 1 KB


def perceptual_hash(image: Image.Image) -> int:
    """64-bit pHash (low frequencies of the DCT of a 32 × 32 grey version)."""
    import imagehash

    return int(str(imagehash.phash(image)), 16)


def similarity(first: Image.Image, second: Image.Image) -> float:
    """Correlation of the luminance of two pictures' small versions, the best over small shifts: 1 for the same picture.

    Colour, brightness, contrast and size do not matter; a banner or a slight crop costs little. (Correlating the three
    colour channels together instead, the differences between channels weigh more than what the picture shows where it
    is colourful: a fifth of real photographs are then less than 0.9 similar to their own grey version.)
    """
    return _similarity(_windows(_thumbnail(first)), _windows(_thumbnail(second)))


def verified_pairs(
    pairs: np.ndarray,
    picture: Callable[[int], Image.Image],
    min_similarity: float,
    progress: Callable[[int, int], None] | None = None,
) -> list[tuple[int, int, int, float]]:
    """The pairs that are similar in their pixels too.

    Each picture is asked for once (again only where pairs name more than 65,536 pictures), from several threads.

    Args:
        pairs: as from `close_pairs`.
        picture: gives the picture at an index.
        progress: told the pictures and pairs done, and their number.

    Returns:
        (first index, second index, distance of the hashes, similarity) for each, in the order of `pairs`.
    """
    kept = []
    parts = list(_parts(pairs))
    total = len(pairs) + sum(len(indices) for _, indices in parts)
    done = 0
    for part, indices in parts:
        thumbnails = {}
        small = map_ahead(lambda index: _thumbnail(picture(index)), indices)
        for index, thumbnail in zip(indices, small, strict=True):
            thumbnails[index] = thumbnail
            done += 1
            if progress:
                progress(done, total)
        last, windows = -1, np.empty(0)
        for first, second, distance in part.tolist():
            if first != last:  # pairs of one picture follow each other
                last, windows = first, _windows(thumbnails[first])
            value = _similarity(windows, _windows(thumbnails[second]))
            if value >= min_similarity:
                kept.append((first, second, distance, value))
            done += 1
            if progress:
                progress(done, total)
    return kept


def _parts(pairs: np.ndarray) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Runs of pairs whose thumbnails are held together, and the pictures that they name."""
    start, step = 0, max(1, _THUMBNAILS_HELD // 2)
    while start < len(pairs):
        stop = start + step
        # Twice as many pairs as long as they name few enough pictures: many pairs share theirs.
        while stop < len(pairs) and len(np.unique(pairs[start : 2 * stop - start, :2])) <= _THUMBNAILS_HELD:
            stop = 2 * stop - start
        yield pairs[start:stop], np.unique(pairs[start:stop, :2]).tolist()
        start = stop


def _thumbnail(image: Image.Image) -> np.ndarray:
    """uint8 [32, 32]: luminance."""
    return np.asarray(image.convert("L").resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX))


def _windows(thumbnail: np.ndarray) -> np.ndarray:
    """float64 [4, 4, 29 · 29]: the thumbnail cut at each offset down and right, each of mean 0 and length 1.

    A window of one colour is zeros.
    """
    span = _THUMBNAIL - _LARGEST_SHIFT
    cut = np.lib.stride_tricks.sliding_window_view(thumbnail, (span, span)).reshape(*[_LARGEST_SHIFT + 1] * 2, -1)
    centred = cut - cut.mean(axis=2, keepdims=True)
    length = np.sqrt((centred * centred).sum(axis=2, keepdims=True))
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-6)


def _similarity(first: np.ndarray, second: np.ndarray) -> float:
    """The best correlation of two pictures' windows, one of them at offset 0 down and one right: shifts by up to 3."""
    if not first.any() or not second.any():  # nothing to compare: plain pictures are like each other only
        return float(not first.any() and not second.any())
    return float(np.tensordot(first, second, axes=(2, 2))[_SHIFTED].max())


def _shifts() -> np.ndarray:
    """bool [4, 4, 4, 4]: which offsets (down, right) of the first and of the second picture make a shift."""
    zero = np.arange(_LARGEST_SHIFT + 1) == 0
    either = zero[:, None] | zero[None, :]
    return either[:, None, :, None] & either[None, :, None, :]


_SHIFTED = _shifts()


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
