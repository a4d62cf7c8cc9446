"""Training pictures: augmented, preprocessed, decoded ahead of the step that needs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clip_har.data.augmentation import AugmentationConfig, augment, generator_of
from clip_har.data.image import ImageLimits
from clip_har.data.loading import batched, map_ahead
from clip_har.data.manifest import Manifest
from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor


class TrainingPixels:
    """Random views of a split's pictures, the same for a sample and an epoch whatever the order."""

    def __init__(
        self,
        manifest: Manifest,
        preprocessing: PreprocessingConfig,
        augmentation: AugmentationConfig | None,
        seed: int,
        limits: ImageLimits | None = None,
    ) -> None:
        self._paths: list[Path] = manifest.paths
        self._ids = manifest.ids
        self._preprocessor = Preprocessor(preprocessing)
        self._augmentation = augmentation
        self._seed = seed
        self._limits = limits

    def _load(self, position: int, epoch: int) -> np.ndarray:
        image = self._preprocessor.decode(self._paths[position], self._limits)
        if self._augmentation is None:
            return self._preprocessor(image)
        config = self._preprocessor.config
        generator = generator_of(self._seed, self._ids[position], epoch)
        return self._preprocessor.normalise(
            augment(image, config.output_size, config.resample, self._augmentation, generator)
        )

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(positions int [n], pixel_values float32 [n, 3, h, w]) in the given order."""
        loaded = map_ahead(lambda position: self._load(position, epoch), order.tolist(), ahead=3 * batch_size)
        for positions, pixels in zip(batched(order.tolist(), batch_size), batched(loaded, batch_size), strict=True):
            yield np.asarray(positions), np.stack(pixels)
