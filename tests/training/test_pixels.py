from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clip_har.data.augmentation import AugmentationConfig
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor
from clip_har.training.pixels import TrainingPixels
from tests.tiny_models import colour_photos

PREPROCESSING = PreprocessingConfig(
    resize_shortest_edge=36,
    resize_to=None,
    resample=3,
    crop=(32, 28),
    scale=1 / 255,
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.4),
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = colour_photos(tmp_path_factory.mktemp("photos"), ("a",), 6)
    uris = [path.relative_to(folder).as_posix() for path in sorted((folder / "a").iterdir())]
    rows = [(uri, uri, "a", "train", uri, 64, 64, "JPEG", "folder", "") for uri in uris]
    return Manifest(pd.DataFrame(rows, columns=list(COLUMNS)), ("a",), str(folder))


def views(pixels: TrainingPixels, order: list[int], epoch: int = 0, batch_size: int = 2) -> dict[int, np.ndarray]:
    """Each sample's view by its position."""
    found = {}
    for positions, batch in pixels.batches(np.array(order), epoch, batch_size):
        assert batch.dtype == np.float32
        found |= dict(zip(positions.tolist(), batch, strict=True))
    assert list(found) == order
    return found


def test_a_view_depends_on_sample_epoch_and_seed_alone(manifest: Manifest) -> None:
    pixels = TrainingPixels(manifest, PREPROCESSING, AugmentationConfig(), 0)
    first = views(pixels, [0, 1, 2, 3, 4, 5])
    assert first[0].shape == (3, 32, 28)
    again = views(pixels, [5, 3, 1, 4, 0, 2], batch_size=4)
    for position in range(6):
        np.testing.assert_array_equal(again[position], first[position])
    later = views(pixels, [0, 1, 2, 3, 4, 5], epoch=1)
    other = views(TrainingPixels(manifest, PREPROCESSING, AugmentationConfig(), 1), [0, 1, 2, 3, 4, 5])
    for different in (later, other):
        assert not any(np.array_equal(different[position], first[position]) for position in range(6))


def test_copies_of_a_picture_are_seen_differently(manifest: Manifest) -> None:
    copies = manifest.frame.assign(uri=manifest.frame["uri"].iloc[0])
    seen = views(TrainingPixels(replace(manifest, frame=copies), PREPROCESSING, AugmentationConfig(), 0), [0, 1, 2])
    assert not np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[1], seen[2])


def test_without_augmentation_training_sees_what_everything_else_sees(manifest: Manifest) -> None:
    preprocessor = Preprocessor(PREPROCESSING)
    for position, view in views(TrainingPixels(manifest, PREPROCESSING, None, 0), [3, 0, 5]).items():
        np.testing.assert_array_equal(view, preprocessor(preprocessor.decode(manifest.paths[position])))


def test_augmented_views_are_normalised_alike(manifest: Manifest) -> None:
    whole = AugmentationConfig(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0)
    path = Path(manifest.paths[0])
    preprocessor = Preprocessor(PREPROCESSING.model_copy(update={"resize_to": (32, 28), "crop": None}))
    view = views(TrainingPixels(manifest, PREPROCESSING, whole, 0), [0])[0]
    low, high = (preprocessor.normalise(np.full((1, 1, 3), value, np.uint8))[:, 0, 0] for value in (0, 255))
    assert (view >= low[:, None, None] - 1e-6).all()
    assert (view <= high[:, None, None] + 1e-6).all()
    expected = preprocessor(preprocessor.decode(path))
    np.testing.assert_allclose(view.mean(axis=(1, 2)), expected.mean(axis=(1, 2)), atol=0.25)
