from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clip_har.data.augmentation import AugmentationConfig
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.errors import ConfigError, ImageError
from clip_har.hashing import sha256_file
from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor
from clip_har.training.pixels import TrainingPixels, repeated_apart
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


def labelled(manifest: Manifest, labels: str) -> Manifest:
    """The same pictures, by the hashes of their bytes, with labels a letter each."""
    frame = manifest.frame.assign(id=[sha256_file(path) for path in manifest.paths], label=list(labels))
    return Manifest(frame, tuple(sorted(set(labels))), manifest.root)


def test_the_policy_none_is_what_everything_else_sees(manifest: Manifest) -> None:
    plain = views(TrainingPixels(manifest, PREPROCESSING, None, 0), [0, 1, 2])
    none = views(TrainingPixels(manifest, PREPROCESSING, AugmentationConfig(policy="none"), 0), [0, 1, 2])
    for position, view in plain.items():
        np.testing.assert_array_equal(none[position], view)


def test_a_sample_that_comes_twice_in_an_epoch_is_seen_differently(manifest: Manifest) -> None:
    pixels = TrainingPixels(manifest, PREPROCESSING, AugmentationConfig(), 0)
    (_, seen), *_ = pixels.batches(np.array([2, 1, 2, 2]), 0, 4)
    assert len({view.tobytes() for view in seen}) == 4
    np.testing.assert_array_equal(seen[0], views(pixels, [2])[2])


def test_a_part_of_an_order_shows_the_views_of_the_whole(manifest: Manifest) -> None:
    pixels = TrainingPixels(manifest, PREPROCESSING, AugmentationConfig(), 0)
    apart = repeated_apart(np.array([2, 1, 2, 2]), 6)
    assert apart.tolist() == [2, 1, 8, 14]
    whole = [seen for _, batch in pixels.batches(apart, 0, 2) for seen in batch]
    (positions, rest), *_ = pixels.batches(apart[2:], 0, 2)
    assert positions.tolist() == [2, 2]
    np.testing.assert_array_equal(rest, whole[2:])
    assert not np.array_equal(whole[0], whole[2])


def test_forbidden_operations_spare_their_class_alone(manifest: Manifest) -> None:
    data = labelled(manifest, "ababab")
    config = AugmentationConfig(policy="none", flip=1.0, forbidden={"a": ["flip"]})
    plain = views(TrainingPixels(data, PREPROCESSING, None, 0), list(range(6)))
    for position, view in views(TrainingPixels(data, PREPROCESSING, config, 0), list(range(6))).items():
        expected = plain[position] if position % 2 == 0 else plain[position][:, :, ::-1]
        np.testing.assert_array_equal(view, expected)
    with pytest.raises(ConfigError, match="there is no class 'c'"):
        TrainingPixels(data, PREPROCESSING, AugmentationConfig(forbidden={"c": ["flip"]}), 0)


def test_labels_come_with_the_pictures_mixed_or_not(manifest: Manifest) -> None:
    data, order = labelled(manifest, "abcabc"), np.array([4, 0, 3, 1, 2])
    pixels = TrainingPixels(data, PREPROCESSING, AugmentationConfig(), 0)
    for (positions, seen), (targets, same) in zip(
        pixels.batches(order, 1, 3), pixels.labelled_batches(order, 1, 3), strict=True
    ):
        np.testing.assert_array_equal(same, seen)
        np.testing.assert_array_equal(targets, data.label_indices[positions])
        assert targets.dtype == np.int64
    mixing = TrainingPixels(data, PREPROCESSING, AugmentationConfig(mixup=0.5, cutmix=0.5), 0)
    changed = 0
    for (positions, seen), (targets, mixed) in zip(
        mixing.batches(order, 1, 5), mixing.labelled_batches(order, 1, 5), strict=True
    ):
        assert targets.shape == (5, 3)
        assert targets.dtype == mixed.dtype == np.float32
        np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
        for row, position in enumerate(positions):
            if np.array_equal(mixed[row], seen[row]):
                assert targets[row, data.label_indices[position]] == 1
            else:
                changed += 1
    assert changed >= 2


def test_the_limits_are_those_given(manifest: Manifest) -> None:
    pixels = TrainingPixels(manifest, PREPROCESSING, AugmentationConfig(), 0, ImageLimits(max_pixels=100))
    with pytest.raises(ImageError, match="at most 100 are allowed"):
        views(pixels, [0])


@pytest.mark.parametrize("augmentation", [None, AugmentationConfig(policy="none"), AugmentationConfig(policy="strong")])
def test_views_from_the_cache_are_the_same_to_the_last_bit(manifest, tmp_path, augmentation) -> None:
    data, order = labelled(manifest, "ababab"), [5, 0, 3, 1]
    cache = PixelCache(tmp_path / "pixels", PixelCacheConfig(enabled="always"))
    small = PREPROCESSING.model_copy(
        update={"resize_shortest_edge": 80, "crop": (64, 64)}
    )  # pictures small enough to be kept whole
    plain = views(TrainingPixels(data, small, augmentation, 0), order)
    for epoch_of_the_cache in range(2):
        cached = views(TrainingPixels(data, small, augmentation, 0, cache=cache), order)
        for position in order:
            np.testing.assert_array_equal(cached[position], plain[position], f"time {epoch_of_the_cache}")
    for path in cache.folder.glob("*/*.tar"):
        assert path.stat().st_size > 0
    gone = Manifest(data.frame, data.labels, str(tmp_path / "nowhere"))
    for position, view in views(TrainingPixels(gone, small, augmentation, 0, cache=cache), order).items():
        np.testing.assert_array_equal(view, plain[position])


def test_crops_from_the_cache_are_cut_from_reduced_pictures_whether_it_is_filled_or_not(manifest, tmp_path) -> None:
    data, order = labelled(manifest, "ababab"), [0, 1, 2]
    tiny = PREPROCESSING.model_copy(update={"resize_shortest_edge": 20, "crop": (20, 20)})
    first, again = (
        views(TrainingPixels(data, tiny, AugmentationConfig(), 0, cache=cache), order)
        for cache in [PixelCache(tmp_path / "pixels", PixelCacheConfig(enabled="always"))] * 2
    )
    plain = views(TrainingPixels(data, tiny, AugmentationConfig(), 0), order)
    for position in order:
        np.testing.assert_array_equal(first[position], again[position])
        assert 0 < np.abs(first[position] - plain[position]).mean() < 0.2


def test_a_small_set_is_not_kept(manifest, tmp_path) -> None:
    cache = PixelCache(tmp_path / "pixels", PixelCacheConfig(above=100))
    views(TrainingPixels(labelled(manifest, "ababab"), PREPROCESSING, AugmentationConfig(), 0, cache=cache), [0, 1])
    assert not cache.folder.exists()
