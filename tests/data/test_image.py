"""Safe decoding: every kind of picture gives upright RGB; everything else one typed error, before it costs anything."""

from __future__ import annotations

import io
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from clip_har.data import image as module
from clip_har.data.image import REASONS, ImageLimits, PixelBudget, decode_image
from clip_har.errors import ImageError

GENERATOR = np.random.default_rng(0)
# Large areas of one colour, so that JPEG and palettes stay near: red, green, blue and white quarters of 40 × 24.
QUARTERS = np.zeros((24, 40, 3), dtype=np.uint8)
QUARTERS[:12, :20], QUARTERS[:12, 20:], QUARTERS[12:, :20], QUARTERS[12:, 20:] = (
    (220, 30, 30),
    (30, 200, 40),
    (30, 40, 210),
    (245, 245, 245),
)
PHOTO = Image.fromarray(QUARTERS)
GREY = PHOTO.convert("L")
ALPHA = Image.new("L", PHOTO.size, 255)
ALPHA.paste(0, (0, 0, 20, 12))  # the red quarter is transparent
OVER_WHITE = QUARTERS.copy()
OVER_WHITE[:12, :20] = 255


def saved(image: Image.Image, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.copy().save(buffer, file_format, **options)  # Pillow leaves settings of one format in the image
    return buffer.getvalue()


def with_alpha(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(ALPHA)
    return image


def grey(array: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(array, dtype=np.uint8)[:, :, None], 3, axis=2)


def palette_with_transparency() -> bytes:
    image = PHOTO.quantize(8)
    return saved(image, "PNG", transparency=image.getpixel((0, 0)))


def deep_grey() -> np.ndarray:
    return np.asarray(GREY, dtype=np.uint16) * 257


FRAMES = [PHOTO, Image.new("RGB", PHOTO.size, "black"), Image.new("RGB", PHOTO.size, "yellow")]
GREY_OVER_WHITE = np.where(np.asarray(ALPHA) > 0, np.asarray(GREY), 255)

PICTURES = {
    "JPEG": (saved(PHOTO, "JPEG", quality=95, subsampling=0), QUARTERS, 1),
    "JPEG, progressive": (saved(PHOTO, "JPEG", quality=95, subsampling=0, progressive=True), QUARTERS, 1),
    "JPEG, grey": (saved(GREY, "JPEG", quality=95), grey(GREY), 1),
    "JPEG, CMYK": (saved(PHOTO.convert("CMYK"), "JPEG", quality=95, subsampling=0), QUARTERS, 1),
    "MPO, a JPEG with a second picture": (
        saved(PHOTO, "MPO", save_all=True, append_images=[PHOTO.copy()], quality=95),
        QUARTERS,
        2,
    ),
    "PNG": (saved(PHOTO, "PNG"), QUARTERS, 1),
    "PNG, 1": (saved(GREY.convert("1"), "PNG"), grey(GREY.convert("1").convert("L")), 1),
    "PNG, L": (saved(GREY, "PNG"), grey(GREY), 1),
    "PNG, LA": (saved(with_alpha(GREY), "PNG"), grey(GREY_OVER_WHITE), 1),
    "PNG, P": (saved(PHOTO.quantize(8), "PNG"), QUARTERS, 1),
    "PNG, P with transparency": (palette_with_transparency(), OVER_WHITE, 1),
    "PNG, RGB with transparency": (saved(PHOTO, "PNG", transparency=(220, 30, 30)), OVER_WHITE, 1),
    "PNG, RGBA": (saved(with_alpha(PHOTO), "PNG"), OVER_WHITE, 1),
    "PNG, I;16": (saved(Image.fromarray(deep_grey()), "PNG"), grey(GREY), 1),
    "TIFF, I;16": (saved(Image.fromarray(deep_grey()), "TIFF"), grey(GREY), 1),
    "TIFF, I;16B": (saved(Image.fromarray(deep_grey().astype(">u2")), "TIFF"), grey(GREY), 1),
    "TIFF, I": (saved(Image.fromarray(deep_grey().astype(np.int32)), "TIFF"), grey(GREY), 1),
    "TIFF, F to 1": (saved(Image.fromarray(np.asarray(GREY, np.float32) / 255), "TIFF"), grey(GREY), 1),
    "TIFF, F to 255": (saved(Image.fromarray(np.asarray(GREY, np.float32)), "TIFF"), grey(GREY), 1),
    "TIFF, CMYK": (saved(PHOTO.convert("CMYK"), "TIFF"), QUARTERS, 1),
    "TIFF, LAB": (saved(PHOTO, "TIFF"), QUARTERS, 1),
    "TIFF, three pages": (saved(PHOTO, "TIFF", save_all=True, append_images=FRAMES[1:]), QUARTERS, 3),
    "GIF": (saved(PHOTO.quantize(8), "GIF"), QUARTERS, 1),
    "GIF, animated": (saved(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), QUARTERS, 3),
    "WebP, lossless": (saved(PHOTO, "WEBP", lossless=True), QUARTERS, 1),
    "WebP, lossless, RGBA": (saved(with_alpha(PHOTO), "WEBP", lossless=True), OVER_WHITE, 1),
    "WebP, animated": (saved(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:], lossless=True), QUARTERS, 3),
    "BMP": (saved(PHOTO, "BMP"), QUARTERS, 1),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_every_kind_gives_rgb(kind):
    data, expected, frames = PICTURES[kind]
    decoded = decode_image(data)
    assert decoded.image.mode == "RGB"
    assert (decoded.width, decoded.height, decoded.frames) == (40, 24, frames)
    assert decoded.format == kind.partition(",")[0].upper()
    inside = np.ones((24, 40), dtype=bool)  # the borders between the quarters are JPEG's to blur
    inside[8:16] = inside[:, 16:24] = False
    tolerance = {"JPEG": 6, "GIF": 6, "MPO": 12}.get(decoded.format, 0)  # MPO: with halved colour
    difference = np.abs(np.asarray(decoded.image, dtype=int) - expected)[inside]
    assert difference.max() <= tolerance


def test_partly_transparent_pixels_are_mixed_with_white():
    half = PHOTO.copy()
    half.putalpha(128)
    pixel = decode_image(saved(half, "PNG")).image.getpixel((2, 2))
    assert pixel == pytest.approx((237, 142, 142), abs=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[np.nan, 0, 0.25, 1]], dtype=np.float32), [0, 0, 64, 255]),
        (np.array([[np.inf, 300, -np.inf, 128]], dtype=np.float32), [255, 255, 0, 128]),
        (np.array([[-5, 0, 255, 128]], dtype=np.int32), [0, 0, 255, 128]),
        (np.array([[-5, 0, 65535, 70000]], dtype=np.int32), [0, 0, 255, 255]),
    ],
)
def test_strange_numbers_stay_in_range(values, expected):
    decoded = decode_image(saved(Image.fromarray(values), "TIFF"))
    assert np.asarray(decoded.image)[0].tolist() == [[value] * 3 for value in expected]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, file_format):
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # the camera's turn, which the viewer undoes
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = PHOTO.transpose(turned[orientation]) if orientation in turned else PHOTO
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if file_format == "WEBP" else {"quality": 95} if file_format == "JPEG" else {}
    decoded = decode_image(saved(stored, file_format, exif=exif, **options))
    assert decoded.image.size == (decoded.width, decoded.height) == (40, 24)
    for x, y in ((4, 4), (36, 4), (4, 20), (36, 20)):
        assert decoded.image.getpixel((x, y)) == pytest.approx(PHOTO.getpixel((x, y)), abs=6)


def test_an_icc_profile_does_not_disturb():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    decoded = decode_image(saved(PHOTO, "PNG", icc_profile=profile))
    assert np.array_equal(np.asarray(decoded.image), QUARTERS)
    damaged = decode_image(saved(PHOTO, "PNG", icc_profile=b"not a profile"))
    assert np.array_equal(np.asarray(damaged.image), QUARTERS)


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, "path", "text"])
def test_bytes_and_paths_are_the_same(tmp_path, form):
    data = saved(PHOTO, "PNG")
    path = tmp_path / "bild ü.png"
    path.write_bytes(data)
    source = {"path": path, "text": str(path)}.get(form) or form(data)
    assert np.array_equal(np.asarray(decode_image(source).image), QUARTERS)


# What is refused


def png_header(width: int, height: int) -> bytes:
    """A PNG of these dimensions whose pixels are missing: a hundred bytes that promise anything."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def gif_header(width: int, height: int) -> bytes:
    data = saved(PHOTO, "GIF")
    return data[:6] + struct.pack("<HH", width, height) + data[10:]


NOISE = Image.fromarray(GENERATOR.integers(0, 256, (64, 64, 3), dtype=np.uint8))
DAMAGED = {
    "empty": (b"", "empty_file"),
    "text": (b"this is no picture", "not_an_image"),
    "HTML": (b"<html><img src='a.jpg'></html>" * 10, "not_an_image"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "not_an_image"),
    "zeros": (bytes(1000), "not_an_image"),
    "a format that is not allowed": (saved(NOISE, "ICO"), "not_an_image"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image"),
    "JPEG, first bytes only": (saved(NOISE, "JPEG")[:4], "not_an_image"),
    "JPEG, half": (saved(NOISE, "JPEG")[:1500], "truncated"),
    "JPEG, without its end": (saved(NOISE, "JPEG")[:-200], "truncated"),
    "PNG, half": (saved(NOISE, "PNG")[:5000], "truncated"),
    "PNG, a wrong checksum": (saved(NOISE, "PNG")[:100] + b"\x55" + saved(NOISE, "PNG")[101:], "truncated"),
    "WebP, half": (saved(NOISE, "WEBP")[:800], "truncated"),
    "GIF, half": (saved(NOISE, "GIF")[:2000], "truncated"),
    "BMP, half": (saved(NOISE, "BMP")[:5000], "truncated"),
    "TIFF, half": (saved(NOISE, "TIFF")[:5000], "truncated"),
    "PNG bomb": (png_header(30_000, 30_000), "too_many_pixels"),
    "PNG bomb beyond Pillow's own limit": (png_header(200_000, 200_000), "too_many_pixels"),
    "PNG without pixels": (png_header(0, 10), "not_an_image"),
    "GIF bomb": (gif_header(60_000, 60_000), "too_many_pixels"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_no_whole_picture_is_refused(kind, tmp_path):
    data, reason = DAMAGED[kind]
    path = tmp_path / "picture.img"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(ImageError) as refused:
            decode_image(source)
        assert refused.value.reason == reason
        assert reason in REASONS
    assert str(path) in str(refused.value)


def test_a_bomb_is_refused_before_its_pixels_are_touched(monkeypatch):
    def touched(*_, **__):
        raise AssertionError("pixels were touched")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", touched)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", touched)
    for side, message in (
        (8_000, "8000 × 8000 = 64,000,000 pixels; at most 50,000,000"),
        (30_000, "50,000,000 that are"),
    ):
        with pytest.raises(ImageError, match=message) as refused:
            decode_image(png_header(side, side))
        assert refused.value.reason == "too_many_pixels"
    with pytest.raises(ImageError, match="pixels were touched"):  # so the trap itself works
        decode_image(png_header(30, 30))


@pytest.mark.parametrize("name", ["missing.jpg", "folder", "file.txt/deeper.jpg", "x" * 300])
def test_a_path_without_a_file_is_refused(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").write_text("text")
    with pytest.raises(ImageError) as refused:
        decode_image(tmp_path / name)
    assert refused.value.reason == "missing_file"
    assert name in str(refused.value)


def test_limits_hold_at_their_edge(tmp_path):
    data = saved(PHOTO, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    just = ImageLimits(max_bytes=len(data), max_pixels=40 * 24)
    assert decode_image(data, just).width == decode_image(path, just).width == 40
    for source in (data, path):
        with pytest.raises(ImageError, match=f"at most {len(data) - 1:,}") as refused:
            decode_image(source, ImageLimits(max_bytes=len(data) - 1))
        assert refused.value.reason == "too_many_bytes"
    with pytest.raises(ImageError) as refused:
        decode_image(data, ImageLimits(max_pixels=40 * 24 - 1))
    assert refused.value.reason == "too_many_pixels"
    with pytest.raises(ImageError, match="JPEG, GIF") as refused:
        decode_image(data, ImageLimits(formats=("JPEG", "GIF")))
    assert refused.value.reason == "not_an_image"


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "large.jpg"
    path.write_bytes(bytes(2000))

    def read(*_):
        raise AssertionError("the file was read")

    monkeypatch.setattr(module.Path, "read_bytes", read)
    with pytest.raises(ImageError, match="2,000 bytes; at most 1,000"):
        decode_image(path, ImageLimits(max_bytes=1000))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")
@pytest.mark.parametrize("cut", range(0, 600, 7))
def test_no_damage_escapes_as_another_error(cut):
    """Cut and spoilt files give a picture or an `ImageError`, never what Pillow's plugins raise."""
    generator = np.random.default_rng(cut)
    for file_format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        data = bytearray(saved(NOISE.resize((16, 16)), file_format))
        spoilt = data[: max(1, len(data) - cut)]
        for place in generator.integers(0, len(spoilt), 4):
            spoilt[place] = generator.integers(0, 256)
        try:
            outcome = decode_image(bytes(spoilt)).image.mode
        except ImageError as error:
            outcome = error.reason
        assert outcome == "RGB" or outcome in REASONS


# Reduction by the decoder, and the budget


@pytest.mark.parametrize(
    ("size", "reduce_above", "reduced"),
    [
        ((1600, 1200), 300, (400, 300)),
        ((1600, 1200), 301, (800, 600)),
        ((1600, 1200), 600, (800, 600)),
        ((1600, 1200), 601, (1600, 1200)),
        ((1600, 1200), None, (1600, 1200)),
        ((1203, 1601), 300, (301, 401)),
        ((4000, 800), 100, (500, 100)),
    ],
)
def test_a_large_jpeg_is_reduced_by_its_decoder(size, reduce_above, reduced):
    decoded = decode_image(saved(PHOTO.resize(size), "JPEG"), reduce_above=reduce_above)
    assert decoded.image.size == reduced
    assert (decoded.width, decoded.height) == size
    assert min(decoded.image.size) >= (reduce_above or 0)


def test_a_reduced_jpeg_is_upright_and_other_formats_are_not_reduced():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = PHOTO.resize((1600, 1200)).transpose(Image.Transpose.ROTATE_90)
    decoded = decode_image(saved(stored, "JPEG", exif=exif), reduce_above=300)
    assert (decoded.width, decoded.height, decoded.image.size) == (1600, 1200, (400, 300))
    assert decoded.image.getpixel((20, 20)) == pytest.approx(PHOTO.getpixel((0, 0)), abs=6)
    assert decode_image(saved(PHOTO.resize((1600, 1200)), "PNG"), reduce_above=300).image.size == (1600, 1200)


def test_the_budget_bounds_the_pixels_in_flight():
    budget, lock = PixelBudget(100), threading.Lock()
    held, most, finished = 0, 0, 0

    def hold(pixels: int) -> None:
        nonlocal held, most, finished
        with budget.hold(pixels):
            with lock:
                held += pixels
                most = max(most, held)
            threading.Event().wait(0.002)
            with lock:
                held -= pixels
                finished += 1

    threads = [threading.Thread(target=hold, args=(pixels,)) for pixels in [30, 50, 60, 20, 90, 10] * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert finished == 30
    assert 60 <= most <= 100  # bounded, and not one at a time


def finishes(work) -> bool:
    """Whether `work` ends at all; what waits forever for its budget must not stop the tests."""
    done = threading.Event()

    def run() -> None:
        work()
        done.set()

    threading.Thread(target=run, daemon=True).start()
    return done.wait(10)


def test_the_budget_lets_a_single_large_picture_through_alone():
    budget, entered, waited = PixelBudget(100), threading.Event(), []

    def small() -> None:
        with budget.hold(1):
            entered.set()

    def large() -> None:
        with budget.hold(1000):
            threading.Thread(target=small, daemon=True).start()
            waited.append(not entered.wait(0.05))

    assert finishes(large)
    assert waited == [True]
    assert entered.wait(10)


def test_the_budget_is_given_back_after_a_failure():
    budget, reasons = PixelBudget(64 * 64), []

    def decode() -> None:
        for _ in range(3):
            try:
                decode_image(DAMAGED["JPEG, half"][0], budget=budget)
            except ImageError as error:
                reasons.append(error.reason)
        decode_image(saved(NOISE, "PNG"), budget=budget)

    assert finishes(decode)
    assert reasons == ["truncated"] * 3
