"""What a source of pictures with captions is, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.hashing import sha256_file, sha256_json

Progress = Callable[[int, int], None]
"""Called as `progress(done, total)`."""


class PairSourceConfig(ComponentConfig):
    """Base of the sources' configs; `source` names which one it is."""

    source: str = Field(description="Name of the source.")
    held_out: tuple[str, ...] = Field(
        (), description="Labels that the pairs never show nor tell of: zero-shot on them is measured apart."
    )


@dataclass(frozen=True)
class ImageTextPairs:
    """Pictures, each with its captions.

    Attributes:
        uris: n paths relative to `root`, with forward slashes, no two alike.
        captions: one or more captions of each picture.
        root: folder that the uris are relative to.
    """

    uris: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]
    root: Path

    def __len__(self) -> int:
        return len(self.uris)

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [self.root / uri for uri in self.uris]

    def all_captions(self) -> Iterator[str]:
        """Every caption of every picture."""
        for captions in self.captions:
            yield from captions

    def take(self, positions: list[int]) -> ImageTextPairs:
        """The pictures at these positions."""
        return ImageTextPairs(
            tuple(self.uris[position] for position in positions),
            tuple(self.captions[position] for position in positions),
            self.root,
        )

    def content_hash(self, progress: Progress | None = None) -> str:
        """sha256 over captions and the bytes of all files: changes whenever the pairs do."""
        digests = []
        with ThreadPoolExecutor() as pool:
            for number, digest in enumerate(pool.map(_hash_of, self.paths), start=1):
                digests.append(digest)
                if progress:
                    progress(number, len(self))
        return sha256_json(sorted(zip(self.uris, digests, self.captions, strict=True)))


def _hash_of(path: Path) -> str:
    return sha256_file(path) if path.is_file() else ""


class PairSource(ABC):
    """Base of all sources of pairs."""

    Config: ClassVar[type[PairSourceConfig]]

    def __init__(self, config: PairSourceConfig, workspace: str) -> None:
        self.config = config
        self.workspace = Path(workspace)

    @abstractmethod
    def check(self) -> None:
        """Find what can be found wrong in a moment, before anything is started.

        Raises:
            DataError: naming what is wrong, where, and what would be right.
        """

    @abstractmethod
    def read(self, progress: Progress | None = None) -> ImageTextPairs:
        """All pairs, made first if they are not there.

        Raises:
            DataError: if they cannot be used as a whole.
        """
