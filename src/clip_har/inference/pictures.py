"""Pictures in any form → embeddings, a stream at a time: decoding overlaps with encoding, errors are a picture's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_har.data.image import REDUCED_FROM, ImageLimits, PixelBudget
from clip_har.data.loading import batched, map_ahead
from clip_har.errors import ClipHarError, ImageError
from clip_har.inference.machine import available_cores
from clip_har.inference.runtimes import EncoderRuntime
from clip_har.memory import keep_freed_memory
from clip_har.models.preprocessing import Preprocessor

if TYPE_CHECKING:
    from PIL import Image

ImageSource = Any
"""A path, a file's bytes, a PIL image, an array uint8 [h, w, 3], or a `PendingPicture`."""

_MOST_DECODERS = 8


class PendingPicture(ABC):
    """A picture that is fetched only by the thread that decodes it, and is told its size."""

    @abstractmethod
    def read(self) -> ImageSource:
        """The picture in another form.

        Raises:
            ImageError: if it cannot be had.
        """

    @abstractmethod
    def decoded(self, width: int, height: int) -> None:
        """It could be decoded; its upright size in pixels, before any reduction by the decoder."""

    def seen(self, picture: Image.Image) -> None:
        """It could be decoded; the picture itself, upright and in RGB, for whoever measures more of it."""
        return


class PictureEncoder:
    """A runtime with what goes before it. Safe to call from several threads.

    A single picture is decoded and encoded where it is asked for. Of several, those for a runtime that takes batches are
    decoded by a few threads ahead of it; for a runtime with lanes each thread takes a picture the whole way, since a
    core's work is done soonest by one that waits for nobody.

    Args:
        dimensions: d of the embeddings.
        batch_size: pictures to an answer of `stream`, and to a batch of a runtime that takes batches.
    """

    def __init__(
        self,
        runtime: EncoderRuntime,
        preprocessor: Preprocessor,
        dimensions: int,
        batch_size: int = 32,
        limits: ImageLimits | None = None,
    ) -> None:
        keep_freed_memory()  # a picture's arrays are of a size that glibc would map and unmap each time
        self._runtime = runtime
        self._preprocessor = preprocessor
        self._none = np.empty((0, dimensions), dtype=np.float32)
        self._batch_size = batch_size
        self._limits = limits or ImageLimits()
        self._budget = PixelBudget(self._limits.max_pixels_in_flight)

    def stream(self, images: Iterable[ImageSource]) -> Iterator[tuple[np.ndarray, list[ImageError | None]]]:
        """For each micro-batch, in order: embeddings float32 [good, d], and an error or None for each picture."""
        images = iter(images)
        first = list(islice(images, 2))
        if len(first) < 2:
            for image in first:
                loaded = self.load(image)
                if isinstance(loaded, ImageError):
                    yield self._none, [loaded]
                else:
                    yield self._runtime.encode(loaded[None]), [None]
            return
        images = chain(first, images)
        yield from self._in_lanes(images) if self._runtime.lanes > 1 else self._in_batches(images)

    def load(self, source: ImageSource) -> np.ndarray | ImageError:
        """A picture → float32 [3, h, w], or why it cannot be had."""
        try:
            return self.open(source)[1]
        except ImageError as error:
            return error

    def open(self, source: ImageSource) -> tuple[Image.Image, np.ndarray]:
        """A picture in RGB, and float32 [3, h, w] of it.

        Raises:
            ImageError: if it cannot be had.
        """
        if isinstance(source, PendingPicture):
            picture, pixels = self.open(source.read())
            source.decoded(*picture.info.get(REDUCED_FROM, picture.size)[:2])
            source.seen(picture)
            return picture, pixels
        if isinstance(source, str) and "\0" in source:
            raise ImageError("missing_file", f"There is no file {source!r}.")
        if isinstance(source, bytearray | memoryview):
            source = bytes(source)
        try:
            picture = self._preprocessor.decode(source, self._limits, self._budget)
            return picture, self._preprocessor(picture)
        except ImageError:
            raise
        except ClipHarError as error:
            raise ImageError("not_an_image", str(error)) from error
        except TypeError as error:
            if isinstance(source, bytes | str | Path | np.ndarray) or hasattr(source, "getexif"):
                raise
            wanted = "a path, a file's bytes, a PIL image, or an array uint8 [h, w, 3]"
            raise ImageError("not_an_image", f"A {type(source).__name__} is no picture; wanted: {wanted}.") from error

    def _in_lanes(self, images: Iterable[ImageSource]) -> Iterator[tuple[np.ndarray, list[ImageError | None]]]:
        encode = self._runtime.encode_in_lane

        def work(image: ImageSource) -> np.ndarray | ImageError:
            loaded = self.load(image)
            return loaded if isinstance(loaded, ImageError) else encode(loaded[None])[0]

        # One thread more than lanes: it reads and decodes while the others encode.
        threads = self._runtime.lanes + 1
        for done in batched(map_ahead(work, images, ahead=8 * threads, threads=threads), self._batch_size):
            good = [item for item in done if not isinstance(item, ImageError)]
            yield np.stack(good) if good else self._none, _errors(done)

    def _in_batches(self, images: Iterable[ImageSource]) -> Iterator[tuple[np.ndarray, list[ImageError | None]]]:
        threads = min(_MOST_DECODERS, available_cores())
        ahead = map_ahead(self.load, images, ahead=2 * self._batch_size, threads=threads)
        for loaded in batched(ahead, self._batch_size):
            good = [item for item in loaded if not isinstance(item, ImageError)]
            yield self._runtime.encode(np.stack(good)) if good else self._none, _errors(loaded)


def _errors(items: list[np.ndarray | ImageError]) -> list[ImageError | None]:
    return [item if isinstance(item, ImageError) else None for item in items]
