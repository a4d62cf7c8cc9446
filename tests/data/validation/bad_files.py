"""Files as they are found: good ones of many kinds, and bad ones, each with the reason that it must get."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter


def scene(seed: int, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A picture with edges and colours of its own; no two seeds look alike."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    noise = Image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    return Image.blend(coarse, noise, 0.3)


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    """The picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and has next to no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def with_jpeg_size(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header announces another size."""
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def with_bad_checksum(data: bytes) -> bytes:
    """A PNG with one wrong byte in its pixels."""
    at = data.index(b"IDAT") + 40
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def _frames(kind: str, **options) -> bytes:
    first, *others = (scene(number) for number in (201, 202, 203))
    return encoded(first, kind, save_all=True, append_images=others, **options)


def _transparent() -> Image.Image:
    picture = scene(210).convert("RGBA")
    picture.putalpha(0)
    return picture


def _nearly_grey() -> Image.Image:
    noise = np.random.default_rng(211).integers(126, 130, (72, 96, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


_GOOD_JPEG, _GOOD_PNG = encoded(scene(1)), encoded(scene(2), "PNG")

# Kind → (name of the file, its bytes, the reason).
FILES: dict[str, tuple[str, bytes, str]] = {
    "JPEG without bytes": ("empty.jpg", b"", "empty_file"),
    "PNG without bytes": ("empty.png", b"", "empty_file"),
    "text": ("text.jpg", b"there is no picture in here\n", "not_an_image"),
    "an error page": ("page.jpg", b"<!DOCTYPE html><html><title>404 Not Found</title></html>", "not_an_image"),
    "JSON": ("answer.png", b'{"error": "quota exceeded"}', "not_an_image"),
    "a pointer of Git LFS": (
        "pointer.jpg",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n",
        "not_an_image",
    ),
    "PDF": ("scan.jpg", b"%PDF-1.7\n1 0 obj << /Type /Catalog >> endobj\n%%EOF", "not_an_image"),
    "SVG": ("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg' width='90' height='90'/>", "not_an_image"),
    "a web archive": ("riff.webp", b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(20), "not_an_image"),
    "a video": ("clip.jpg", b"\x00\x00\x00\x18ftypmp42" + bytes(200), "not_an_image"),
    "zeros": ("zeros.jpg", bytes(5000), "not_an_image"),
    "random bytes": ("random.jpg", np.random.default_rng(0).bytes(5000), "not_an_image"),
    "PPM, which is not allowed": ("old.jpg", encoded(scene(3), "PPM"), "not_an_image"),
    "ICO, which is not allowed": ("icon.png", encoded(scene(4, (64, 64)), "ICO"), "not_an_image"),
    "JPEG of two bytes": ("start.jpg", b"\xff\xd8", "not_an_image"),
    "PNG signature alone": ("signature.png", b"\x89PNG\r\n\x1a\n", "not_an_image"),
    "half a JPEG": ("half.jpg", _half(_GOOD_JPEG), "truncated"),
    "JPEG that ends in its header": ("header.jpg", _GOOD_JPEG[:300], "truncated"),
    "half a progressive JPEG": ("progressive.jpg", _half(encoded(scene(5), progressive=True)), "truncated"),
    "half a PNG": ("half.png", _half(_GOOD_PNG), "truncated"),
    "PNG with a wrong checksum": ("checksum.png", with_bad_checksum(_GOOD_PNG), "truncated"),
    "half a GIF": ("half.gif", _half(encoded(scene(6), "GIF")), "truncated"),
    "half a WebP": ("half.webp", _half(encoded(scene(7), "WEBP")), "truncated"),
    "half a BMP": ("half.bmp", _half(encoded(scene(8), "BMP")), "truncated"),
    "half a TIFF": ("half.tif", _half(encoded(scene(9), "TIFF")), "truncated"),
    "a PNG bomb": ("bomb.png", png_header(60_000, 60_000), "too_many_pixels"),
    "a smaller PNG bomb": ("small_bomb.png", png_header(1001, 1000), "too_many_pixels"),
    "a JPEG bomb": ("bomb.jpg", with_jpeg_size(_GOOD_JPEG, 65_000, 65_000), "too_many_pixels"),
    "too heavy": ("heavy.bmp", encoded(scene(10, (640, 480)), "BMP"), "too_many_bytes"),
    "one pixel": ("pixel.png", encoded(Image.new("RGB", (1, 1), "red"), "PNG"), "too_small"),
    "31 pixels wide": ("narrow.jpg", encoded(scene(11, (31, 60))), "too_small"),
    "a line": ("line.png", encoded(scene(12, (400, 2)), "PNG"), "too_small"),
    "a banner": ("banner.jpg", encoded(scene(13, (400, 40))), "extreme_aspect_ratio"),
    "a strip": ("strip.png", encoded(scene(14, (40, 400)), "PNG"), "extreme_aspect_ratio"),
    "white": ("white.jpg", encoded(Image.new("RGB", (96, 72), "white")), "nearly_constant"),
    "black": ("black.png", encoded(Image.new("RGB", (96, 72), "black"), "PNG"), "nearly_constant"),
    "grey with a little noise": ("grey.png", encoded(_nearly_grey(), "PNG"), "nearly_constant"),
    "wholly transparent": ("transparent.png", encoded(_transparent(), "PNG"), "nearly_constant"),
    "PNG named .jpg": ("png.jpg", encoded(scene(15), "PNG"), "wrong_type"),
    "JPEG named .png": ("jpeg.png", encoded(scene(16)), "wrong_type"),
    "WebP named .jpeg": ("webp.JPEG", encoded(scene(17), "WEBP"), "wrong_type"),
    "JPEG named .txt": ("notes.txt", encoded(scene(18)), "wrong_type"),
    "animated GIF": ("animated.gif", _frames("GIF"), "animated"),
    "animated WebP": ("animated.webp", _frames("WEBP", lossless=True), "animated"),
    "animated PNG": ("animated.png", _frames("PNG"), "animated"),
    "TIFF of three pages": ("pages.tiff", _frames("TIFF"), "animated"),
}

# What is odd and good: nothing may be said about it.
GOOD: dict[str, tuple[str, bytes]] = {
    "progressive": ("progressive_whole.jpg", encoded(scene(31), progressive=True)),
    "grey": ("grey.jpg", encoded(scene(32).convert("L"))),
    "CMYK": ("cmyk.jpg", encoded(scene(33).convert("CMYK"))),
    "palette": ("palette.png", encoded(scene(34).quantize(64), "PNG")),
    "16 bits": (
        "deep.png",
        encoded(Image.fromarray(np.asarray(scene(35).convert("L")).astype(np.uint16) * 257), "PNG"),
    ),
    "alpha": ("alpha.png", encoded(scene(36).convert("RGBA"), "PNG")),
    "one frame of a GIF": ("still.gif", encoded(scene(37), "GIF")),
    "WebP": ("whole.webp", encoded(scene(38), "WEBP")),
    "TIFF": ("whole.tif", encoded(scene(39), "TIFF")),
    "BMP": ("whole.bmp", encoded(scene(40), "BMP")),
    "a suffix in capitals": ("CAPITALS.JPG", encoded(scene(41))),
    "no suffix": ("no_suffix", encoded(scene(42))),
    "an unknown suffix": ("picture.img", encoded(scene(43))),
    "a name in other letters": ("ein Läufer – 走.jpg", encoded(scene(44))),
    "a photograph of a phone, with a second picture behind": ("phone.jpg", _frames("MPO")),
    "large": ("large.jpg", encoded(scene(45, (1000, 900)), quality=40)),
    "smallest": ("smallest.png", encoded(scene(46, (32, 32)), "PNG")),
    "as long as is allowed": ("long.png", encoded(scene(47, (160, 32)), "PNG")),
}


def _link_outwards(folder: Path, name: str) -> None:
    outside = folder.parents[1] / "outside.jpg"
    outside.write_bytes(encoded(scene(51)))
    (folder / name).symlink_to(outside)


# Kind → (name, how it is made, the reason): what is no plain file.
PLACES: dict[str, tuple[str, Callable[[Path, str], None], str]] = {
    "a broken link": (
        "broken_link.jpg",
        lambda folder, name: (folder / name).symlink_to("nowhere.jpg"),
        "missing_file",
    ),
    "a link to itself": ("loop.jpg", lambda folder, name: (folder / name).symlink_to(name), "missing_file"),
    "a named pipe": ("pipe.jpg", lambda folder, name: os.mkfifo(folder / name), "missing_file"),
    "a link outwards": ("outwards.jpg", _link_outwards, "outside_data_folder"),
    "a link to a device": (
        "device.jpg",
        lambda folder, name: (folder / name).symlink_to("/dev/zero"),
        "outside_data_folder",
    ),
    "a name of any bytes": (
        os.fsdecode(b"caf\xe9.jpg"),
        lambda folder, name: (folder / name).write_bytes(encoded(scene(52))),
        "unusable_name",
    ),
}


def dark(seed: int) -> bytes:
    """A picture with contrast enough and no light."""
    return encoded(scene(seed).point(lambda value: value // 6), quality=95)


def blurred(seed: int) -> bytes:
    """A picture without edges."""
    return encoded(scene(seed, (240, 180)).filter(ImageFilter.GaussianBlur(5)), quality=95)
