"""Drawing surroundings: rooms, skies, grounds and what closes the view. Made at picture size, since it is blurred later."""

from __future__ import annotations

from functools import partial
from random import Random

import numpy as np
from PIL import Image

from clip_har.samples.drawing.canvas import Canvas, mix, shaded
from clip_har.samples.drawing.texture import clouds, grain
from clip_har.samples.geometry import Vector
from clip_har.samples.scene import Light, Place, Rgb

_FAR = 60.0
_WIDE = 14.0


def draw_place(canvas: Canvas, place: Place, light: Light) -> None:
    """Draw the empty place: everything but its features."""
    (_draw_room if place.indoor else _draw_outdoors)(canvas, place, light)


def _quad(x0: float, x1: float, z0: float, z1: float, y: float = 0.0) -> list[Vector]:
    return [(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)]


def _nearest_floor(canvas: Canvas) -> float:
    """The z of the floor that is just in front of the camera."""
    _, y, z = canvas.position
    _, b, c = canvas.towards
    return z + (y * b - 0.4) / max(c, 0.2)


def _draw_room(canvas: Canvas, place: Place, light: Light) -> None:
    r = Random(place.seed)
    z, near = -place.depth, _nearest_floor(canvas)
    wall = place.wall.rgb
    high = 2.7 + r.random() * 0.5
    if place.kind == "studio":
        _draw_backdrop(canvas, place, near)
        return
    canvas.facet([(-_WIDE, -3, z), (_WIDE, -3, z), (_WIDE, 6, z), (-_WIDE, 6, z)], wall)
    shades = [(-_WIDE, 0, z), (_WIDE, 0, z), (_WIDE, high, z), (-_WIDE, high, z)]
    canvas.sheet([shades[0], shades[3], shades[2], shades[1]], wall, (0, 0, 1), fade=r.uniform(-0.5, 0.5), strips=40)
    canvas.facet(_quad(-_WIDE, _WIDE, z, near, high), mix(wall, (255, 255, 255), 0.55))
    canvas.facet(_quad(-_WIDE, _WIDE, z, near), place.floor.rgb)
    mask = _surface(canvas, place, z, near, r)
    side = r.choice((-1, 1))
    if r.random() < 0.4:
        x = side * r.uniform(2.0, 3.4)
        corners = [(x, 0, z), (x, 0, near), (x, high, near), (x, high, z)]
        canvas.facet(corners, shaded(wall, 0.84 if side * canvas.light[0] > 0 else 1.05))
        canvas.facet([(x, 0, z), (x, 0, near), (x, 0.1, near), (x, 0.1, z)], mix(wall, (255, 255, 255), 0.4))
    if place.kind not in ("cafe", "gym", "hall"):
        skirting = mix(wall, (255, 255, 255), 0.5) if r.random() < 0.7 else mix(wall, (40, 30, 20), 0.5)
        canvas.facet([(-_WIDE, 0, z), (_WIDE, 0, z), (_WIDE, 0.11, z), (-_WIDE, 0.11, z)], skirting)
    if r.random() < 0.18:
        lower = mix(wall, place.trim.rgb, 0.6)
        canvas.facet(
            [(-_WIDE, 0, z + 0.01), (_WIDE, 0, z + 0.01), (_WIDE, 0.95, z + 0.01), (-_WIDE, 0.95, z + 0.01)], lower
        )
    _roughen(canvas, mask, place, wall_amplitude=0.022)


def _draw_backdrop(canvas: Canvas, place: Place, near: float) -> None:
    # a sheet that runs from the wall to the floor without an edge
    z, rgb = -place.depth, place.wall.rgb
    canvas.facet([(-_WIDE, -3, z), (_WIDE, -3, z), (_WIDE, 8, z), (-_WIDE, 8, z)], rgb)
    canvas.facet(_quad(-_WIDE, _WIDE, z, near), shaded(rgb, 0.93))
    for i in range(8):
        t = i / 8
        canvas.facet(
            [
                (-_WIDE, 0.3 * (1 - t) ** 2, z),
                (_WIDE, 0.3 * (1 - t) ** 2, z),
                (_WIDE, 0, z + 0.6 * t),
                (-_WIDE, 0, z + 0.6 * t),
            ],
            shaded(rgb, 1 - 0.07 * t),
        )
    height, width = canvas.height, canvas.width
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    spot = 1.06 - 0.3 * np.clip((x - 0.3 * canvas.light_in_picture[0]) ** 2 + (y + 0.2) ** 2, 0, 1.6) ** 0.8
    _multiply(canvas, spot[..., None].astype(np.float32))


def _surface(canvas: Canvas, place: Place, z: float, near: float, r: Random) -> Image.Image:
    """Draw the lines of floors; return where the floor is."""
    mask = Image.new("L", canvas.image.size)
    floor = [canvas.project(p)[:2] for p in _quad(-_WIDE, _WIDE, z, near)]
    from PIL import ImageDraw

    ImageDraw.Draw(mask).polygon(floor, fill=255)
    dark = mix(place.floor.rgb, (20, 14, 10), 0.4)
    s = canvas.project((0, 0, z / 2))[2]
    middle = round(canvas.position[0] * 4) / 4
    if place.surface == "planks":
        step = 0.2 if s > 40 else 0.4
        for i in range(-13, 14):
            x = middle + step * i
            tone = shaded(place.floor.rgb, 0.94 + 0.12 * r.random())
            canvas.facet(_quad(x, x + step, z, near), tone)
            canvas.stroke([canvas.project((x, 0, a))[:2] for a in (z, near)], dark, 0.012 * s, 120)
    elif place.surface == "tiles":
        for i in range(-9, 10):
            canvas.stroke([canvas.project((middle + 0.45 * i, 0, a))[:2] for a in (z, near)], dark, 0.014 * s, 110)
        depth = z
        while depth < near:
            canvas.stroke([canvas.project((x, 0, depth))[:2] for x in (-_WIDE, _WIDE)], dark, 0.014 * s, 110)
            depth += 0.45
    return mask


def _multiply(canvas: Canvas, field: np.ndarray) -> None:
    pixels = np.asarray(canvas.image, np.float32) * field
    canvas.image.paste(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))


def _roughen(canvas: Canvas, floor: Image.Image, place: Place, wall_amplitude: float) -> None:
    """Unevenness of light and stuff, stronger on carpets and rough grounds."""
    height, width = canvas.height, canvas.width
    zoom = 160 / height
    field = 1 + 0.05 * clouds(place.seed, height, width, 0.5 * zoom)
    rough = {"carpet": 0.07, "grass": 0.16, "sand": 0.08, "earth": 0.13, "asphalt": 0.06}.get(place.surface, 0.03)
    amplitude = np.where(np.asarray(floor) > 0, np.float32(rough), np.float32(wall_amplitude))
    field += (
        amplitude * clouds(place.seed // 3, height, width, 3.0 * zoom)
        + 0.35 * amplitude * grain(place.seed, height, width)[..., 0]
    )
    _multiply(canvas, field[..., None].astype(np.float32))


def _horizon(canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Pixels above the horizon, and along it, for every pixel: float32 [height, width] each."""
    x, y, z = canvas.position
    (ax, ay, _), (bx, by, _) = canvas.project((x - 5e3, y, z - 1e4)), canvas.project((x + 5e3, y, z - 1e4))
    dx, dy = bx - ax, by - ay
    norm = (dx * dx + dy * dy) ** 0.5
    ux, uy = canvas.flat((0.0, 1.0, 0.0))
    nx, ny = -dy / norm, dx / norm
    if nx * ux + ny * uy < 0:
        nx, ny = -nx, -ny
    columns = np.arange(canvas.width, dtype=np.float32)[None, :]
    rows = np.arange(canvas.height, dtype=np.float32)[:, None]
    above = (columns - np.float32(ax)) * np.float32(nx) + (rows - np.float32(ay)) * np.float32(ny)
    along = columns * np.float32(dx / norm) + rows * np.float32(dy / norm)
    return above, along


def _lerp(a: Rgb, b: Rgb, share: np.ndarray) -> np.ndarray:
    first, second = np.array(a, np.float32), np.array(b, np.float32)
    return first + (second - first) * share[..., None].astype(np.float32)


def _draw_outdoors(canvas: Canvas, place: Place, light: Light) -> None:
    r = Random(place.seed)
    height, width = canvas.height, canvas.width
    above, along = _horizon(canvas)
    zoom = 160 / height
    dusk = light.dusk
    low = mix(place.wall.rgb, (236, 150, 96), 0.75 * dusk)
    high = mix(mix(place.wall.rgb, (92, 142, 204), 0.55), (58, 62, 104), 0.8 * dusk)
    pixels = _lerp(low, high, np.clip(above / (0.75 * height), 0, 1))
    cover = np.clip((clouds(place.seed, height, width, 0.7 * zoom) + r.uniform(-0.6, 0.3)) * 1.3, 0, 0.75)
    pixels += (np.array(mix((244, 244, 246), (250, 190, 150), 0.7 * dusk), np.float32) - pixels) * cover[..., None]
    eye = max(canvas.position[1], 0.3)
    for step in _backdrop(place, r):
        step(canvas, pixels, above, along, eye, low)
    down = np.maximum(-above, 0.6)
    distance = eye * canvas.focal / down
    haze = np.clip(1 - np.exp(-distance / 45), 0, 0.6)
    ground = _lerp(place.floor.rgb, mix(low, place.floor.rgb, 0.45), haze)
    rough = {"grass": 0.2, "sand": 0.09, "earth": 0.16}.get(place.surface, 0.08)
    uneven = clouds(place.seed // 3, height, width, 3.2 * zoom) + 0.5 * grain(place.seed, height, width)[..., 0]
    patches = clouds(place.seed // 5, height, width, 0.8 * zoom)
    ground *= (1 + rough * 0.6 * uneven + 0.1 * patches)[..., None]
    pixels = np.where((above < 0)[..., None], ground, pixels)
    if place.backdrop == "sea":
        _sea(canvas, pixels, above, along, distance, place, low)
    canvas.image.paste(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))
    _ground_lines(canvas, place, r)


def _backdrop(place: Place, r: Random) -> list:
    """What stands on the horizon: bands with an uneven upper edge, from the farthest to the nearest."""
    if place.backdrop == "hills":
        far, near = r.uniform(90, 200), r.uniform(30, 60)
        return [
            partial(
                _band,
                rgb=(126, 144, 166),
                tall=far,
                distance=900,
                rough=0.75,
                seed=r.randrange(1 << 20),
                haze=0.45,
                grainy=0.05,
            ),
            partial(
                _band,
                rgb=place.trim.rgb,
                tall=near,
                distance=420,
                rough=0.6,
                seed=r.randrange(1 << 20),
                haze=0.35,
                grainy=0.12,
            ),
        ]
    if place.backdrop in ("trees", "town"):
        tall, distance = r.uniform(5, 9), place.depth + r.uniform(10, 26)
        haze = 0.1 if place.kind == "forest" else 0.2
        return [
            partial(
                _band,
                rgb=place.trim.rgb,
                tall=tall * (2 if place.kind == "forest" else 1),
                distance=distance,
                rough=0.35,
                seed=r.randrange(1 << 20),
                haze=haze,
                grainy=0.42,
            )
        ]
    return []


def _band(canvas, pixels, above, along, eye, sky, *, rgb, tall, distance, rough, seed, haze, grainy) -> None:
    height, width = above.shape
    zoom = 160 / height
    scale = canvas.focal / distance
    profile = clouds(seed, 1, 1024, 0.35 * zoom)[0] * 0.7 + clouds(seed // 3, 1, 1024, 1.6 * zoom)[0] * 0.3 * (
        grainy > 0.2
    )
    edge = profile[np.clip(along + 256, 0, 1023).astype(np.intp)]
    top = (tall * (0.62 + rough * edge) - eye) * scale
    inside = (above < top) & (above > -eye * scale * 1.05)
    tone = 0.85 + grainy * clouds(seed // 5, height, width, 2.4 * zoom) + 0.25 * above / np.maximum(top, 4.0)
    colour = _lerp(rgb, sky, np.full(above.shape, haze, np.float32)) * np.clip(tone, 0.25, 1.35)[..., None]
    np.copyto(pixels, colour, where=inside[..., None])


def _sea(canvas, pixels, above, along, distance, place: Place, sky: Rgb) -> None:
    shore = place.depth + 2.0
    line = shore * (1 + 0.03 * np.sin(along / (0.12 * canvas.width) + place.seed % 7))
    deep, shallow = mix((38, 96, 142), sky, 0.25), (104, 170, 178)
    share = np.clip((distance - line) / 30, 0, 1)
    waves = clouds(place.seed // 11, *above.shape, 2.0)
    # waves are seen flat: stretch them along the horizon
    waves = np.repeat(waves[:, ::6], 6, axis=1)[:, : above.shape[1]]
    water = _lerp(shallow, deep, share) * (1 + 0.07 * waves)[..., None]
    np.copyto(pixels, water, where=((above < 0) & (distance > line))[..., None])
    foam = (above < 0) & (distance > line * 0.985) & (distance < line * (1.05 + 0.05 * waves))
    np.copyto(pixels, np.float32([240, 242, 240]), where=foam[..., None])


def _ground_lines(canvas: Canvas, place: Place, r: Random) -> None:
    near = _nearest_floor(canvas)
    stone = (168, 164, 156)
    if place.kind == "street":
        kerb = -place.depth + r.uniform(3.0, 4.2)
        canvas.facet(_quad(-40, 40, -place.depth, kerb), stone)
        canvas.facet(_quad(-40, 40, kerb, kerb + 0.12), (196, 194, 188))
        canvas.facet(_quad(-40, 40, kerb - 2.9, kerb - 0.05), (96, 96, 100))
        for i in range(-6, 7):
            canvas.facet(_quad(3 * i, 3 * i + 1.5, kerb - 1.5, kerb - 1.38), (226, 224, 214))
        if r.random() < 0.5:
            s = canvas.project((0, 0, 0))[2]
            for i in range(-8, 9):
                canvas.stroke(
                    [canvas.project((0.8 * i, 0, a))[:2] for a in (kerb + 0.12, near)], (90, 88, 84), 0.012 * s, 120
                )
    elif place.kind == "park" and r.random() < 0.6:
        x, wide = r.uniform(-1.5, 1.5), r.uniform(0.8, 1.4)
        path = mix((196, 178, 146), place.floor.rgb, 0.2)
        if r.random() < 0.5:
            canvas.facet(_quad(-40, 40, -wide - 0.2, wide * 0.6), path)
        else:
            canvas.facet(
                [(x - wide, 0, near), (x + wide, 0, near), (x * 3 + 0.9, 0, -_FAR), (x * 3 - 0.9, 0, -_FAR)], path
            )
    elif place.kind == "mountains" and r.random() < 0.6:
        canvas.facet(_quad(-40, 40, -1.4, 1.0), (128, 124, 120))
    elif place.kind == "field":
        if place.surface == "track":
            canvas.facet(_quad(-40, 40, -3.5, near), (176, 86, 64))
            for z in (-3.4, -2.2, -1.0, 0.2, 1.4):
                canvas.facet(_quad(-40, 40, z, z + 0.06), (236, 232, 226))
        else:
            for i in range(-4, 5, 2):
                canvas.facet(_quad(4 * i, 4 * i + 4, -_FAR, near), shaded(place.floor.rgb, 1.15), alpha=40)
            canvas.facet(_quad(-40, 40, -2.2, -2.08), (236, 236, 230))
    elif place.kind == "forest":
        x = r.uniform(-1, 1)
        canvas.facet(
            [(x - 0.9, 0, near), (x + 0.9, 0, near), (x * 2 + 0.3, 0, -25), (x * 2 - 0.3, 0, -25)],
            mix((150, 124, 92), place.floor.rgb, 0.4),
            alpha=170,
        )
