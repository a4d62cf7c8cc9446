"""Drawing vehicles, instruments, tools and sports gear: what people ride, push, play, swing or lift."""

from __future__ import annotations

from functools import partial
from math import cos, pi, radians, sin

from clip_har.samples.drawing.canvas import Canvas, Depths, mix, shaded
from clip_har.samples.drawing.solids import at, cylinder
from clip_har.samples.geometry import add, dot, point_in, scale, subtract
from clip_har.samples.scene import Thing

WHEEL_RADIUS, WHEELBASE = 0.34, 1.04
SADDLE, HANDLEBAR = (0.0, 0.93, -0.2), (0.24, 1.03, 0.36)
CRANK = (0.0, 0.3, -0.05)
CRANK_LENGTH = 0.17


def _wheel(canvas: Canvas, thing: Thing, z: float) -> None:
    centre = at(thing, 0, WHEEL_RADIUS, z)
    up, front = scale(thing.frame[1], WHEEL_RADIUS), scale(thing.frame[2], WHEEL_RADIUS)
    s = canvas.project(centre)[2]
    if s > 40:
        for i in range(9):
            a = i * pi / 9 + thing.seed % 7
            spoke = add(scale(up, sin(a)), scale(front, cos(a)))
            ends = [canvas.project(add(centre, scale(spoke, t)))[:2] for t in (-0.95, 0.95)]
            canvas.stroke(ends, (170, 172, 176), 0.006 * s, 200)
    canvas.ring(centre, scale(up, 0.92), scale(front, 0.92), 0.016, (176, 178, 182))
    canvas.ring(centre, up, front, 0.042, (34, 34, 38))
    canvas.ball(centre, 0.03, (90, 92, 96))


def _frame_tubes(canvas: Canvas, thing: Thing) -> None:
    rgb, r = thing.tint.rgb, 0.019
    crank, seat, head = at(thing, *CRANK), at(thing, 0, 0.83, -0.19), at(thing, 0, 0.84, 0.36)
    rear, low = at(thing, 0, WHEEL_RADIUS, -0.52), at(thing, 0, 0.7, 0.4)
    canvas.ring(crank, scale(thing.frame[1], 0.09), scale(thing.frame[2], 0.09), 0.016, (70, 72, 76))
    for a, b in ((rear, crank), (rear, seat), (crank, seat), (crank, low), (seat, head)):
        canvas.tube(a, b, r, rgb)
    canvas.tube(seat, at(thing, *SADDLE), 0.014, (120, 122, 126))
    canvas.capsule(at(thing, 0, 0.93, -0.3), 0.05, at(thing, 0, 0.935, -0.08), 0.022, (38, 36, 38))
    for sign in (-1, 1):
        angle = radians(thing.seed % 360) + (pi if sign > 0 else 0)
        pedal = at(thing, 0.09 * sign, CRANK[1] + CRANK_LENGTH * sin(angle), CRANK[2] + CRANK_LENGTH * cos(angle))
        canvas.tube(at(thing, 0.05 * sign, CRANK[1], CRANK[2]), pedal, 0.013, (90, 92, 96))


def _fork(canvas: Canvas, thing: Thing) -> None:
    x, y, z = HANDLEBAR
    canvas.tube(at(thing, 0, WHEEL_RADIUS, 0.52), at(thing, 0, 0.86, 0.355), 0.018, thing.tint.rgb)
    canvas.tube(at(thing, 0, 0.86, 0.355), at(thing, 0, 1.02, 0.33), 0.015, (110, 112, 116))
    canvas.tube(at(thing, -x, y, z), at(thing, x, y, z), 0.014, (70, 72, 76))
    for sign in (-1, 1):
        canvas.tube(at(thing, sign * x, y, z), at(thing, sign * x * 1.04, y - 0.01, z - 0.1), 0.018, (30, 30, 34))


def _bicycle(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    depths.add(canvas.depth(at(thing, 0, 0.35, -0.52)), partial(_wheel, canvas, thing, -0.52))
    depths.add(canvas.depth(at(thing, 0, 0.5, 0)), partial(_frame_tubes, canvas, thing))
    depths.add(canvas.depth(at(thing, 0, 0.35, 0.52)), partial(_wheel, canvas, thing, 0.52))
    depths.add(canvas.depth(at(thing, 0, 0.8, 0.4)) - 0.01, partial(_fork, canvas, thing))


def _guitar(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    # body at its position, neck along its up axis, strings on its front
    def draw() -> None:
        k = thing.size
        left, up, front = thing.frame
        back = dot(front, subtract(canvas.position, thing.position)) < 0
        rgb = mix(thing.tint.rgb, (0, 0, 0), 0.3) if back else thing.tint.rgb
        for y, r, share in ((-0.1, 0.175, 0.85), (0.14, 0.135, 0.85), (0.02, 0.115, 1.2)):
            side = canvas.circle_points(at(thing, 0, y * k, -0.04 * k), scale(left, r * k), scale(up, r * k * share))
            canvas.polygon(side, shaded(mix(rgb, (30, 14, 6), 0.55), 0.8))
        for y, r, share in ((-0.1, 0.175, 0.85), (0.14, 0.135, 0.85), (0.02, 0.115, 1.2)):
            face = canvas.circle_points(at(thing, 0, y * k, 0.03 * k), scale(left, r * k), scale(up, r * k * share))
            canvas.polygon(face, shaded(rgb, canvas.brightness(front) if not back else 0.7))
        neck = [
            at(thing, x * k, y * k, 0.035 * k) for x, y in ((-0.026, 0.08), (0.026, 0.08), (0.02, 0.66), (-0.02, 0.66))
        ]
        canvas.facet(neck, (70, 46, 32))
        headstock = [
            at(thing, x * k, y * k, 0.033 * k) for x, y in ((-0.03, 0.66), (0.03, 0.66), (0.042, 0.8), (-0.042, 0.8))
        ]
        canvas.facet(headstock, (96, 62, 40))
        if not back:
            hole = canvas.circle_points(
                at(thing, 0, 0.06 * k, 0.034 * k), scale(left, 0.052 * k), scale(up, 0.052 * k), fine=False
            )
            canvas.polygon(hole, (32, 22, 18))
            canvas.facet(
                [
                    at(thing, x * k, y * k, 0.035 * k)
                    for x, y in ((-0.06, -0.14), (0.06, -0.14), (0.06, -0.115), (-0.06, -0.115))
                ],
                (60, 38, 26),
            )
            ends = [canvas.project(at(thing, 0, y * k, 0.04 * k))[:2] for y in (-0.12, 0.66)]
            canvas.stroke(ends, (230, 226, 210), 0.012 * k * canvas.project(thing.position)[2], 160)

    depths.add(canvas.depth(thing.position) - 0.08 - thing.nearer, draw)


def _broom(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    # stick along its up axis, ending at its position
    def draw() -> None:
        canvas.tube(thing.position, at(thing, 0, thing.size, 0), 0.014, thing.tint.rgb)
        corners = [at(thing, x, y, 0) for x, y in ((-0.07, 0.1), (0.07, 0.1), (0.19, -0.12), (-0.19, -0.12))]
        canvas.facet(corners, (206, 172, 96))
        canvas.facet(
            [at(thing, x, y, 0.002) for x, y in ((-0.075, 0.06), (0.075, 0.06), (0.085, 0.03), (-0.085, 0.03))],
            thing.accent.rgb,
        )
        s = canvas.project(thing.position)[2]
        for i in range(5):
            x = -0.6 + 0.3 * i
            canvas.stroke(
                [canvas.project(at(thing, x * a, y, 0.003))[:2] for a, y in ((0.1, 0.03), (0.28, -0.11))],
                (150, 116, 56),
                0.008 * s,
                160,
            )

    depths.add(canvas.depth(at(thing, 0, thing.size * 0.5, 0)) - 0.05 - thing.nearer, draw)


def _dumbbell(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    # along its left axis
    def draw() -> None:
        k = thing.size
        canvas.tube(at(thing, -0.12 * k, 0, 0), at(thing, 0.12 * k, 0, 0), 0.015, (150, 152, 156))
        for sign in (-1, 1):
            cylinder(
                canvas,
                at(thing, 0.075 * k * sign, 0, 0),
                0.058 * k,
                at(thing, 0.13 * k * sign, 0, 0),
                0.058 * k,
                thing.tint.rgb,
                mix(thing.tint.rgb, (255, 255, 255), 0.2),
            )

    depths.add(canvas.depth(thing.position) - 0.03 - thing.nearer, draw)


def _barbell(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    def plates(sign: float) -> None:
        for x, r, rgb in ((0.62, 0.2, thing.tint.rgb), (0.68, 0.16, mix(thing.tint.rgb, (0, 0, 0), 0.4))):
            cylinder(
                canvas,
                at(thing, x * sign, 0, 0),
                r,
                at(thing, (x + 0.045) * sign, 0, 0),
                r,
                rgb,
                mix(rgb, (255, 255, 255), 0.15),
            )

    depths.add(
        canvas.depth(thing.position) - 0.04,
        lambda: canvas.tube(at(thing, -0.85, 0, 0), at(thing, 0.85, 0, 0), 0.016, (168, 170, 174)),
    )
    for sign in (-1.0, 1.0):
        depths.add(canvas.depth(at(thing, 0.62 * sign, 0, 0)) - 0.03, partial(plates, sign))


def _brush(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    def draw() -> None:
        canvas.tube(at(thing, 0, -0.1, 0), at(thing, 0, 0.11, 0), 0.009, (176, 138, 90))
        canvas.tube(at(thing, 0, 0.11, 0), at(thing, 0, 0.16, 0), 0.014, thing.tint.rgb)

    depths.add(canvas.depth(thing.position) - 0.05, draw)


def _palette(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    def draw() -> None:
        left, up, _ = thing.frame
        canvas.polygon(canvas.circle_points(thing.position, scale(left, 0.17), scale(up, 0.12)), (186, 146, 98))
        for i, rgb in enumerate(((200, 50, 44), (60, 100, 180), (230, 190, 60), (70, 140, 80), (240, 240, 236))):
            a = 0.6 + i * 0.9
            spot = point_in(thing.position, thing.frame, 0.11 * cos(a), 0.075 * sin(a), 0.004)
            canvas.polygon(canvas.circle_points(spot, scale(left, 0.028), scale(up, 0.022), fine=False), rgb)

    depths.add(canvas.depth(thing.position) - 0.02, draw)


def _pan(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    # handle towards its front
    def draw() -> None:
        k = thing.size
        cylinder(canvas, thing.position, 0.115 * k, at(thing, 0, 0.05, 0), 0.135 * k, (50, 50, 54), (34, 32, 34))
        canvas.tube(at(thing, 0, 0.045, 0.13 * k), at(thing, 0, 0.07, 0.34 * k), 0.014, (34, 32, 34))
        for i, rgb in enumerate((thing.tint.rgb, thing.accent.rgb, (110, 160, 66), (232, 200, 90))):
            a = thing.seed + 1.7 * i
            canvas.ball(at(thing, 0.06 * k * cos(a), 0.052, 0.06 * k * sin(a)), 0.03 * k, rgb)

    depths.add(canvas.depth(thing.position) - 0.1 - thing.nearer, draw)


def _pot(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    def draw() -> None:
        cylinder(canvas, thing.position, 0.12, at(thing, 0, 0.15, 0), 0.12, thing.tint.rgb, (206, 120, 60))
        for sign in (-1, 1):
            canvas.tube(at(thing, 0.12 * sign, 0.12, 0), at(thing, 0.16 * sign, 0.12, 0), 0.012, (40, 40, 42))

    depths.add(canvas.depth(thing.position) - 0.08 - thing.nearer, draw)


def _steam(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    def draw() -> None:
        for i in range(5):
            spread = 0.05 + 0.025 * i
            p = at(thing, 0.04 * sin(thing.seed + 1.3 * i), 0.06 + 0.09 * i, 0)
            canvas.polygon(
                canvas.circle_points(p, (spread, 0, 0), (0, spread, 0), fine=False), (244, 244, 244), 46 - 7 * i
            )

    depths.add(canvas.depth(thing.position) - 0.2, draw)


def _spatula(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    # handle at its position, blade along its up axis
    def draw() -> None:
        canvas.tube(at(thing, 0, -0.08, 0), at(thing, 0, 0.24, 0), 0.012, thing.tint.rgb)
        canvas.facet(
            [at(thing, x, y, 0) for x, y in ((-0.035, 0.22), (0.035, 0.22), (0.045, 0.33), (-0.045, 0.33))],
            mix(thing.tint.rgb, (0, 0, 0), 0.2),
        )

    depths.add(canvas.depth(thing.position) - 0.04, draw)


def _shopping_cart(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    # handle at its back
    steel = (150, 154, 160)

    def draw() -> None:
        s = canvas.project(thing.position)[2]
        bottom = [at(thing, x, 0.48, z) for x, z in ((-0.2, -0.28), (0.2, -0.28), (0.2, 0.38), (-0.2, 0.38))]
        top = [at(thing, x, 0.92, z) for x, z in ((-0.27, -0.34), (0.27, -0.34), (0.27, 0.46), (-0.27, 0.46))]
        for p in bottom:
            canvas.tube(add(p, (0, -0.38, 0)), p, 0.014, steel)
            canvas.ball(add(p, (0, -0.42, 0)), 0.06, (40, 40, 44))
        for i, rgb in enumerate((thing.tint.rgb, thing.accent.rgb, (226, 196, 80), (90, 150, 90))):
            canvas.box(
                at(thing, -0.1 + 0.2 * (i % 2), 0.66 + 0.07 * (i // 2), -0.12 + 0.3 * (i // 2)),
                (0.09, 0.15, 0.1),
                thing.frame,
                rgb,
                30,
            )
        for i in range(4):
            j = (i + 1) % 4
            for t in (0.0, 0.33, 0.66, 1.0):
                a = [b + (c - b) * t for b, c in zip(bottom[i], top[i], strict=True)]
                b2 = [b + (c - b) * t for b, c in zip(bottom[j], top[j], strict=True)]
                canvas.stroke([canvas.project(a)[:2], canvas.project(b2)[:2]], steel, 0.014 * s, 230)
            for t in (0.0, 0.25, 0.5, 0.75):
                low = [b + (c - b) * t for b, c in zip(bottom[i], bottom[j], strict=True)]
                high = [b + (c - b) * t for b, c in zip(top[i], top[j], strict=True)]
                canvas.stroke([canvas.project(low)[:2], canvas.project(high)[:2]], steel, 0.01 * s, 210)
        canvas.tube(at(thing, -0.27, 1.0, -0.42), at(thing, 0.27, 1.0, -0.42), 0.022, thing.tint.rgb)
        for x in (-0.27, 0.27):
            canvas.tube(at(thing, x, 0.92, -0.34), at(thing, x, 1.0, -0.42), 0.014, steel)

    depths.add(canvas.depth(at(thing, 0, 0.6, 0)), draw)


def _pram(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    def draw() -> None:
        for x in (-0.25, 0.25):
            for z, r in ((-0.3, 0.15), (0.36, 0.13)):
                canvas.ring(at(thing, x, r, z), scale(thing.frame[1], r), scale(thing.frame[2], r), 0.035, (40, 40, 44))
            canvas.tube(at(thing, x, 0.15, -0.3), at(thing, x, 1.0, -0.42), 0.014, (120, 122, 126))
            canvas.tube(at(thing, x, 0.14, 0.36), at(thing, x, 0.6, -0.2), 0.014, (120, 122, 126))
        canvas.box(at(thing, 0, 0.55, 0.06), (0.22, 0.16, 0.36), thing.frame, thing.tint.rgb, 40)
        hood = [
            at(thing, x, y, z) for y, z in ((0.7, 0.2), (0.98, 0.12), (1.02, -0.1), (0.72, -0.3)) for x in (-0.23, 0.23)
        ]
        from_hood = [canvas.project(p)[:2] for p in hood]
        from clip_har.samples.drawing.canvas import hull

        outline = hull(from_hood)
        canvas.blob(
            outline,
            (sum(p[0] for p in outline) / len(outline), sum(p[1] for p in outline) / len(outline)),
            thing.accent.rgb,
            30,
        )
        canvas.tube(at(thing, -0.25, 1.0, -0.42), at(thing, 0.25, 1.0, -0.42), 0.02, (36, 36, 40))

    depths.add(canvas.depth(at(thing, 0, 0.6, 0)), draw)


def _crate(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    def draw() -> None:
        half = 0.36 * thing.size
        canvas.box(at(thing, 0, half, 0), (half, half, half), thing.frame, thing.tint.rgb, 50)
        front = [
            at(thing, x * half, half + y * half, half * 1.001) for x, y in ((-0.2, -1), (0.2, -1), (0.2, 1), (-0.2, 1))
        ]
        if dot(thing.frame[2], subtract(canvas.position, thing.position)) > half:
            canvas.facet(front, mix(thing.tint.rgb, (255, 240, 210), 0.3), thing.frame[2])

    depths.add(canvas.depth(thing.position), draw)


def _boxing_glove(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    def draw() -> None:
        canvas.ball(thing.position, 0.075 * thing.size, thing.tint.rgb, 50)

    depths.add(canvas.depth(thing.position) - 0.09, draw)


EQUIPMENT = {
    "bicycle": _bicycle,
    "guitar": _guitar,
    "broom": _broom,
    "dumbbell": _dumbbell,
    "barbell": _barbell,
    "brush": _brush,
    "palette": _palette,
    "pan": _pan,
    "pot": _pot,
    "steam": _steam,
    "spatula": _spatula,
    "shopping cart": _shopping_cart,
    "pram": _pram,
    "crate": _crate,
    "boxing glove": _boxing_glove,
}
