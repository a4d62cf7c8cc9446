"""Pictures in any form → what is sent."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clip_har.client.pictures import as_list, content
from clip_har.client.settings import ClientSettings
from clip_har.data.image import decode_image
from clip_har.errors import ConfigError, ImageError

PLAIN = ClientSettings()
SMALL = ClientSettings(shorter_edge=224)


def photo(width: int = 900, height: int = 600, kind: str = "JPEG", orientation: int = 1, mode: str = "RGB") -> bytes:
    """A smooth picture with a bright left edge, of some hundred thousand bytes."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 90, (height, width, 3)) + np.linspace(160, 0, width)[None, :, None]
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(buffer, kind, exif=exif, quality=95)
    return buffer.getvalue()


def test_files_are_sent_as_they_are(tmp_path: Path):
    data = photo()
    (tmp_path / "a.jpg").write_bytes(data)
    with open(tmp_path / "a.jpg", "rb") as file:
        forms = [tmp_path / "a.jpg", str(tmp_path / "a.jpg"), data, bytearray(data), memoryview(data), file]
        assert all(content(form, PLAIN) == data for form in forms)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "1", "LA", "I;16"])
def test_decoded_pictures_lose_nothing(mode: str):
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)
    from clip_har.data.image import upright_rgb

    wanted = np.asarray(upright_rgb(picture))
    assert np.array_equal(np.asarray(decode_image(content(picture, PLAIN)).image), wanted)
    assert np.array_equal(np.asarray(decode_image(content(pixels, PLAIN)).image), pixels)


def test_a_decoded_picture_is_upright():
    picture = Image.open(io.BytesIO(photo(60, 40, orientation=6)))
    assert decode_image(content(picture, PLAIN)).image.size == (40, 60)


@pytest.mark.parametrize(
    "form",
    [3, None, {"a": 1}, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), Image.new("F", (2, 2))],
    ids=["number", "None", "dict", "grey array", "float array", "float picture"],
)
def test_what_is_no_picture(form):
    with pytest.raises(ImageError) as caught:
        content(form, PLAIN)
    assert caught.value.reason == "not_an_image"


def test_files_that_cannot_be_read(tmp_path: Path):
    for path in (tmp_path / "gone.jpg", tmp_path, "a\0b.jpg", tmp_path / ("x" * 300)):
        with pytest.raises(ImageError) as caught:
            content(path, PLAIN)
        assert caught.value.reason == "missing_file"
    with pytest.raises(ImageError, match="binary"):
        content(io.StringIO("text"), PLAIN)


def test_one_or_several():
    assert as_list("a.jpg") == ["a.jpg"]
    assert as_list(Path("a.jpg")) == [Path("a.jpg")]
    assert as_list(b"data") == [b"data"]
    assert len(as_list(np.zeros((2, 2, 3), np.uint8))) == 1
    assert len(as_list(Image.new("RGB", (2, 2)))) == 1
    assert as_list(name for name in "ab") == ["a", "b"]
    with pytest.raises(ConfigError):
        as_list([])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_picture_is_the_same_picture(orientation: int):
    data = photo(1200, 800, orientation=orientation)
    sent = content(data, SMALL)
    assert len(sent) < len(data) / 4
    small, large = decode_image(sent), decode_image(data)
    assert min(small.image.size) == 224
    assert small.image.width * large.height == pytest.approx(small.image.height * large.width, rel=0.01)
    exact = np.asarray(large.image.resize(small.image.size, Image.Resampling.LANCZOS), dtype=float)
    assert np.abs(exact - np.asarray(small.image, dtype=float)).mean() < 6  # JPEG halves the colours of noise


@pytest.mark.parametrize(
    "data",
    [
        photo(300, 200),  # small already
        photo(900, 600)[:60_000],  # half of one
        b"no picture" * 10_000,
        photo(900, 600, "PNG", mode="RGBA"),
        photo(900, 600, mode="CMYK"),
    ],
    ids=["small", "half", "none", "transparent", "cmyk"],
)
def test_what_is_better_sent_as_it_is(data: bytes):
    assert content(data, SMALL) == data


def test_nothing_is_reduced_unless_it_is_asked_for():
    data = photo(1200, 800)
    assert content(data, PLAIN) == data
