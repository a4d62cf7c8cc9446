"""Answers kept by the pictures' bytes: for callers that send the same picture again and again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Kept = TypeVar("Kept")


class ResponseCache(Generic[Kept]):
    """The answers used last; for one thread, the event loop's.

    Args:
        most: how many are kept; none if 0.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def key(self, image: bytes, *asked: Hashable) -> Hashable | None:
        """What an answer is kept under; None if nothing is kept.

        Args:
            asked: the model and everything of the request that the answer depends on.
        """
        return (hashlib.blake2b(image, digest_size=32).digest(), *asked) if self._most else None

    def get(self, key: Hashable | None) -> Kept | None:
        """The answer under a key, or None."""
        if key is None or key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key]

    def put(self, key: Hashable | None, answer: Kept) -> None:
        """Keep an answer; the one that was not used for longest goes."""
        if key is None:
            return
        self._kept[key] = answer
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
