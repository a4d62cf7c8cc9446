"""Drawing furniture. Positions are the middle of the foot on the floor; front is the side one sits down from."""

from __future__ import annotations

from functools import partial

from clip_har.samples.drawing.canvas import Canvas, Depths, hull, mix, shaded
from clip_har.samples.drawing.solids import at, cylinder
from clip_har.samples.geometry import Vector, add, scale
from clip_har.samples.scene import Rgb, Thing

SEAT_HEIGHT = 0.45
BED_HEIGHT = 0.5
# seats count as this much farther, so that whoever sits on them is drawn over them
_UNDER = 0.6


def block(canvas: Canvas, thing: Thing, centre: Vector, half: Vector, rgb: Rgb, shadow: int = 30) -> None:
    """A box in a thing's frame."""
    canvas.box(at(thing, *centre), half, thing.frame, rgb, shadow)


def _block(
    canvas: Canvas, depths: Depths, thing: Thing, centre: Vector, half: Vector, rgb: Rgb, farther: float = 0.0
) -> None:
    depths.add(
        canvas.depth(at(thing, *centre)) + farther - thing.nearer, partial(block, canvas, thing, centre, half, rgb)
    )


def _legs(canvas: Canvas, thing: Thing, half_x: float, half_z: float, height: float, radius: float, rgb: Rgb) -> None:
    for x in (-half_x, half_x):
        for z in (-half_z, half_z):
            canvas.tube(at(thing, x, 0, z), at(thing, x * 0.94, height, z * 0.94), radius, rgb)


def _chair(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    wood = thing.tint.rgb
    depth = canvas.depth(at(thing, 0, SEAT_HEIGHT, 0))
    depths.add(
        depth + _UNDER + 0.1,
        partial(_legs, canvas, thing, 0.19, 0.19, SEAT_HEIGHT, 0.018, mix(wood, (20, 20, 20), 0.4)),
    )
    _block(canvas, depths, thing, (0, SEAT_HEIGHT, 0), (0.21, 0.025, 0.21), wood, _UNDER)

    def back() -> None:
        for x in (-0.18, 0.18):
            canvas.tube(at(thing, x, SEAT_HEIGHT, -0.2), at(thing, x, 0.92, -0.24), 0.018, wood)
        block(canvas, thing, (0, 0.8, -0.235), (0.19, 0.11, 0.015), thing.accent.rgb)

    depths.add(canvas.depth(at(thing, 0, 0.75, -0.23)) - thing.nearer, back)


def _office_chair(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    dark = (48, 48, 54)

    def foot() -> None:
        canvas.tube(at(thing, 0, 0.06, 0), at(thing, 0, SEAT_HEIGHT, 0), 0.025, dark)
        for x, z in ((0.26, 0), (-0.26, 0), (0.08, 0.25), (0.08, -0.25)):
            canvas.tube(at(thing, 0, 0.1, 0), at(thing, x, 0.04, z), 0.022, dark)

    depths.add(canvas.depth(at(thing, 0, 0.2, 0)) + _UNDER + 0.1, foot)
    _block(canvas, depths, thing, (0, SEAT_HEIGHT, 0), (0.24, 0.04, 0.23), thing.tint.rgb, _UNDER)
    _block(canvas, depths, thing, (0, 0.82, -0.25), (0.22, 0.3, 0.04), thing.tint.rgb)


def _stool(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    height = thing.size

    def draw() -> None:
        _legs(canvas, thing, 0.15, 0.15, height, 0.016, mix(thing.tint.rgb, (20, 20, 20), 0.35))
        cylinder(
            canvas,
            at(thing, 0, height - 0.03, 0),
            0.18,
            at(thing, 0, height + 0.02, 0),
            0.18,
            thing.tint.rgb,
            thing.tint.rgb,
        )

    depths.add(canvas.depth(at(thing, 0, height, 0)) + _UNDER - thing.nearer, draw)


def _sofa(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    half, rgb = thing.size / 2, thing.tint.rgb
    _block(canvas, depths, thing, (0, 0.55, -0.36), (half, 0.36, 0.1), mix(rgb, (0, 0, 0), 0.08), 0.15)
    _block(canvas, depths, thing, (0, 0.2, 0.02), (half, 0.2, 0.38), mix(rgb, (0, 0, 0), 0.12), _UNDER + 0.1)
    seats = 1 if thing.size < 1.2 else 2 if thing.size < 1.9 else 3
    wide = (half - 0.08) / seats
    for i in range(seats):
        x = -half + 0.08 + wide * (2 * i + 1)
        _block(
            canvas, depths, thing, (x, 0.42, 0.04), (wide * 0.97, 0.05, 0.37), mix(rgb, (255, 255, 255), 0.08), _UNDER
        )
    for x in (-half, half):
        _block(canvas, depths, thing, (x, 0.32, 0.02), (0.08, 0.32, 0.4), rgb, 0.05)
    if thing.seed % 3 == 0 and seats > 1:
        x = half - 0.25
        depths.add(
            canvas.depth(at(thing, x, 0.6, -0.15)) + 0.1,
            lambda: canvas.box(at(thing, x, 0.62, -0.18), (0.19, 0.17, 0.06), thing.frame, thing.accent.rgb, 40),
        )


def _bench(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    half, wood, iron = thing.size / 2, thing.tint.rgb, (52, 54, 56)

    def seat() -> None:
        for x in (-half * 0.85, half * 0.85):
            canvas.tube(at(thing, x, 0, 0.18), at(thing, x, SEAT_HEIGHT, 0.18), 0.025, iron)
            canvas.tube(at(thing, x, 0, -0.2), at(thing, x, SEAT_HEIGHT, -0.2), 0.025, iron)
        for z in (-0.16, 0.0, 0.16):
            block(canvas, thing, (0, SEAT_HEIGHT - 0.02, z), (half, 0.018, 0.065), wood, 20)

    def back() -> None:
        for x in (-half * 0.85, half * 0.85):
            canvas.tube(at(thing, x, SEAT_HEIGHT, -0.22), at(thing, x, 0.88, -0.3), 0.022, iron)
        for y, z in ((0.62, -0.25), (0.8, -0.28)):
            block(canvas, thing, (0, y, z), (half, 0.06, 0.015), wood, 20)

    depths.add(canvas.depth(at(thing, 0, SEAT_HEIGHT, 0)) + _UNDER - thing.nearer, seat)
    depths.add(canvas.depth(at(thing, 0, 0.7, -0.27)) - thing.nearer, back)


def _table(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    half_x, half_z, height, rgb = thing.size / 2, 0.32 * max(1.0, thing.size / 1.4), 0.73, thing.tint.rgb
    edges = [at(thing, x, height, z) for x in (-half_x, half_x) for z in (-half_z, half_z)]
    depth = max(canvas.depth(p) for p in edges) - 0.02

    def draw() -> None:
        _legs(canvas, thing, half_x * 0.9, half_z * 0.85, height, 0.028, mix(rgb, (20, 16, 12), 0.35))
        block(canvas, thing, (0, height - 0.02, 0), (half_x, 0.022, half_z), rgb, 40)

    depths.add(depth - thing.nearer, draw)


def _round_table(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    radius, height = thing.size / 2, 0.73

    def draw() -> None:
        canvas.tube(at(thing, 0, 0, 0), at(thing, 0, height, 0), 0.035, (60, 58, 58))
        cylinder(
            canvas, at(thing, 0, 0, 0), radius * 0.5, at(thing, 0, 0.03, 0), radius * 0.5, (70, 68, 68), (70, 68, 68)
        )
        cylinder(
            canvas,
            at(thing, 0, height - 0.04, 0),
            radius,
            at(thing, 0, height, 0),
            radius,
            thing.tint.rgb,
            thing.tint.rgb,
        )

    depths.add(canvas.depth(thing.position) + radius - 0.02 - thing.nearer, draw)


def _bed(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    # the head is at -x
    half = thing.size / 2
    wood, sheet = thing.accent.rgb, thing.tint.rgb

    def draw() -> None:
        block(canvas, thing, (-1.06, 0.5, 0), (0.04, 0.5, half + 0.03), wood)
        block(canvas, thing, (0, 0.2, 0), (1.04, 0.12, half + 0.02), mix(wood, (0, 0, 0), 0.15))
        block(canvas, thing, (0, BED_HEIGHT - 0.11, 0), (1.02, 0.11, half), sheet, 40)

    depths.add(canvas.depth(thing.position) + 1.6 - thing.nearer, draw)


def _pillow(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    half = 0.25 * thing.size

    def draw() -> None:
        points = []
        for x in (-0.13, 0.13):
            for z in (-half, half):
                points += canvas.circle_points(
                    at(thing, x, 0.04, z), scale(thing.frame[0], 0.06), scale(thing.frame[2], 0.07), fine=False
                )
                points += canvas.circle_points(
                    at(thing, x * 0.8, 0.09, z * 0.8),
                    scale(thing.frame[0], 0.05),
                    scale(thing.frame[1], 0.03),
                    fine=False,
                )
        outline = hull(points)
        x, y, _ = canvas.project(at(thing, 0, 0.07, 0))
        canvas.blob(outline, (x, y), thing.tint.rgb, 50, depth=0.3)

    depths.add(canvas.depth(thing.position) + 0.7 - thing.nearer, draw)


def _blanket(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    # from its position along +x, over a body of height `accent`-independent 0.2 m, hanging over the near edge
    reach, rgb = thing.size, thing.tint.rgb

    def draw() -> None:
        points = []
        for x, high, r in ((0.0, 0.13, 0.15), (reach * 0.45, 0.16, 0.17), (reach * 0.8, 0.1, 0.13), (reach, 0.08, 0.1)):
            points += canvas.circle_points(
                at(thing, x, high, 0.0), scale(thing.frame[0], r * 0.5), scale(thing.frame[1], r), fine=False
            )
            points += [canvas.project(at(thing, x, 0.02, 0.42))[:2], canvas.project(at(thing, x, -0.2, 0.46))[:2]]
        outline = hull(points)
        x, y, s = canvas.project(at(thing, reach * 0.5, 0.16, 0.05))
        canvas.blob(outline, (x, y), rgb, 60, depth=0.35)
        for i in range(4):
            along = reach * (0.12 + 0.24 * i) + 0.03 * ((thing.seed >> i) % 3)
            fold = [
                at(thing, along, 0.24, 0.02),
                at(thing, along + 0.06, 0.12, 0.25),
                at(thing, along - 0.02, -0.14, 0.45),
            ]
            canvas.stroke([canvas.project(p)[:2] for p in fold], mix(rgb, (0, 0, 0), 0.5), 0.02 * s, 80)
            canvas.stroke(
                [(a - 0.02 * s, b) for a, b, _ in map(canvas.project, fold)],
                mix(rgb, (255, 255, 255), 0.5),
                0.014 * s,
                70,
            )
        hem = [
            canvas.project(at(thing, 0.02, y, z))[:2]
            for y, z in ((0.3, -0.05), (0.26, 0.12), (0.05, 0.4), (-0.18, 0.46))
        ]
        canvas.stroke(hem, thing.accent.rgb, 0.05 * s, 220)

    depths.add(canvas.depth(at(thing, 0, 0, 0.35)) - 0.1 - thing.nearer, draw)


def _rug(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    def draw() -> None:
        for size, rgb in ((1.0, thing.tint.rgb), (0.86, thing.accent.rgb), (0.78, thing.tint.rgb)):
            corners = [
                at(thing, x * thing.size * size, 0.004, z * thing.size * 0.6 * size)
                for x, z in ((-1, -1), (1, -1), (1, 1), (-1, 1))
            ]
            canvas.facet(corners, shaded(rgb, 0.85))

    depths.add(canvas.depth(thing.position) + 6.0, draw)


def _wall_seat(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    # a low wall or a broad step to sit on
    def draw() -> None:
        block(canvas, thing, (0, SEAT_HEIGHT / 2, -0.05), (thing.size / 2, SEAT_HEIGHT / 2, 0.24), thing.tint.rgb, 40)

    depths.add(canvas.depth(thing.position) + _UNDER + 0.1 - thing.nearer, draw)


def _stove(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    # stands before a cook, its controls towards the cook
    def draw() -> None:
        block(canvas, thing, (0, 0.44, 0), (0.42, 0.44, 0.28), thing.tint.rgb, 40)
        block(canvas, thing, (0, 0.89, 0), (0.43, 0.012, 0.29), (52, 54, 58), 0)
        for x, z in ((-0.2, -0.1), (0.2, -0.1), (-0.2, 0.12), (0.2, 0.12)):
            canvas.polygon(
                canvas.circle_points(at(thing, x, 0.905, z), (0.09, 0, 0), (0, 0, 0.09), fine=False), (26, 26, 28)
            )

    edges = [at(thing, x, 0.9, z) for x in (-0.4, 0.4) for z in (-0.28, 0.28)]
    depths.add(max(canvas.depth(p) for p in edges) - 0.02, draw)


def _low_table(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    half, height = thing.size / 2, 0.42

    def draw() -> None:
        _legs(canvas, thing, half * 0.9, 0.22, height, 0.022, mix(thing.tint.rgb, (20, 16, 12), 0.35))
        block(canvas, thing, (0, height - 0.02, 0), (half, 0.02, 0.26), thing.tint.rgb, 40)

    depths.add(canvas.depth(thing.position) + 0.3 - thing.nearer, draw)


def _blanket_on_ground(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    def draw() -> None:
        half = thing.size / 2
        for i in range(6):
            for j in range(4):
                rgb = thing.tint.rgb if (i + j) % 2 else thing.accent.rgb
                x, z = -half + thing.size * i / 6, -half * 0.7 + thing.size * 0.7 * j / 4
                corners = [
                    at(thing, x + a * thing.size / 6, 0.006, z + b * thing.size * 0.7 / 4)
                    for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))
                ]
                canvas.facet(corners, shaded(rgb, 0.92))

    depths.add(canvas.depth(thing.position) + 6.0, draw)


def _easel(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    # the painted side looks along its front
    def draw() -> None:
        wood = (150, 112, 72)
        for x in (-0.28, 0.28):
            canvas.tube(at(thing, x * 1.3, 0, 0.1), at(thing, x * 0.25, 1.75, -0.08), 0.018, wood)
        canvas.tube(at(thing, 0, 0, -0.5), at(thing, 0, 1.6, -0.08), 0.018, wood)
        block(canvas, thing, (0, 1.22, 0), (0.36, 0.27, 0.012), (240, 238, 230), 50)
        from_front = (
            sum((a - b) * c for a, b, c in zip(canvas.position, thing.position, thing.frame[2], strict=True)) > 0
        )
        if from_front:
            for i in range(7):
                u, v = ((thing.seed >> (3 * i)) % 8) / 8, ((thing.seed >> (2 * i + 5)) % 8) / 8
                rgb = (thing.tint.rgb, thing.accent.rgb, (226, 186, 70), (70, 120, 170))[i % 4]
                left, up = scale(thing.frame[0], 0.09), scale(thing.frame[1], 0.055)
                patch = canvas.circle_points(
                    add(at(thing, -0.24 + 0.48 * u, 1.05 + 0.34 * v, 0.014), (0, 0, 0)), left, up, fine=False
                )
                canvas.polygon(patch, rgb)

    depths.add(canvas.depth(at(thing, 0, 1.2, 0)) - thing.nearer, draw)


FURNITURE = {
    "chair": _chair,
    "office chair": _office_chair,
    "stool": _stool,
    "sofa": _sofa,
    "bench": _bench,
    "table": _table,
    "round table": _round_table,
    "low table": _low_table,
    "bed": _bed,
    "pillow": _pillow,
    "blanket": _blanket,
    "rug": _rug,
    "low wall": _wall_seat,
    "stove": _stove,
    "picnic blanket": _blanket_on_ground,
    "easel": _easel,
}
