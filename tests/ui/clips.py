"""Tiny clips, made for a test."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np


def clip(
    colours: Sequence[tuple[int, int, int]],
    *,
    seconds_each: float = 1.0,
    rate: int = 10,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    kind: str = "mp4",
) -> bytes:
    """A clip that shows one colour after the other."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for colour in colours:
            pixels = np.full((size[1], size[0], 3), colour, np.uint8)
            for _ in range(round(seconds_each * rate)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
