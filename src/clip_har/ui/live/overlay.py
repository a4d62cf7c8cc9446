"""Words on a video frame. They are drawn once for each change of theirs, and blended into the frame's own colour planes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_PANEL, _SURE, _UNSURE = (16, 20, 26, 190), (88, 179, 189, 255), (150, 158, 170, 255)
_WHITE, _GREY = (255, 255, 255, 255), (214, 219, 226, 255)
_FONT = "DejaVuSans.ttf"


@dataclass(frozen=True)
class Caption:
    """What is written on a frame.

    Attributes:
        title: in large letters.
        confidence: length of the bar below, in [0, 1]; None: no bar.
        sure: whether the bar stands out.
        note: in small letters.
    """

    title: str
    confidence: float | None
    sure: bool
    note: str = ""


@dataclass(frozen=True)
class _Patch:
    """A strip along the bottom of a frame, as planes of yuv420p.

    Attributes:
        top: the frame's row that it begins at; even.
        planes: Y, U, V: the strip's values times its alpha, uint16.
        keeps: for each, 255 − alpha: how much of the frame stays, uint16.
    """

    top: int
    planes: tuple[np.ndarray, ...]
    keeps: tuple[np.ndarray, ...]


class Overlay:
    """Draws captions on the frames of one stream."""

    def __init__(self) -> None:
        self._made: tuple[tuple[Caption, int, int], _Patch] | None = None

    def drawn(self, frame: Any, caption: Caption | None) -> Any:
        """A frame with the caption, as a new `av.VideoFrame` in yuv420p of even size; the frame itself if there is none."""
        if caption is None or frame.width < 64 or frame.height < 64:
            return frame
        import av
        import numpy as np

        width, height = frame.width // 2 * 2, frame.height // 2 * 2
        if frame.format.name != "yuv420p" or (width, height) != (frame.width, frame.height):
            frame = frame.reformat(width=width, height=height, format="yuv420p")
        pixels = np.ascontiguousarray(frame.to_ndarray()).reshape(-1)
        patch = self._patch(caption, width, height)
        begin = 0
        for plane, keep, share in zip(patch.planes, patch.keeps, (1, 2, 2), strict=True):
            rows, columns = height // share, width // share
            strip = pixels[begin : begin + rows * columns].reshape(rows, columns)[patch.top // share :]
            strip[:] = (strip * keep + plane + 127) // 255
            begin += rows * columns
        return av.VideoFrame.from_ndarray(pixels.reshape(height * 3 // 2, width), format="yuv420p")

    def _patch(self, caption: Caption, width: int, height: int) -> _Patch:
        key = (caption, width, height)
        if self._made is None or self._made[0] != key:
            self._made = (key, _patch_of(_strip(caption, width, height), height))
        return self._made[1]


def _strip(caption: Caption, width: int, height: int) -> Image.Image:
    """RGBA, as wide as the frame."""
    from PIL import Image, ImageDraw

    size = max(12, min(round(height * 0.07), round(width * 0.055)))
    margin = size // 2
    tall = (2 * margin + round(size * 2.1)) // 2 * 2
    strip = Image.new("RGBA", (width, min(tall, height)))
    pen = ImageDraw.Draw(strip)
    box = (margin, margin // 2, width - margin, strip.height - margin // 2)
    pen.rounded_rectangle(box, margin, fill=_PANEL)
    note, title = _font(round(size * 0.62)), _font(size)
    left, right = box[0] + margin, box[2] - margin
    middle = box[1] + margin // 2 + round(size * 0.62)
    used = pen.textlength(caption.note, font=note) + margin if caption.note else 0
    if used > (right - left) / 2:
        used = 0
    while size > 8 and pen.textlength(caption.title, font=title) > right - left - used:
        size -= 2
        title = _font(size)
    pen.text((left, middle), caption.title, font=title, fill=_WHITE, anchor="lm")
    if used:
        pen.text((right, middle), caption.note, font=note, fill=_GREY, anchor="rm")
    if caption.confidence is not None:
        bottom, thick = box[3] - margin // 2 - 2, max(4, margin // 3)
        pen.rounded_rectangle((left, bottom - thick, right, bottom), thick // 2, fill=(255, 255, 255, 60))
        end = left + round((right - left) * min(max(caption.confidence, 0.0), 1.0))
        pen.rounded_rectangle(
            (left, bottom - thick, max(end, left + thick), bottom), thick // 2, fill=_SURE if caption.sure else _UNSURE
        )
    return strip


def _font(size: int) -> Any:
    from PIL import ImageFont

    try:
        return ImageFont.truetype(_FONT, size)  # more scripts than Pillow's own
    except OSError:
        return ImageFont.load_default(size)


def _patch_of(strip: Image.Image, height: int) -> _Patch:
    """RGBA → planes (BT.601, video range, as WebRTC's codecs have it)."""
    import numpy as np

    pixels = np.asarray(strip, np.float32)
    red, green, blue, alpha = (pixels[..., channel] for channel in range(4))
    y = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    u = 128 + (-37.797 * red - 74.203 * green + 112.0 * blue) / 255
    v = 128 + (112.0 * red - 93.786 * green - 18.214 * blue) / 255
    u, v, thin = (
        one.reshape(one.shape[0] // 2, 2, one.shape[1] // 2, 2).mean((1, 3)) for one in (u * alpha, v * alpha, alpha)
    )
    planes = tuple(np.round(one).astype(np.uint16) for one in (y * alpha, u, v))
    keeps = tuple((255 - np.round(one)).astype(np.uint16) for one in (alpha, thin, thin))
    return _Patch((height - strip.height) // 2 * 2, planes, keeps)
