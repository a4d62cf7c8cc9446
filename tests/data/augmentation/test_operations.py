"""Operations: each acts as often and as strongly as its config says, and none disturbs another's draws."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from clip_har.data.augmentation import AugmentationConfig, augment, generator_of
from clip_har.data.augmentation.rand_augment import KINDS, rand_augment

SIZE = (48, 64)
STILL = {"policy": "none"}


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(30, 226, (6, 8, 3), dtype=np.uint8))
    return coarse.resize(SIZE[::-1], Image.Resampling.BICUBIC)


def view(picture: Image.Image, sample: str = "a", epoch: int = 0, **config) -> np.ndarray:
    settings = AugmentationConfig(**(STILL | config))
    return augment(picture, SIZE, 3, settings, generator_of(0, sample, epoch), np.asarray)


def old_view(image: Image.Image, size, resample, scale, ratio, flip, jitter, generator) -> np.ndarray:
    """Crop, flip and jitter as they were drawn before there were policies: pretrained models depend on it."""

    def box():
        low, high = np.log(ratio[0]), np.log(ratio[1])
        for _ in range(10):
            target = image.width * image.height * generator.uniform(*scale)
            shape = np.exp(generator.uniform(low, high))
            across, down = np.sqrt(target * shape), np.sqrt(target / shape)
            if across <= image.width and down <= image.height:
                left, top = generator.uniform(0, image.width - across), generator.uniform(0, image.height - down)
                return left, top, left + across, top + down
        side = min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        return left, top, left + side, top + side

    seen = image.resize(size[::-1], Image.Resampling(resample), box())
    if generator.random() < flip:
        seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if not jitter:
        return np.asarray(seen)
    pixels = np.asarray(seen, dtype=np.float32)
    brightness, contrast, saturation = generator.uniform(1 - jitter, 1 + jitter, 3).astype(np.float32)
    pixels = pixels * brightness
    pixels = pixels.mean() + contrast * (pixels - pixels.mean())
    grey = (pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32))[:, :, None]
    return np.clip(np.rint(grey + saturation * (pixels - grey)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("config", "values"),
    [
        ({}, ((0.6, 1.0), (0.75, 1.3333), 0.5, 0.0)),
        ({"crop_scale": [0.6, 1.0], "jitter": 0.2}, ((0.6, 1.0), (0.75, 1.3333), 0.5, 0.2)),
        ({"crop_scale": (0.9, 1.0), "crop_ratio": (0.5, 0.6), "flip": 0.8}, ((0.9, 1.0), (0.5, 0.6), 0.8, 0.0)),
    ],
)
def test_the_pictures_of_earlier_configs_are_the_same_to_the_last_bit(config, values):
    generator = np.random.default_rng(1)
    for number in range(20):
        height, width = generator.integers(20, 200, 2)
        image = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
        expected = old_view(image, (32, 40), 3, *values, generator_of(5, str(number), number))
        found = augment(image, (32, 40), 3, AugmentationConfig(**config), generator_of(5, str(number), number))
        np.testing.assert_array_equal(found, expected)


ALWAYS = {
    "crop": {"probability": 1, "scale": (0.3, 0.5)},
    "flip": {"probability": 1},
    "jitter": {"probability": 1, "strength": 0.5},
    "rand_augment": {
        "probability": 1,
        "operations": 1,
        "exclude": ["identity", "auto_contrast", "posterize", "solarize"],
    },
    "blur": {"probability": 1, "sigma": (0.02, 0.05)},
    "jpeg": {"probability": 1, "quality": (10, 30)},
    "erasing": {"probability": 1},
}
HUE = {"probability": 1, "strength": 0, "hue": 0.4}


@pytest.mark.parametrize(("name", "config"), [*ALWAYS.items(), ("jitter", HUE)])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_an_operation_acts_as_often_as_its_probability_says(picture, name, config, probability):
    original = np.asarray(picture)
    settings = {name: config | {"probability": probability}}
    changed = [not np.array_equal(view(picture, epoch=epoch, **settings), original) for epoch in range(150)]
    drawn_to_nothing = (
        0.15 if name == "rand_augment" and probability else 0
    )  # an excluded operation leaves all as it is
    if probability in (0.0, 1.0) and not drawn_to_nothing:
        assert np.mean(changed) == probability
    else:
        assert abs(np.mean(changed) - probability * (1 - drawn_to_nothing)) < 0.15


def test_the_policy_none_changes_nothing(picture):
    for epoch in range(10):
        np.testing.assert_array_equal(view(picture, epoch=epoch), np.asarray(picture))


def distance(picture: Image.Image, **config) -> float:
    original = np.asarray(picture).astype(float)
    return float(np.mean([np.abs(view(picture, epoch=epoch, **config) - original).mean() for epoch in range(30)]))


@pytest.mark.parametrize(
    ("name", "weak", "strong"),
    [
        ("crop", {"scale": (0.9, 1.0)}, {"scale": (0.2, 0.3)}),
        ("jitter", {"strength": 0.1}, {"strength": 0.6}),
        ("jitter", {"hue": 0.02}, {"hue": 0.3}),
        ("rand_augment", {"magnitude": 2}, {"magnitude": 25}),
        ("blur", {"sigma": (0.005, 0.01)}, {"sigma": (0.05, 0.08)}),
        ("jpeg", {"quality": (85, 95)}, {"quality": (5, 10)}),
        ("erasing", {"area": (0.02, 0.04)}, {"area": (0.3, 0.4)}),
    ],
)
def test_strength_acts(picture, name, weak, strong):
    excluded = {"exclude": ["auto_contrast", "equalize"]} if name == "rand_augment" else {}
    mild, harsh = (distance(picture, **{name: {"probability": 1, **excluded, **change}}) for change in (weak, strong))
    assert harsh > 1.7 * mild > 0


@pytest.mark.parametrize("name", ["crop", "flip", "rand_augment", "blur", "jpeg", "erasing"])
def test_one_operations_probability_leaves_the_others_draws(picture, name):
    """What is left of a picture when an operation is switched off is what it would be without it, draw by draw."""
    rest = {other: config for other, config in ALWAYS.items() if other != name}
    off = {name: ALWAYS[name] | {"probability": 0.0}}
    rare = {name: ALWAYS[name] | {"probability": 1e-12}}
    for epoch in range(5):
        np.testing.assert_array_equal(
            view(picture, epoch=epoch, **rest, **off), view(picture, epoch=epoch, **rest, **rare)
        )


def test_blur_jpeg_and_hue_are_what_pillow_makes(picture):
    blurred = view(picture, blur={"probability": 1, "sigma": (0.05, 0.05)})
    np.testing.assert_array_equal(blurred, np.asarray(picture.filter(ImageFilter.GaussianBlur(0.05 * 48))))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=20)
    noisy = view(picture, jpeg={"probability": 1, "quality": (20, 20)})
    np.testing.assert_array_equal(noisy, np.asarray(Image.open(buffer)))
    red = Image.new("RGB", SIZE[::-1], (200, 20, 20))
    hues = {tuple(view(red, epoch=epoch, jitter=HUE)[0, 0]) for epoch in range(20)}
    assert len(hues) > 10
    assert all(max(colour) >= 195 and min(colour) <= 25 for colour in hues), "only the hue turns"


@pytest.mark.parametrize(("low", "high"), [(0.05, 0.1), (0.3, 0.5)])
def test_erasing_takes_the_share_of_one_rectangle(low, high):
    flat = Image.new("RGB", SIZE[::-1], (128, 128, 128))
    shares, ratios = [], []
    for epoch in range(60):
        seen = view(flat, epoch=epoch, erasing={"probability": 1, "area": (low, high)})
        changed = (seen != 128).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert changed.sum() > 0.98 * height * width, "one rectangle, full of noise"
        shares.append(height * width / (SIZE[0] * SIZE[1]))
        ratios.append(width / height)
    assert low - 0.02 < min(shares) < max(shares) < high + 0.02
    assert max(shares) - min(shares) > 0.5 * (high - low)
    assert min(ratios) < 0.9 < 1.5 < max(ratios)


@pytest.mark.parametrize("kind", KINDS)
def test_each_of_randaugments_operations(picture, kind):
    others = [other for other in KINDS if other != kind]
    original = np.asarray(picture)

    def drawn(magnitude: float) -> list[np.ndarray]:
        generator = np.random.default_rng(0)
        return [rand_augment(original, 14, magnitude, others, generator) for _ in range(6)]

    changed = [not np.array_equal(seen, original) for seen in drawn(20.0)]
    assert all(seen.shape == original.shape and seen.dtype == np.uint8 for seen in drawn(20.0))
    assert any(changed) == (kind != "identity")
    if kind not in ("auto_contrast", "equalize"):  # which have no strength
        assert all(np.array_equal(seen, original) for seen in drawn(0.0)), "magnitude 0 is no change"


def test_shears_and_shifts_keep_to_their_axis():
    rows = np.repeat(np.arange(40, 200, 4, dtype=np.uint8)[:, None, None], 40, axis=1).repeat(3, axis=2)
    for kind, pixels in (("translate_x", rows), ("shear_x", rows), ("translate_y", rows.swapaxes(0, 1))):
        others = [other for other in KINDS if other != kind]
        seen = rand_augment(pixels, 14, 9.0, others, np.random.default_rng(3))
        inside = (seen != np.array([124, 116, 104])).any(axis=2)
        assert inside.mean() > 0.3
        assert np.abs(seen[inside].astype(int) - pixels[inside]).max() <= 1


def test_a_view_depends_on_sample_and_epoch_alone(picture):
    first = {(sample, epoch): view(picture, sample, epoch, policy="strong") for sample in "abc" for epoch in range(3)}
    for (sample, epoch), seen in reversed(first.items()):
        np.testing.assert_array_equal(view(picture, sample, epoch, policy="strong"), seen)
    assert len({seen.tobytes() for seen in first.values()}) == 9


def test_without_a_crop_the_middle_of_the_views_shape_is_seen():
    ramp = np.zeros((100, 300, 3), dtype=np.uint8)
    ramp[:, :, 0] = np.arange(300) * 255 // 300
    seen = augment(Image.fromarray(ramp), (50, 50), 2, AugmentationConfig(policy="none"), generator_of(0, "a", 0))
    assert seen.shape == (50, 50, 3)
    assert seen[:, 0, 0].max() == pytest.approx(85, abs=3)
    assert seen[:, -1, 0].min() == pytest.approx(170, abs=3)
