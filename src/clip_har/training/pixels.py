"""Training pictures: augmented, preprocessed, decoded ahead of the step that needs them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache as cached
from pathlib import Path

import numpy as np
from PIL import Image

import clip_har.training.pictures
from clip_har.data.augmentation import AugmentationConfig, augment, draw_mixture, generator_of
from clip_har.data.image import ImageLimits, decode_image
from clip_har.data.loading import batched, map_ahead
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCache
from clip_har.models.input_pixels import input_pixels
from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor
from clip_har.training.pictures import reduced

_MARGIN = 1.5  # pictures are kept this much larger than the encoder sees them, so that crops keep their sharpness

View = Callable[[int, str, int], np.ndarray]


def repeated_apart(order: np.ndarray, samples: int) -> np.ndarray:
    """An epoch's order in which a position comes several times, told apart: the k-th time as position + k · samples.

    So that a part of the order (after a checkpoint, in one of several processes) shows the same views as the whole.
    """
    turns: Counter[int] = Counter()
    apart = order.copy()
    for place, position in enumerate(order.tolist()):
        apart[place] += turns[position] * samples
        turns[position] += 1
    return apart


class TrainingPixels:
    """Random views of a split's pictures, the same for a sample and an epoch whatever the order.

    Args:
        manifest: the split.
        preprocessing: of the encoder.
        augmentation: what makes the views; None for pictures as everything else sees them.
        seed: of the views.
        limits: what is accepted as an image.
        cache: where decoded pictures are kept, if it serves a split of this size. Crops are then cut from pictures
            reduced to one and a half times the encoder's size, where they are larger than that.

    Raises:
        ConfigError: if the augmentation forbids something for a class that there is not.
    """

    def __init__(
        self,
        manifest: Manifest,
        preprocessing: PreprocessingConfig,
        augmentation: AugmentationConfig | None,
        seed: int,
        limits: ImageLimits | None = None,
        cache: PixelCache | None = None,
    ) -> None:
        self._paths: list[Path] = manifest.paths
        self._ids = manifest.ids
        self._labels = manifest.frame["label"].tolist()
        self._label_indices = manifest.label_indices
        self._classes = len(manifest.labels)
        self._preprocessor = Preprocessor(preprocessing)
        self._augmentation = augmentation
        self._seed = seed
        self._limits = limits
        self._cache = cache if cache is not None and cache.serves(len(manifest)) else None
        if augmentation is not None:
            augmentation.check_labels(manifest.labels)
            self._of_label = cached(augmentation.of_label)

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(positions int [n], pixel_values float32 [n, 3, h, w]) in the given order; pictures are not mixed.

        A position that comes several times in an order is seen differently each time. The k-th time can also be asked for
        by itself, as position + k · (pictures of the split): see `repeated_apart`.
        """
        turns: Counter[int] = Counter()
        samples = []
        for number in order.tolist():
            turn, position = divmod(number, len(self._ids))
            turn += turns[number]
            turns[number] += 1
            samples.append((position, f"{self._ids[position]}#{turn}" if turn else self._ids[position]))
        with self._views() as view:
            loaded = map_ahead(lambda sample: view(*sample, epoch), samples, ahead=3 * batch_size)
            chosen = (order % len(self._ids)).tolist()
            for positions, pixels in zip(batched(chosen, batch_size), batched(loaded, batch_size), strict=True):
                yield np.asarray(positions), np.stack(pixels)

    def labelled_batches(
        self, order: np.ndarray, epoch: int, batch_size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(targets, pixel_values float32 [n, 3, h, w]) in the given order, mixed where the augmentation asks for it.

        Targets are int64 [n], indices of the labels, or, where pictures are mixed, float32 [n, c], shares of the labels;
        torch's `cross_entropy` takes both.
        """
        for positions, pixels in self.batches(order, epoch, batch_size):
            labels = self._label_indices[positions]
            if self._augmentation is None or not self._augmentation.mixes:
                yield labels, pixels
                continue
            mixture = draw_mixture(
                self._augmentation,
                [self._ids[position] for position in positions],
                pixels.shape[2:],
                self._seed,
                epoch,
                [self._labels[position] for position in positions],
            )
            yield mixture.targets(labels, self._classes), mixture.pixels(pixels)

    @contextmanager
    def _views(self) -> Iterator[View]:
        """A function (position, name of the draw, epoch) → float32 [3, h, w], for the block."""
        config, preprocessor = self._preprocessor.config, self._preprocessor
        augmentation = self._augmentation
        if augmentation is None or not augmentation.crop.acts:
            with input_pixels(config, len(self._ids), self._cache, self._limits) as pixels_of:

                def uncropped(position: int, name: str, epoch: int) -> np.ndarray:
                    pixels = pixels_of(self._ids[position], self._paths[position])
                    if augmentation is not None:
                        pixels = self._view(Image.fromarray(pixels), position, name, epoch, np.asarray)
                    return preprocessor.normalise(pixels)

                yield uncropped
            return
        with self._pictures() as picture_of:
            yield lambda position, name, epoch: preprocessor.normalise(
                self._view(picture_of(position), position, name, epoch, preprocessor.resize_and_crop)
            )

    @contextmanager
    def _pictures(self) -> Iterator[Callable[[int], Image.Image]]:
        """A function position → picture to cut a crop from, for the block."""
        if self._cache is None:
            yield lambda position: self._preprocessor.decode(self._paths[position], self._limits)
            return
        config = self._preprocessor.config
        side = math.ceil(_MARGIN * (config.resize_shortest_edge or max(config.output_size)))

        def make(data: bytes) -> np.ndarray:
            return reduced(decode_image(data, self._limits, reduce_above=2 * side).image, side)

        with self._cache.open({"pixels": "reduced", "shortest_edge": side}, [clip_har.training.pictures]) as pictures:
            yield lambda position: Image.fromarray(
                pictures.get(self._ids[position], self._paths[position], make, self._limits)
            )

    def _view(
        self,
        image: Image.Image,
        position: int,
        name: str,
        epoch: int,
        uncropped: Callable[[Image.Image], np.ndarray],
    ) -> np.ndarray:
        config = self._preprocessor.config
        augmentation = self._of_label(self._labels[position])
        generator = generator_of(self._seed, name, epoch)
        return augment(image, config.output_size, config.resample, augmentation, generator, uncropped)
