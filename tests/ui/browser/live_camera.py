"""A file that Chromium takes for its camera (`--use-file-for-fake-video-capture`): drawn pictures, one after the other."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

SIZE = (640, 480)
FRAMES_A_SECOND = 30
"""What Chromium plays an MJPEG file at."""
BITS = 10


def write_camera(path: Path, actions: Sequence[str], seconds_each: float = 3.0, *, numbered: bool = False) -> Path:
    """Concatenated JPEGs; Chromium plays them in a loop.

    Args:
        numbered: frames have their number, modulo 2 ** `BITS`, as black and white squares along the top.
    """
    from PIL import Image

    from clip_har.samples import describe_scene, encode_scene

    number = 0
    with path.open("wb") as file:
        for scene, action in enumerate(actions):
            drawn = Image.open(io.BytesIO(encode_scene(describe_scene(action, 10_001 + scene), *SIZE))).convert("RGB")
            plain = _jpeg(drawn)
            for _ in range(round(seconds_each * FRAMES_A_SECOND)):
                file.write(_jpeg(_with_number(drawn, number)) if numbered else plain)
                number += 1
    return path


def _with_number(drawn: Image.Image, number: int) -> Image.Image:
    from PIL import ImageDraw

    image = drawn.copy()
    pen, wide = ImageDraw.Draw(image), SIZE[0] / BITS
    for bit in range(BITS):
        white = number >> (BITS - 1 - bit) & 1
        pen.rectangle((bit * wide, 0, (bit + 1) * wide, SIZE[1] // 20), fill="white" if white else "black")
    return image


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88, subsampling="4:2:0")
    return buffer.getvalue()
