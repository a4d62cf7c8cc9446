"""Drawing the fittings of offices, schools, gyms, halls and cafes.

Positions are the middle of the foot (on the floor, or on the wall at that height); front looks into the room.
"""

from __future__ import annotations

from math import pi, sin
from random import Random

from clip_har.samples.drawing.canvas import Canvas, mix, shaded
from clip_har.samples.drawing.furniture import block
from clip_har.samples.drawing.solids import against_wall, at, cylinder, panel
from clip_har.samples.geometry import scale
from clip_har.samples.scene import Rgb, Thing

_BOTTLES: tuple[Rgb, ...] = (
    (150, 50, 46),
    (46, 84, 130),
    (200, 170, 96),
    (60, 100, 70),
    (220, 214, 200),
    (84, 60, 96),
    (50, 50, 56),
)


def _whiteboard(canvas: Canvas, thing: Thing) -> None:
    half = thing.size / 2
    canvas.facet(panel(thing, -half - 0.03, -0.03, half + 0.03, 1.03, 0.01), (150, 152, 156))
    canvas.facet(panel(thing, -half, 0, half, 1.0, 0.02), thing.tint.rgb)
    r = Random(thing.seed)
    s = canvas.project(thing.position)[2]
    for i in range(6):
        y, x = 0.85 - 0.13 * i, -half * r.uniform(0.6, 0.9)
        points = [
            canvas.project(at(thing, x + 0.1 * j, y + r.uniform(-0.03, 0.03), 0.03))[:2] for j in range(r.randint(3, 9))
        ]
        canvas.stroke(points, thing.accent.rgb, 0.014 * s, 190)


def _desk_with_screen(canvas: Canvas, thing: Thing) -> None:
    block(canvas, thing, (0, 0.72, 0.35), (thing.size / 2, 0.02, 0.35), thing.tint.rgb, 40)
    for x in (-thing.size / 2 + 0.06, thing.size / 2 - 0.06):
        block(canvas, thing, (x, 0.36, 0.35), (0.03, 0.36, 0.3), shaded(thing.tint.rgb, 0.7))
    canvas.tube(at(thing, 0, 0.74, 0.2), at(thing, 0, 0.9, 0.2), 0.03, (40, 40, 44))
    canvas.facet(panel(thing, -0.3, 0.86, 0.3, 1.22, 0.22), (30, 30, 34))
    canvas.facet(panel(thing, -0.275, 0.885, 0.275, 1.2, 0.23), (120, 150, 190) if thing.seed % 3 else (50, 54, 62))


def _mirror_wall(canvas: Canvas, thing: Thing) -> None:
    half = thing.size / 2
    for i in range(4):
        x0 = -half + i * thing.size / 4
        canvas.facet(
            panel(thing, x0, 0.25, x0 + thing.size / 4 - 0.02, 2.2, 0.01),
            mix(thing.tint.rgb, (200, 214, 220), 0.35 + 0.08 * (i % 2)),
        )
        canvas.facet(panel(thing, x0 + 0.1, 0.4, x0 + 0.35, 2.1, 0.012), (236, 242, 246), alpha=40)


def _weights_rack(canvas: Canvas, thing: Thing) -> None:
    half = thing.size / 2
    for y in (0.3, 0.65, 1.0):
        block(canvas, thing, (0, y, 0.2), (half, 0.02, 0.16), (70, 72, 78), 20)
        for i in range(int(thing.size / 0.24)):
            x = -half + 0.14 + 0.24 * i
            for dx in (-0.06, 0.06):
                canvas.ball(
                    at(thing, x + dx, y + 0.08, 0.3), 0.06, (40, 40, 44) if (i + int(y * 10)) % 3 else thing.accent.rgb
                )
    for x in (-half, half):
        block(canvas, thing, (x, 0.55, 0.2), (0.025, 0.55, 0.16), (56, 58, 62))


def _punching_bag(canvas: Canvas, thing: Thing) -> None:
    canvas.tube(at(thing, 0, 1.75, 0), at(thing, 0, 3.0, 0), 0.012, (120, 122, 126))
    canvas.capsule(at(thing, 0, 0.85, 0), 0.17, at(thing, 0, 1.65, 0), 0.17, thing.tint.rgb)


def _treadmill(canvas: Canvas, thing: Thing) -> None:
    block(canvas, thing, (0, 0.1, 0.5), (0.36, 0.08, 0.75), (44, 44, 48), 40)
    for x in (-0.34, 0.34):
        canvas.tube(at(thing, x, 0.1, -0.1), at(thing, x, 1.25, -0.2), 0.035, (90, 92, 96))
    block(canvas, thing, (0, 1.28, -0.18), (0.38, 0.1, 0.04), (36, 36, 40))


def _stage_lights(canvas: Canvas, thing: Thing) -> None:
    # beams of light from above, for dance floors
    r = Random(thing.seed)
    for i in range(5):
        x = (-0.5 + 0.25 * i) * thing.size
        rgb = (thing.tint.rgb, thing.accent.rgb, (240, 220, 120))[i % 3]
        foot = x + r.uniform(-1.2, 1.2)
        beam = [
            at(thing, x - 0.05, 3.2, 0),
            at(thing, x + 0.05, 3.2, 0),
            at(thing, foot + 0.6, 0, 0.5),
            at(thing, foot - 0.6, 0, 0.5),
        ]
        canvas.facet(beam, rgb, alpha=52)
        canvas.ball(at(thing, x, 3.15, 0), 0.12, mix(rgb, (255, 255, 255), 0.6))


def _fairy_lights(canvas: Canvas, thing: Thing) -> None:
    r = Random(thing.seed)
    for i in range(22):
        x = (-0.5 + i / 22) * thing.size
        p = at(thing, x, 0.15 * sin(i * pi / 5) + r.uniform(-0.03, 0.03), 0.05)
        rgb = mix(thing.accent.rgb, (255, 236, 180), 0.7)
        for radius, alpha in ((0.1, 50), (0.045, 230)):
            canvas.polygon(
                canvas.circle_points(p, scale(canvas.right, radius), scale(canvas.up, radius), fine=False), rgb, alpha
            )


def _column(canvas: Canvas, thing: Thing) -> None:
    cylinder(canvas, at(thing, 0, 0, 0), 0.2 * thing.size, at(thing, 0, 3.4, 0), 0.18 * thing.size, thing.tint.rgb)


def _bar(canvas: Canvas, thing: Thing) -> None:
    # a cafe's counter with bottles behind it
    half = thing.size / 2
    r = Random(thing.seed)
    for y in (1.35, 1.75):
        block(canvas, thing, (0, y, 0.12), (half, 0.015, 0.12), (96, 66, 44), 20)
        for i in range(int(thing.size / 0.16)):
            x, tall = -half + 0.1 + 0.16 * i, r.uniform(0.14, 0.28)
            cylinder(
                canvas,
                at(thing, x, y + 0.02, 0.12),
                0.04,
                at(thing, x, y + 0.02 + tall, 0.12),
                0.025,
                shaded(r.choice(_BOTTLES), 1.1),
            )
    block(canvas, thing, (0, 0.5, 0.95), (half, 0.5, 0.25), thing.tint.rgb, 40)
    block(canvas, thing, (0, 1.02, 0.95), (half + 0.05, 0.025, 0.3), thing.accent.rgb)


def _rail(canvas: Canvas, thing: Thing) -> None:
    for y in (0.9, 1.05):
        canvas.tube(at(thing, -thing.size / 2, y, 0.1), at(thing, thing.size / 2, y, 0.1), 0.02, thing.tint.rgb)


VENUES = {
    "whiteboard": against_wall(_whiteboard),
    "desk with screen": against_wall(_desk_with_screen, 0.3),
    "mirror": against_wall(_mirror_wall),
    "weights rack": against_wall(_weights_rack, 0.2),
    "punching bag": against_wall(_punching_bag),
    "treadmill": against_wall(_treadmill, 0.3),
    "stage lights": against_wall(_stage_lights, 0.4),
    "fairy lights": against_wall(_fairy_lights, 0.05),
    "column": against_wall(_column),
    "bar": against_wall(_bar, 0.6),
    "rail": against_wall(_rail),
}
