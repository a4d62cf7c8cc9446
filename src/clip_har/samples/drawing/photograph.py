"""From a drawing to a photograph: shadows on the ground, light and lens, sensor, JPEG."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from clip_har.samples.drawing.canvas import Canvas
from clip_har.samples.drawing.texture import clouds, grain
from clip_har.samples.geometry import Vector
from clip_har.samples.scene import Capture, Light, Person, Place, Thing

_BONES = (("shoulders", "elbows"), ("elbows", "wrists"), ("hips", "knees"), ("knees", "ankles"))
# half the width of the patch of darkness under things
_FOOTPRINT = {
    "chair": 0.28, "office chair": 0.3, "sofa": 0.5, "bench": 0.4, "table": 0.5, "round table": 0.35, "low table": 0.4, "bicycle": 0.3,
    "stove": 0.5, "shopping cart": 0.35, "pram": 0.35, "crate": 0.4, "ball": 0.14, "stool": 0.2, "bed": 0.9, "easel": 0.3,
}  # fmt: skip


def shadow_mask(canvas: Canvas, light: Light, place: Place, people: list[Person], things: list[Thing]) -> Image.Image:
    """Shadows on the floor (and on a near wall): "L", at half the canvas's size, 0 where there is none."""
    width, height = max(8, canvas.width // 2), max(8, canvas.height // 2)
    mask = Image.new("L", (width, height))
    pen = ImageDraw.Draw(mask)
    fx, fy = width / canvas.width, height / canvas.height
    lx, ly, lz = canvas.light
    ly = max(ly, 0.38)
    wall = -place.depth + 0.03

    def spot(p: Vector, rx: float, rz: float, level: int) -> None:
        points = canvas.circle_points((p[0], 0.0, p[2]), (rx, 0, 0), (0, 0, rz), fine=False)
        pen.polygon([(x * fx, y * fy) for x, y in points], fill=level)

    def fallen(p: Vector) -> tuple[float, float, float]:
        t = p[1] / ly
        q = (p[0] - lx * t, 0.0, p[2] - lz * t)
        if place.indoor and q[2] < wall:
            # the shadow climbs the wall
            t = (p[2] - wall) / max(lz, 1e-3)
            q = (p[0] - lx * t, p[1] - ly * t, wall)
        x, y, s = canvas.project(q)
        return x * fx, y * fy, s * fx

    for thing in things:
        radius = _FOOTPRINT.get(thing.kind)
        if radius:
            wide = max(radius, thing.size / 2) if thing.kind in ("sofa", "bench", "table", "low table") else radius
            turned = abs(thing.frame[0][0])
            spot(thing.position, wide * turned + radius * (1 - turned), radius * turned + wide * (1 - turned), 150)
    for person in people:
        body = person.body
        if person.posture == "lying":
            continue
        k = body.scale
        cast = 120 if not place.indoor else 95
        bones = [
            (a, b, 0.09)
            for first, second in _BONES
            for a, b in zip(getattr(body, first), getattr(body, second), strict=True)
        ]
        bones += [
            (body.pelvis, body.neck, 0.3),
            (body.neck, body.head, 0.16),
            (body.shoulders[0], body.shoulders[1], 0.14),
        ]
        for a, b, thick in bones:
            (ax, ay, s), (bx, by, _) = fallen(a), fallen(b)
            pen.line([(ax, ay), (bx, by)], fill=cast, width=max(1, round(thick * k * s)))
        x, y, s = fallen(body.head)
        r = 0.11 * k * s
        pen.ellipse((x - r, y - r, x + r, y + r), fill=cast)
        lowest = min(body.ankles[0][1], body.ankles[1][1])
        near_floor = max(0.25, 1 - 1.2 * max(0.0, lowest - 0.1))
        for ankle in body.ankles:
            if ankle[1] < lowest + 0.25:
                spot(ankle, 0.2 * k, 0.13 * k, int(190 * near_floor))
    return mask.filter(ImageFilter.BoxBlur(max(1.0, 0.014 * height)))


def darken(image: Image.Image, mask: Image.Image, strength: float) -> None:
    """Lay shadows onto a picture of any size."""
    mask = mask.resize(image.size, Image.Resampling.BILINEAR).point([int(v * strength) for v in range(256)])
    image.paste((16, 14, 24), (0, 0), mask)


@lru_cache(maxsize=32)
def _corners(height: int, width: int) -> np.ndarray:
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return (np.clip(x * x + y * y, 0, 2) ** 1.3 / 2).astype(np.float32)


def _tone_curve(capture: Capture, light: Light) -> list[int]:
    """One table of 256 values for each channel: white balance, exposure and contrast."""
    table: list[int] = []
    levels = np.arange(256) / 255
    for gain in light.gain:
        v = np.clip(levels * gain, 0, 1.25)
        # a gentle shoulder instead of clipping, then an S about the middle
        v = np.where(v > 0.8, 0.8 + (1 - np.exp(-(v - 0.8) / 0.2)) * 0.2, v)
        curve = v + (capture.contrast - 1) * np.sin((v - 0.5) * np.pi * 1.0) * 0.16 * (1 - np.abs(v - 0.5))
        table += [int(c) for c in np.clip(curve * 255, 0, 255)]
    return table


def expose(image: Image.Image, capture: Capture, light: Light) -> Image.Image:
    """Light, lens and sensor: the picture before compression."""
    width, height = image.size
    image = image.point(_tone_curve(capture, light))
    s, shift = capture.saturation, capture.palette_shift
    if abs(s - 1) > 0.01 or shift > 0:
        image = image.convert("RGB", _colour_matrix(s, shift))
    if capture.blur * height > 0.12:
        image = image.filter(ImageFilter.GaussianBlur(capture.blur * height))
    pixels = np.asarray(image, np.float32)
    lx, ly, _ = light.direction
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    field = 1 - capture.vignette * _corners(height, width) + 0.07 * (lx * x - ly * y)
    field = field * (1 + 0.03 * clouds(capture.seed, height, width, 0.4 * 160 / height))
    pixels = pixels * field[..., None].astype(np.float32)
    # neighbouring pixels share a part of their noise, as after the interpolation of a colour filter
    pixels += grain(capture.seed, height, width) * np.float32(255 * capture.noise)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _colour_matrix(saturation: float, shift: float) -> tuple[float, ...]:
    luma = (0.299, 0.587, 0.114)
    rows = []
    # a faded green: what is left of red and blue goes down, everything is lifted
    tint = (1 - 0.12 * shift, 1 + 0.05 * shift, 1 - 0.16 * shift)
    for i in range(3):
        row = [((1 - saturation) * luma[j] + (saturation if i == j else 0.0)) * tint[i] for j in range(3)]
        rows += [*row, 14.0 * shift]
    return tuple(rows)


def compress(image: Image.Image, quality: int) -> bytes:
    """The picture as a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0 if quality > 90 else 2)
    return buffer.getvalue()
