"""Pictures decoded once and kept as bytes in a file that is mapped into memory: no step waits for a decoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from clip_har.data.image import ImageLimits, decode_image
from clip_har.data.loading import map_ahead
from clip_har.errors import ImageError

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
    _shapes: list[tuple[int, int, int]] = field(default_factory=list)
    _offsets: list[int] = field(default_factory=list)
    _bytes: np.ndarray | None = None

    @classmethod
    def decode(
        cls,
        paths: Iterable[Path],
        shorter_side: int,
        folder: Path,
        limits: ImageLimits | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> StoredPictures:
        """Decode files into `folder/pictures.bin`; those that cannot be decoded are left out and counted.

        Args:
            shorter_side: larger pictures are reduced to this, in pixels.
            progress: called with the number of pictures done.
        """
        stored = cls()
        file = folder / "pictures.bin"
        offset = 0

        def load(path: Path) -> np.ndarray | ImageError:
            try:
                return _reduced(decode_image(path, limits, reduce_above=2 * shorter_side).image, shorter_side)
            except ImageError as error:
                return error

        with open(file, "wb") as target:
            for number, pixels in enumerate(map_ahead(load, paths)):
                if isinstance(pixels, ImageError):
                    stored.rejected[pixels.reason] += 1
                    stored.first_problem = stored.first_problem or str(pixels)
                else:
                    target.write(pixels.tobytes())
                    stored.kept.append(number)
                    stored._shapes.append(pixels.shape)
                    stored._offsets.append(offset)
                    offset += pixels.nbytes
                if progress:
                    progress(number + 1)
        stored._bytes = np.memmap(file, dtype=np.uint8, mode="r") if offset else np.empty(0, dtype=np.uint8)
        return stored

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, number: int) -> Image.Image:
        """The picture stored as `number`, RGB."""
        assert self._bytes is not None
        shape, offset = self._shapes[number], self._offsets[number]
        return Image.fromarray(np.asarray(self._bytes[offset : offset + int(np.prod(shape))]).reshape(shape))


def _reduced(image: Image.Image, shorter_side: int) -> np.ndarray:
    """uint8 [h, w, 3] of the picture, its ends cut off where it is very long."""
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
