"""Drawing what belongs to homes: windows, doors, pictures, shelves, cupboards, lamps, plants.

Positions are the middle of the foot (on the floor, or on the wall at that height); front looks into the room.
"""

from __future__ import annotations

from math import cos, sin
from random import Random

from clip_har.samples.drawing.canvas import Canvas, mix, shaded
from clip_har.samples.drawing.furniture import block
from clip_har.samples.drawing.solids import against_wall, at, cylinder, panel
from clip_har.samples.geometry import scale
from clip_har.samples.scene import Rgb, Thing

_BOOKS: tuple[Rgb, ...] = (
    (150, 50, 46),
    (46, 84, 130),
    (200, 170, 96),
    (60, 100, 70),
    (220, 214, 200),
    (84, 60, 96),
    (50, 50, 56),
)


def _window(canvas: Canvas, thing: Thing) -> None:
    half, high = thing.size / 2, 1.35
    frame_rgb = (226, 224, 218)
    canvas.facet(panel(thing, -half - 0.07, -0.07, half + 0.07, high + 0.07), frame_rgb)
    sky, ground = thing.accent.rgb, mix(thing.accent.rgb, (90, 120, 80), 0.5)
    for i in range(5):
        canvas.facet(
            panel(thing, -half, high * i / 5, half, high * (i + 1) / 5, 0.01), mix(ground, sky, min(1.0, i / 3))
        )
    if thing.seed % 2:
        r = Random(thing.seed)
        for _ in range(4):
            x = r.uniform(-half * 0.8, half * 0.8)
            canvas.facet(
                panel(thing, x - 0.12, 0, x + 0.14, r.uniform(0.3, 0.8), 0.011), mix(sky, (110, 120, 116), 0.45)
            )
    for x in (0.0,) if thing.size < 1.5 else (-half / 3, half / 3):
        canvas.facet(panel(thing, x - 0.03, 0, x + 0.03, high, 0.02), frame_rgb)
    canvas.facet(panel(thing, -half, high * 0.62, half, high * 0.62 + 0.045, 0.02), frame_rgb)
    block(canvas, thing, (0, -0.06, 0.08), (half + 0.12, 0.025, 0.09), frame_rgb)
    if thing.seed % 3:
        for sign in (-1, 1):
            for i in range(4):
                x0 = sign * (half + 0.2 - 0.1 * i)
                canvas.facet(
                    panel(thing, x0 - 0.055, -0.35, x0 + 0.055, high + 0.16, 0.1),
                    shaded(thing.tint.rgb, 0.82 + 0.14 * (i % 2)),
                )
        canvas.tube(
            at(thing, -half - 0.3, high + 0.17, 0.11), at(thing, half + 0.3, high + 0.17, 0.11), 0.018, (80, 66, 54)
        )


def _picture(canvas: Canvas, thing: Thing) -> None:
    half, tall = thing.size / 2, thing.size * (0.36 if thing.seed % 2 else 0.62)
    canvas.facet(panel(thing, -half - 0.035, -tall - 0.05, half + 0.05, tall + 0.02, 0.005), (0, 0, 0), alpha=50)
    canvas.facet(
        panel(thing, -half - 0.035, -tall - 0.035, half + 0.035, tall + 0.035, 0.01),
        (60, 46, 36) if thing.seed % 3 else (232, 230, 224),
    )
    canvas.facet(panel(thing, -half, -tall, half, tall, 0.012), mix(thing.tint.rgb, (240, 238, 230), 0.55))
    r = Random(thing.seed)
    for rgb in (thing.tint.rgb, thing.accent.rgb, mix(thing.tint.rgb, thing.accent.rgb, 0.5)):
        u, v = r.uniform(-0.5, 0.4), r.uniform(-0.6, 0.3)
        if thing.seed % 4 < 2:
            canvas.facet(panel(thing, u * half, v * tall, min(1, u + 0.5) * half, min(1, v + 0.6) * tall, 0.013), rgb)
        else:
            middle = at(thing, u * half, v * tall * 0.7, 0.013)
            canvas.polygon(
                canvas.circle_points(
                    middle, scale(thing.frame[0], half * 0.35), scale(thing.frame[1], half * 0.3), fine=False
                ),
                rgb,
            )


def _door(canvas: Canvas, thing: Thing) -> None:
    canvas.facet(panel(thing, -0.52, 0, 0.52, 2.12, 0.005), mix(thing.tint.rgb, (255, 255, 255), 0.35))
    canvas.facet(panel(thing, -0.44, 0, 0.44, 2.04, 0.01), thing.tint.rgb)
    for y0, y1 in ((0.2, 0.85), (1.05, 1.85)):
        canvas.facet(panel(thing, -0.3, y0, 0.3, y1, 0.012), shaded(thing.tint.rgb, 0.86))
    canvas.ball(at(thing, 0.34, 0.98, 0.04), 0.035, (190, 176, 130))


def _bookshelf(canvas: Canvas, thing: Thing) -> None:
    half, high, deep = thing.size / 2, 1.9, 0.28
    wood = thing.tint.rgb
    block(canvas, thing, (0, high / 2, deep / 2), (half, high / 2, deep / 2), wood, 40)
    r = Random(thing.seed)
    for shelf in range(5):
        y = 0.06 + 0.37 * shelf
        canvas.facet(panel(thing, -half + 0.03, y, half - 0.03, y + 0.33, deep + 0.003), shaded(wood, 0.42))
        x = -half + 0.04
        while x < half - 0.12:
            wide, tall = r.uniform(0.05, 0.13), r.uniform(0.2, 0.31)
            if r.random() < 0.86:
                canvas.facet(
                    panel(thing, x, y, x + wide * 0.92, y + tall, deep + 0.005),
                    shaded(r.choice(_BOOKS), r.uniform(0.7, 1.0)),
                )
            x += wide


def _cabinet(canvas: Canvas, thing: Thing) -> None:
    half, high = thing.size / 2, 0.8
    block(canvas, thing, (0, high / 2, 0.22), (half, high / 2, 0.22), thing.tint.rgb, 40)
    for i in range(3):
        x0 = -half + 0.03 + i * (thing.size - 0.03) / 3
        canvas.facet(
            panel(thing, x0, 0.08, x0 + thing.size / 3 - 0.05, high - 0.05, 0.445), shaded(thing.tint.rgb, 0.9)
        )
        canvas.facet(panel(thing, x0 + 0.04, high * 0.55, x0 + 0.1, high * 0.57, 0.45), (60, 56, 50))


def _wardrobe(canvas: Canvas, thing: Thing) -> None:
    half = thing.size / 2
    block(canvas, thing, (0, 1.0, 0.28), (half, 1.0, 0.28), thing.tint.rgb, 40)
    canvas.stroke([canvas.project(at(thing, 0, y, 0.565))[:2] for y in (0.05, 1.95)], shaded(thing.tint.rgb, 0.5), 2)
    for x in (-0.06, 0.06):
        canvas.facet(panel(thing, x - 0.012, 0.9, x + 0.012, 1.1, 0.57), (70, 64, 58))


def _floor_lamp(canvas: Canvas, thing: Thing) -> None:
    canvas.tube(at(thing, 0, 0, 0), at(thing, 0, 1.4, 0), 0.014, (60, 56, 52))
    cylinder(
        canvas, at(thing, 0, 1.32, 0), 0.2, at(thing, 0, 1.62, 0), 0.13, mix(thing.accent.rgb, (255, 236, 190), 0.8)
    )
    glow = at(thing, 0, 1.45, 0)
    for r, alpha in ((0.7, 12), (0.5, 16), (0.34, 24)):
        canvas.polygon(canvas.circle_points(glow, scale(canvas.right, r), scale(canvas.up, r)), (255, 226, 160), alpha)


def _table_lamp(canvas: Canvas, thing: Thing) -> None:
    canvas.tube(at(thing, 0, 0, 0), at(thing, 0, 0.2, 0), 0.02, (90, 80, 70))
    cylinder(canvas, at(thing, 0, 0.18, 0), 0.12, at(thing, 0, 0.36, 0), 0.08, (252, 226, 170))
    for r, alpha in ((0.45, 16), (0.28, 26)):
        canvas.polygon(
            canvas.circle_points(at(thing, 0, 0.28, 0), scale(canvas.right, r), scale(canvas.up, r)),
            (255, 226, 160),
            alpha,
        )


def _pendant(canvas: Canvas, thing: Thing) -> None:
    # hangs from above its position
    canvas.tube(at(thing, 0, 0.1, 0), at(thing, 0, 1.6, 0), 0.008, (40, 40, 42))
    cylinder(canvas, at(thing, 0, 0, 0), 0.17, at(thing, 0, 0.16, 0), 0.05, thing.tint.rgb)
    canvas.ball(at(thing, 0, -0.02, 0), 0.07, (255, 240, 200))
    for r, alpha in ((0.5, 14), (0.28, 26)):
        canvas.polygon(
            canvas.circle_points(thing.position, scale(canvas.right, r), scale(canvas.up, r)), (255, 230, 170), alpha
        )


def _house_plant(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    r = Random(thing.seed)
    cylinder(canvas, at(thing, 0, 0, 0), 0.12 * k, at(thing, 0, 0.26 * k, 0), 0.16 * k, thing.accent.rgb, (58, 42, 32))
    for i in range(16):
        a, spread = i * 2.4, r.uniform(0.12, 0.5) * k
        tip = at(thing, spread * cos(a), (0.4 + r.uniform(0.1, 0.75)) * k, spread * sin(a) * 0.6)
        root = at(thing, 0, 0.27 * k, 0)
        (xa, ya, _), (xb, yb, s) = canvas.project(root), canvas.project(tip)
        mx, my, wide = (xa + 2 * xb) / 3, (ya + 2 * yb) / 3 - 0.05 * s, 0.07 * k * s
        dx, dy = xb - xa, yb - ya
        norm = (dx * dx + dy * dy) ** 0.5 or 1.0
        leaf = [
            (xa, ya),
            (mx - dy / norm * wide, my + dx / norm * wide),
            (xb, yb),
            (mx + dy / norm * wide, my - dx / norm * wide),
        ]
        canvas.polygon(leaf, shaded((64, 118, 60), r.uniform(0.55, 1.1)))


def _television(canvas: Canvas, thing: Thing) -> None:
    half = thing.size / 2
    canvas.facet(panel(thing, -half, 0, half, thing.size * 0.58, 0.03), (24, 24, 28))
    canvas.facet(
        panel(thing, -half + 0.03, 0.03, half - 0.03, thing.size * 0.58 - 0.03, 0.035),
        (46, 56, 74) if thing.seed % 2 else (38, 38, 44),
    )


def _counter(canvas: Canvas, thing: Thing) -> None:
    half = thing.size / 2
    block(canvas, thing, (0, 0.43, 0.3), (half, 0.43, 0.3), thing.tint.rgb, 40)
    block(canvas, thing, (0, 0.88, 0.31), (half + 0.02, 0.025, 0.33), thing.accent.rgb)
    count = max(2, round(thing.size / 0.55))
    for i in range(count):
        x0 = -half + i * thing.size / count
        canvas.facet(
            panel(thing, x0 + 0.02, 0.12, x0 + thing.size / count - 0.02, 0.82, 0.605), shaded(thing.tint.rgb, 0.93)
        )
        canvas.facet(panel(thing, x0 + 0.1, 0.74, x0 + thing.size / count - 0.1, 0.76, 0.61), (120, 120, 122))
    r = Random(thing.seed)
    for _ in range(5):
        x, tall = r.uniform(-half * 0.9, half * 0.9), r.uniform(0.1, 0.32)
        cylinder(canvas, at(thing, x, 0.9, 0.2), 0.05, at(thing, x, 0.9 + tall, 0.2), 0.045, r.choice(_BOOKS))


def _wall_cupboard(canvas: Canvas, thing: Thing) -> None:
    half = thing.size / 2
    block(canvas, thing, (0, 0.35, 0.17), (half, 0.35, 0.17), thing.tint.rgb, 40)
    count = max(2, round(thing.size / 0.5))
    for i in range(count):
        x0 = -half + i * thing.size / count
        canvas.facet(
            panel(thing, x0 + 0.02, 0.03, x0 + thing.size / count - 0.02, 0.67, 0.345), shaded(thing.tint.rgb, 0.95)
        )


def _tiles(canvas: Canvas, thing: Thing) -> None:
    half = thing.size / 2
    canvas.facet(panel(thing, -half, 0, half, 0.58, 0.003), thing.tint.rgb)
    s = canvas.project(thing.position)[2]
    for i in range(int(thing.size / 0.15)):
        x = -half + 0.15 * i
        canvas.stroke(
            [canvas.project(at(thing, x, y, 0.004))[:2] for y in (0, 0.58)],
            mix(thing.tint.rgb, (90, 90, 90), 0.45),
            0.008 * s,
        )
    for y in (0.15, 0.3, 0.45):
        canvas.stroke(
            [canvas.project(at(thing, x, y, 0.004))[:2] for x in (-half, half)],
            mix(thing.tint.rgb, (90, 90, 90), 0.45),
            0.008 * s,
        )


def _fridge(canvas: Canvas, thing: Thing) -> None:
    block(canvas, thing, (0, 0.92, 0.32), (0.34, 0.92, 0.32), thing.tint.rgb, 40)
    canvas.stroke([canvas.project(at(thing, x, 1.2, 0.645))[:2] for x in (-0.34, 0.34)], (120, 122, 126), 1.5)
    for y0, y1 in ((0.6, 1.1), (1.28, 1.6)):
        canvas.facet(panel(thing, 0.24, y0, 0.27, y1, 0.66), (150, 152, 156))


INTERIOR = {
    "window": against_wall(_window),
    "picture": against_wall(_picture),
    "door": against_wall(_door),
    "bookshelf": against_wall(_bookshelf, 0.2),
    "cabinet": against_wall(_cabinet, 0.3),
    "wardrobe": against_wall(_wardrobe, 0.3),
    "floor lamp": against_wall(_floor_lamp, 0.1),
    "table lamp": against_wall(_table_lamp, 0.4),
    "pendant lamp": against_wall(_pendant),
    "house plant": against_wall(_house_plant, 0.1),
    "television": against_wall(_television, 0.1),
    "counter": against_wall(_counter, 0.3),
    "wall cupboard": against_wall(_wall_cupboard, 0.1),
    "tiles": against_wall(_tiles),
    "fridge": against_wall(_fridge, 0.35),
}
