"""Figures of pictures: each goes where the picture goes, on drawn and on real photographs."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from clip_har.capture import image_statistics
from clip_har.capture.statistics import STATISTICS
from clip_har.data.image import decode_image


def test_plain_pictures_have_plain_figures():
    found = image_statistics(Image.new("RGB", (300, 200), (255, 0, 0)))
    assert tuple(found) == STATISTICS
    assert found == pytest.approx(
        {
            **{"brightness": 76 / 255, "contrast": 0.0, "sharpness": 0.0, "saturation": 1.0},
            **{"red": 1.0, "green": 0.0, "blue": 0.0, "aspect": 1.5},
        },
        abs=1e-6,
    )
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 255
    found = image_statistics(Image.fromarray(halves))
    assert (found["brightness"], found["contrast"], found["saturation"]) == pytest.approx((0.5, 0.5, 0.0))


@pytest.mark.parametrize("size", [(1, 1), (2, 500), (5000, 3), (1, 4000), (128, 128), (4000, 3000)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_pictures_of_all_sizes_have_figures(size, mode):
    found = image_statistics(Image.new(mode, size, 128 if mode == "L" else (128,) * len(mode)))
    assert found["brightness"] == pytest.approx(128 / 255, abs=0.01)
    assert all(np.isfinite(list(found.values())))


@pytest.fixture(scope="module")
def photographs(har_folder):
    return [decode_image(path).image for path in sorted((har_folder / "train").glob("*.jpg"))[:100]]


def _means(pictures) -> dict[str, float]:
    found = [image_statistics(picture) for picture in pictures]
    return {name: float(np.mean([one[name] for one in found])) for name in STATISTICS}


@pytest.mark.parametrize(
    ("change", "figure", "below"),
    [
        (lambda picture: ImageEnhance.Brightness(picture).enhance(0.6), "brightness", 0.65),
        (lambda picture: ImageEnhance.Contrast(picture).enhance(0.6), "contrast", 0.65),
        (lambda picture: picture.filter(ImageFilter.GaussianBlur(1)), "sharpness", 0.8),
        (lambda picture: picture.filter(ImageFilter.GaussianBlur(2)), "sharpness", 0.5),
        (lambda picture: ImageOps.grayscale(picture).convert("RGB"), "saturation", 0.01),
        (
            lambda picture: Image.merge("RGB", [*picture.split()[:2], picture.split()[2].point(lambda v: v // 2)]),
            "blue",
            0.51,
        ),
        (lambda picture: picture.resize((picture.width // 2, picture.height)), "aspect", 0.51),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_change_of_real_photographs_moves_the_figure_of_its_name(photographs, change, figure, below):
    before, after = _means(photographs), _means([change(picture) for picture in photographs])
    assert after[figure] / before[figure] < below


def test_figures_hardly_depend_on_the_size_of_the_file(photographs):
    """As a decoder that reduces, or a camera that sends larger files, must look the same."""
    before = _means(photographs)
    after = _means(
        [picture.resize((3 * picture.width, 3 * picture.height), Image.Resampling.BICUBIC) for picture in photographs]
    )
    assert all(after[name] == pytest.approx(before[name], rel=0.1) for name in STATISTICS)
