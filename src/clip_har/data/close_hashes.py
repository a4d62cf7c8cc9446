"""All pairs of 64-bit hashes that differ in few bits, without comparing each with each.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012): two
hashes that differ in at most r bits differ in at most ⌊r / m⌋ bits in one of their m chunks, so that looking up the few
neighbours of each chunk in a table finds every pair. Vectorised in numpy; faiss finds the same pairs, but its flat
index compares each with each, and its multi-index one takes ten times as long as this.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clip_har.data.loading import map_ahead

_MOST_PARTNERS = 32
_AT_ONCE = 1 << 20  # candidate pairs, or chunks looked up, in one piece of work
_WIDEST_CHUNK = 20  # bits; a table has an entry for each of a chunk's values
_CANDIDATE_COST = 3  # times that of looking up a chunk
_INDEX_BITS = 32


def close_pairs(hashes: np.ndarray, max_distance: int) -> np.ndarray:
    """Pairs of hashes that differ in at most `max_distance` bits.

    All of them, unless many hashes are alike (frames of a film, thousands of black pictures), of which all pairs would
    not fit into memory. There, each hash keeps the 32 nearest of those after it, and from the 33rd hash on that equals
    an earlier one, it is paired with the first of its equals only. Hashes that are alike stay connected.

    Args:
        hashes: uint64 [n].

    Returns:
        int64 [m, 3]: first index, second index (larger), distance; in that order.
    """
    hashes = np.ascontiguousarray(hashes, dtype=np.uint64)
    searched, tied = _without_crowds(hashes)
    found = _search(hashes[searched], max_distance)
    found[:, :2] = searched[found[:, :2]]
    pairs = np.concatenate([found, tied])
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _without_crowds(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the hashes to search, at most 32 equal ones; and pairs of the others with the first of their equals."""
    _, bucket, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    members = np.argsort(bucket, kind="stable")
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(hashes), dtype=np.int64)
    rank[members] = np.arange(len(hashes)) - np.repeat(starts, sizes)
    beyond = np.flatnonzero(rank >= _MOST_PARTNERS)
    tied = np.stack([members[starts[bucket[beyond]]], beyond, np.zeros_like(beyond)], axis=1)
    return np.flatnonzero(rank < _MOST_PARTNERS), tied


def _search(hashes: np.ndarray, max_distance: int) -> np.ndarray:
    tables = [_Table.of(hashes, *chunk) for chunk in _chunks(len(hashes), max_distance)]
    rows = max(1, _AT_ONCE // max(1, sum(len(table.masks) for table in tables)))

    def search(start: int) -> np.ndarray:
        stop = min(start + rows, len(hashes))
        probes = [table.look_up(start, stop) for table in tables]
        # Where hashes crowd, the tables name more pairs than there are.
        crowded = sum(int(probe.ends[-1]) for probe in probes if len(probe.ends)) > (stop - start) * len(hashes)
        if not tables or crowded:
            return _compared_with_all(hashes, start, stop, max_distance)
        return _compared_with_probed(hashes, start, stop, max_distance, tables, probes)

    starts = range(0, len(hashes), rows)
    blocks = map_ahead(search, starts, ahead=8, threads=min(4, os.cpu_count() or 1))
    return np.concatenate([np.empty((0, 3), dtype=np.int64), *blocks])


def _chunks(count: int, max_distance: int) -> list[tuple[int, int, int]]:
    """The cut with the least work for `count` hashes of random bits; none if tables do not pay."""
    best: list[tuple[int, int, int]] = []
    least = _CANDIDATE_COST * count / 2
    for chunks in range(1, 17):
        cut = _cut(chunks, max_distance)
        if max(width for _, width, _ in cut) > _WIDEST_CHUNK:
            continue
        work = sum(_neighbours(width, radius) * (1 + _CANDIDATE_COST * count / 2**width) for _, width, radius in cut)
        if work < least:
            best, least = cut, work
    return best


def _cut(chunks: int, max_distance: int) -> list[tuple[int, int, int]]:
    """(first bit, bits, bits that may differ) of each chunk to look up.

    With r = m q + s, a pair that differs in more than q bits of each of s + 1 chunks, and in more than q − 1 of each of the
    others, would differ in at least (s + 1)(q + 1) + (m − s − 1) q = r + 1 bits.
    """
    edges = [64 * number // chunks for number in range(chunks + 1)]
    quotient, rest = divmod(max_distance, chunks)
    radii = [quotient if number <= rest else quotient - 1 for number in range(chunks)]
    return [
        (edges[number], edges[number + 1] - edges[number], radius) for number, radius in enumerate(radii) if radius >= 0
    ]


def _neighbours(width: int, radius: int) -> int:
    """How many values of `width` bits differ from one of them in at most `radius`."""
    return sum(math.comb(width, changed) for changed in range(min(radius, width) + 1))


@dataclass(frozen=True)
class _Probe:
    """What a table holds for some hashes: for each chunk value with entries, its place in the table.

    Attributes:
        rows: int32 [k], indices of hashes.
        low: int32 [k], first entry for each; counts: how many.
        ends: int64 [k], running sum of counts.
    """

    rows: np.ndarray
    low: np.ndarray
    counts: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class _Table:
    """Hashes by the value of one chunk.

    Attributes:
        masks: int32 [k], the changes of at most `radius` bits.
        keys: int32 [n], the chunk of each hash.
        order: int32 [n], indices of the hashes sorted by it; starts: int32 [2^width + 1], where each value's begin.
    """

    radius: int
    masks: np.ndarray
    keys: np.ndarray
    order: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, hashes: np.ndarray, first_bit: int, width: int, radius: int) -> _Table:
        keys = ((hashes >> np.uint64(first_bit)) & np.uint64(2**width - 1)).astype(np.int32)
        starts = np.zeros(2**width + 1, dtype=np.int32)
        np.cumsum(np.bincount(keys, minlength=2**width), out=starts[1:])
        changes = (
            bits for changed in range(radius + 1) for bits in itertools.combinations(range(width), min(changed, width))
        )
        masks = np.array([sum(1 << bit for bit in bits) for bits in changes], dtype=np.int32)
        return cls(radius, masks, keys, np.argsort(keys, kind="stable").astype(np.int32), starts)

    def look_up(self, start: int, stop: int) -> _Probe:
        """The entries near the hashes from `start` to `stop`."""
        probed = (self.keys[start:stop, None] ^ self.masks).ravel()
        low = self.starts[probed]
        counts = self.starts[probed + 1] - low
        some = np.flatnonzero(counts)
        rows = (start + some // len(self.masks)).astype(np.int32)
        return _Probe(rows, low[some], counts[some], np.cumsum(counts[some], dtype=np.int64))

    def candidates(self, probe: _Probe) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Indices of the hashes looked up, and of those found for them, a bounded number at a time."""
        begin = 0
        while begin < len(probe.rows):
            done = probe.ends[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(probe.ends, done + _AT_ONCE, side="right")))
            counts = probe.counts[begin:end]
            offsets = probe.low[begin:end] - (probe.ends[begin:end] - counts - done)
            entries = np.arange(probe.ends[end - 1] - done) + np.repeat(offsets, counts)
            yield np.repeat(probe.rows[begin:end], counts), self.order[entries]
            begin = end


def _compared_with_probed(
    hashes: np.ndarray, start: int, stop: int, max_distance: int, tables: list[_Table], probes: list[_Probe]
) -> np.ndarray:
    """Close pairs whose first is between `start` and `stop`, from what the tables hold: int64 [m, 3]."""
    kept, waiting = np.empty(0, dtype=np.int64), []
    for number, (table, probe) in enumerate(zip(tables, probes, strict=True)):
        for first, second in table.candidates(probe):
            distances = np.bitwise_count(hashes[first] ^ hashes[second])
            close = np.flatnonzero((distances <= max_distance) & (second > first))
            first, second, distances = first[close], second[close], distances[close]
            new = np.ones(len(close), dtype=bool)
            for earlier in tables[:number]:  # each pair counts once, where it is found first
                new &= np.bitwise_count(earlier.keys[first] ^ earlier.keys[second]) > earlier.radius
            waiting.append(_packed(first[new] - start, distances[new], second[new]))
            if sum(map(len, waiting)) > _AT_ONCE:
                kept, waiting = _nearest(np.concatenate([kept, *waiting])), []
    return _unpacked(_nearest(np.concatenate([kept, *waiting])), start)


def _compared_with_all(hashes: np.ndarray, start: int, stop: int, max_distance: int) -> np.ndarray:
    """The same, from comparing each with all after it."""
    kept = []
    rows = max(1, _AT_ONCE // len(hashes))
    for begin in range(start, stop, rows):
        end = min(begin + rows, stop)
        distances = np.bitwise_count(hashes[begin:end, None] ^ hashes[None, begin:])
        first, second = np.nonzero(distances <= max_distance)
        later = second > first
        first, second = first[later], second[later]
        kept.append(_nearest(_packed(first + begin - start, distances[first, second], second + begin)))
    return _unpacked(np.concatenate(kept), start)


def _packed(row: np.ndarray, distance: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A number for each pair that sorts by row, then distance, then second index."""
    return (row.astype(np.int64) * 128 + distance) << _INDEX_BITS | second


def _nearest(packed: np.ndarray) -> np.ndarray:
    """Sorted, with the nearest 32 of each row kept."""
    packed = np.sort(packed)
    row = packed >> (_INDEX_BITS + 7)
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    rank = np.arange(len(row)) - np.repeat(starts, np.diff(starts, append=len(row)))
    return packed[rank < _MOST_PARTNERS]


def _unpacked(packed: np.ndarray, start: int) -> np.ndarray:
    row, rest = packed >> (_INDEX_BITS + 7), packed & ((1 << (_INDEX_BITS + 7)) - 1)
    return np.stack([row + start, rest & ((1 << _INDEX_BITS) - 1), rest >> _INDEX_BITS], axis=1)
