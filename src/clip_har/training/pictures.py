"""Pictures decoded once and kept in a file for the length of a run: no step waits for a decoder.

The file is a shard of the pixel cache (`data.pixel_shards`). The cache itself is not used: it keeps pictures from run to
run by the hash of their bytes, and the pictures of image–text pairs are known by their names alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from clip_har.data.image import ImageLimits, decode_image
from clip_har.data.loading import map_ahead
from clip_har.data.pixel_shards import Shard, ShardWriter
from clip_har.errors import ImageError

_FILE = "pictures.tar"
_LONGEST_SHAPE = 2.0  # the longer side is cut to this many times the shorter: more would hardly ever be seen


@dataclass
class StoredPictures:
    """Decoded pictures, reduced to what training needs.

    Attributes:
        kept: positions, among the files given, of those that could be decoded.
        rejected: how many could not, by reason.
        first_problem: what was wrong with the first of them.
    """

    kept: list[int] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    first_problem: str = ""
    _shard: Shard | None = None

    @classmethod
    def decode(
        cls,
        paths: Iterable[Path],
        shorter_side: int,
        folder: Path,
        limits: ImageLimits | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> StoredPictures:
        """Decode files into `folder/pictures.tar`; those that cannot be decoded are left out and counted.

        Args:
            shorter_side: larger pictures are reduced to this, in pixels.
            progress: called with the number of pictures done.
        """
        stored = cls()
        writer = ShardWriter(folder / _FILE)

        def load(path: Path) -> np.ndarray | ImageError:
            try:
                return reduced(decode_image(path, limits, reduce_above=2 * shorter_side).image, shorter_side)
            except ImageError as error:
                return error

        try:
            for number, pixels in enumerate(map_ahead(load, paths)):
                if isinstance(pixels, ImageError):
                    stored.rejected[pixels.reason] += 1
                    stored.first_problem = stored.first_problem or str(pixels)
                else:
                    writer.add(str(number), pixels)
                    stored.kept.append(number)
                if progress:
                    progress(number + 1)
            stored._shard = writer.publish()
        except BaseException:
            writer.discard()
            raise
        return stored

    @classmethod
    def open(cls, folder: Path, kept: list[int]) -> StoredPictures:
        """What `decode` left in a folder, in another process.

        Args:
            kept: as it was there.
        """
        return cls(kept, _shard=Shard.open(folder / _FILE))

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, number: int) -> Image.Image:
        """The picture stored as `number`, RGB."""
        assert self._shard is not None
        return Image.fromarray(self._shard.read(number))


def reduced(image: Image.Image, shorter_side: int) -> np.ndarray:
    """A picture, RGB, as small as training needs it: uint8 [h, w, 3], its ends cut off where it is very long.

    Args:
        shorter_side: larger pictures are reduced to this, in pixels.
    """
    longest = round(_LONGEST_SHAPE * min(image.size))
    if max(image.size) > longest:
        left, top = (max(0, side - longest) // 2 for side in image.size)
        image = image.crop((left, top, left + min(image.width, longest), top + min(image.height, longest)))
    share = shorter_side / min(image.size)
    if share < 1:
        image = image.resize(
            (max(1, round(image.width * share)), max(1, round(image.height * share))), Image.Resampling.BICUBIC
        )
    return np.asarray(image)
