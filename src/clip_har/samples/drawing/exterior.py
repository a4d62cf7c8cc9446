"""Drawing what stands outdoors: trees, bushes, houses, cars, street furniture, what one finds on beaches and fields."""

from __future__ import annotations

from itertools import pairwise
from math import cos, pi, sin
from random import Random

from clip_har.samples.drawing.canvas import Canvas, mix, shaded
from clip_har.samples.drawing.furniture import block
from clip_har.samples.drawing.solids import at, one_step, panel
from clip_har.samples.geometry import add, scale
from clip_har.samples.scene import Thing


def _leaves(
    canvas: Canvas, thing: Thing, centre: tuple[float, float, float], spread: float, count: int, seed: int
) -> None:
    r = Random(seed)
    x, y, s = canvas.project(at(thing, *centre))
    clumps = []
    for _ in range(count):
        a, d = r.uniform(0, 2 * pi), spread * s * r.random() ** 0.6
        clumps.append((x + d * cos(a), y + 0.8 * d * sin(a), spread * s * r.uniform(0.22, 0.4), r.random()))
    lx, ly, _ = canvas.light_in_picture
    for px, py, radius, mood in sorted(clumps, key=lambda c: (c[0] - x) * lx + (c[1] - y) * ly):
        # clumps on the side of the light are lighter and drawn last
        lit = ((px - x) * lx + (py - y) * ly) / (spread * s + 1e-6)
        rgb = shaded(thing.tint.rgb, 0.72 + 0.3 * lit + 0.2 * mood)
        points = [(px + radius * cos(k * pi / 4 + mood), py + radius * sin(k * pi / 4 + mood)) for k in range(8)]
        canvas.polygon(points, rgb)


def _tree(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    canvas.capsule(at(thing, 0, 0, 0), 0.05 * k, at(thing, 0.02 * k, 0.55 * k, 0), 0.03 * k, thing.accent.rgb, 20)
    canvas.capsule(
        at(thing, 0, 0.4 * k, 0), 0.025 * k, at(thing, 0.14 * k, 0.66 * k, 0), 0.012 * k, thing.accent.rgb, 0
    )
    _leaves(canvas, thing, (0, 0.72 * k, 0), 0.27 * k, 26, thing.seed)


def _pine(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    canvas.tube(at(thing, 0, 0, 0), at(thing, 0, 0.4 * k, 0), 0.03 * k, thing.accent.rgb)
    for i in range(5):
        low, wide = 0.14 + 0.16 * i, 0.22 * (1 - 0.17 * i)
        tip, left, right = (
            canvas.project(at(thing, x * k, y * k, 0))[:2] for x, y in ((0, low + 0.3), (-wide, low), (wide, low))
        )
        middle = canvas.project(at(thing, 0, (low - 0.03) * k, 0))[:2]
        canvas.polygon([tip, left, middle], shaded(thing.tint.rgb, 0.95))
        canvas.polygon([tip, middle, right], shaded(thing.tint.rgb, 0.68))


def _palm(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    bend = 0.15 * k * (1 if thing.seed % 2 else -1)
    points = [at(thing, bend * t * t, k * 0.85 * t, 0) for t in (0, 0.3, 0.6, 0.85, 1)]
    for a, b in pairwise(points):
        canvas.tube(a, b, 0.02 * k, thing.accent.rgb)
    x, y, s = canvas.project(points[-1])
    for i in range(9):
        a = -pi * 0.05 + i * pi * 1.1 / 8
        length = 0.32 * k * s
        tip = (x + length * cos(a), y - length * 0.55 * sin(a) + 0.12 * length)
        bow = (x + 0.55 * length * cos(a), y - length * 0.6 * sin(a) - 0.1 * length)
        canvas.polygon([(x, y), bow, tip, (bow[0], bow[1] + 0.1 * length)], shaded(thing.tint.rgb, 0.6 + 0.1 * (i % 4)))


def _bush(canvas: Canvas, thing: Thing) -> None:
    _leaves(canvas, thing, (0, 0.4 * thing.size, 0), 0.55 * thing.size, 16, thing.seed)


def _flower_bed(canvas: Canvas, thing: Thing) -> None:
    r = Random(thing.seed)
    for _ in range(4):
        _leaves(canvas, thing, (r.uniform(-1, 1) * thing.size, 0.12, 0), 0.25, 6, r.randrange(1000))
    for _ in range(26):
        p = at(thing, r.uniform(-1.1, 1.1) * thing.size, r.uniform(0.1, 0.42), r.uniform(0, 0.3))
        canvas.polygon(
            canvas.circle_points(p, scale(canvas.right, 0.05), scale(canvas.up, 0.05), fine=False),
            r.choice((thing.accent.rgb, (236, 206, 80), (224, 96, 120))),
        )


def _building(canvas: Canvas, thing: Thing) -> None:
    r = Random(thing.seed)
    half, floors = thing.size / 2, r.randint(3, 6)
    high = 0.9 + 3.0 * floors
    canvas.box(at(thing, 0, high / 2, -3), (half, high / 2, 3), thing.frame, thing.tint.rgb)
    glass = mix(thing.accent.rgb, (120, 140, 160), 0.6)
    count = max(2, int(thing.size / 2.2))
    for floor in range(min(floors, 3)):
        y = 1.0 + 3.0 * floor
        for i in range(count):
            x = -half + thing.size * (i + 0.5) / count
            if floor == 0 and r.random() < 0.45:
                canvas.facet(panel(thing, x - 0.8, 0, x + 0.8, 2.5, 0.02), shaded(thing.accent.rgb, 0.55))
                canvas.facet(
                    panel(thing, x - 0.95, 2.5, x + 0.95, 2.85, 0.3),
                    r.choice(((150, 44, 40), (40, 90, 70), (50, 70, 110), (200, 170, 110))),
                )
                continue
            canvas.facet(panel(thing, x - 0.5, y, x + 0.5, y + 1.5, 0.02), mix(thing.tint.rgb, (255, 255, 255), 0.3))
            lit = r.random() < 0.12
            canvas.facet(
                panel(thing, x - 0.42, y + 0.06, x + 0.42, y + 1.44, 0.03),
                (250, 224, 160) if lit else shaded(glass, r.uniform(0.6, 1.0)),
            )
    canvas.facet(panel(thing, -half, 3.2, half, 3.4, 0.05), shaded(thing.tint.rgb, 0.8))


def _house(canvas: Canvas, thing: Thing) -> None:
    half = thing.size / 2
    canvas.box(at(thing, 0, 1.5, -2), (half, 1.5, 2), thing.frame, thing.tint.rgb)
    roof = [
        at(thing, x, y, z)
        for x, y, z in ((-half - 0.3, 2.9, 0.1), (half + 0.3, 2.9, 0.1), (half * 0.6, 4.6, -2), (-half * 0.6, 4.6, -2))
    ]
    canvas.facet(roof, thing.accent.rgb)
    for x in (-half * 0.55, half * 0.55):
        canvas.facet(panel(thing, x - 0.55, 0.9, x + 0.55, 2.1, 0.02), (236, 234, 228))
        canvas.facet(panel(thing, x - 0.47, 0.98, x + 0.47, 2.02, 0.03), (110, 130, 150))
    canvas.facet(panel(thing, -0.45, 0, 0.45, 2.1, 0.02), (96, 66, 50))


def _wall(canvas: Canvas, thing: Thing) -> None:
    # masonry behind the subject
    half, high = thing.size / 2, 3.2
    corners = panel(thing, -half, 0, half, high)
    canvas.sheet(corners, thing.tint.rgb, thing.frame[2], fade=-0.2)
    s = canvas.project(thing.position)[2]
    joint = mix(thing.tint.rgb, (40, 30, 26), 0.35)
    rows = int(high / 0.2)
    for row in range(rows):
        y = 0.2 * row
        canvas.stroke([canvas.project(at(thing, x, y, 0.01))[:2] for x in (-half, half)], joint, 0.014 * s, 150)
        if s > 60:
            for i in range(int(3.2 / 0.45)):
                x = thing.accent.rgb[0] % 3 * 0.1 - 1.6 + 0.45 * i + 0.22 * (row % 2)
                canvas.stroke([canvas.project(at(thing, x, y + d, 0.01))[:2] for d in (0, 0.2)], joint, 0.014 * s, 130)


def _car(canvas: Canvas, thing: Thing) -> None:
    rgb = thing.tint.rgb
    outline = [
        (-2.1, 0.35),
        (-2.1, 0.8),
        (-1.45, 0.92),
        (-0.9, 1.4),
        (0.75, 1.42),
        (1.3, 0.95),
        (2.0, 0.82),
        (2.1, 0.4),
    ]
    canvas.facet(
        [at(thing, x, 0.03, z) for x, z in ((-2.1, -0.8), (2.1, -0.8), (2.1, 0.9), (-2.1, 0.9))],
        (20, 20, 24),
        alpha=110,
    )
    canvas.facet([at(thing, x, y, 0.75) for x, y in outline], rgb)
    canvas.facet(
        [at(thing, x, y, 0.755) for x, y in ((-2.1, 0.35), (2.1, 0.4), (2.1, 0.6), (-2.1, 0.6))], shaded(rgb, 0.72)
    )
    canvas.facet(
        [at(thing, x, y, 0.76) for x, y in ((-1.3, 0.93), (-0.85, 1.33), (-0.1, 1.34), (-0.1, 0.93))], (60, 74, 88)
    )
    canvas.facet(
        [at(thing, x, y, 0.76) for x, y in ((0.0, 0.93), (0.0, 1.34), (0.7, 1.34), (1.15, 0.95))], (70, 84, 98)
    )
    for x in (-1.35, 1.35):
        for r, tone in ((0.34, (26, 26, 28)), (0.2, (150, 152, 156))):
            canvas.polygon(canvas.circle_points(at(thing, x, 0.34, 0.78), scale(thing.frame[0], r), (0, r, 0)), tone)


def _lamp_post(canvas: Canvas, thing: Thing) -> None:
    canvas.tube(at(thing, 0, 0, 0), at(thing, 0, 3.6, 0), 0.05, (52, 56, 58))
    canvas.tube(at(thing, 0, 3.55, 0), at(thing, 0.5, 3.75, 0), 0.035, (52, 56, 58))
    canvas.ball(at(thing, 0.5, 3.68, 0), 0.14, (255, 244, 210))


def _fence(canvas: Canvas, thing: Thing) -> None:
    half = thing.size / 2
    for y in (0.4, 0.85):
        block(canvas, thing, (0, y, 0), (half, 0.05, 0.015), thing.tint.rgb)
    for i in range(int(thing.size / 0.3)):
        block(canvas, thing, (-half + 0.3 * i, 0.52, 0.02), (0.05, 0.52, 0.012), shaded(thing.tint.rgb, 0.92))


def _railing(canvas: Canvas, thing: Thing) -> None:
    half = thing.size / 2
    canvas.tube(at(thing, -half, 1.0, 0), at(thing, half, 1.0, 0), 0.03, thing.tint.rgb)
    for i in range(int(thing.size / 0.4)):
        canvas.tube(at(thing, -half + 0.4 * i, 0, 0), at(thing, -half + 0.4 * i, 1.0, 0), 0.014, thing.tint.rgb)


def _parasol(canvas: Canvas, thing: Thing) -> None:
    canvas.tube(at(thing, 0, 0, 0), at(thing, 0.1, 2.2, 0), 0.025, (220, 216, 206))
    count = 6
    for i in range(count):
        a, b = pi * i / count, pi * (i + 1) / count
        wedge = [
            at(thing, 0.1, 2.35, 0),
            at(thing, 0.1 - 1.25 * cos(a), 1.75 + 0.1 * sin(a), 0.2),
            at(thing, 0.1 - 1.25 * cos(b), 1.75 + 0.1 * sin(b), 0.2),
        ]
        canvas.facet(wedge, thing.tint.rgb if i % 2 else thing.accent.rgb)


def _goal(canvas: Canvas, thing: Thing) -> None:
    for a, b in (((-2.5, 0), (-2.5, 2.2)), ((-2.5, 2.2), (2.5, 2.2)), ((2.5, 2.2), (2.5, 0))):
        canvas.tube(at(thing, *a, 0), at(thing, *b, 0), 0.06, (240, 240, 240))
    s = canvas.project(thing.position)[2]
    for i in range(18):
        x = -2.5 + 0.28 * i
        canvas.stroke([canvas.project(at(thing, x, y, -0.3))[:2] for y in (0, 2.2)], (230, 230, 230), 0.012 * s, 120)
    for i in range(8):
        canvas.stroke(
            [canvas.project(at(thing, x, 0.28 * i, -0.3))[:2] for x in (-2.5, 2.5)], (230, 230, 230), 0.012 * s, 120
        )


def _stand(canvas: Canvas, thing: Thing) -> None:
    # rows of spectators far away
    r = Random(thing.seed)
    for row in range(6):
        canvas.facet(
            panel(thing, -14, 0.5 * row, 14, 0.5 * row + 0.5, -0.6 * row), shaded(thing.tint.rgb, 0.7 + 0.05 * row)
        )
        for _ in range(26):
            p = at(thing, r.uniform(-9, 9), 0.5 * row + 0.55, -0.6 * row + 0.05)
            rgb = r.choice(((180, 50, 46), (50, 80, 150), (230, 226, 220), (40, 40, 46), (220, 180, 70)))
            canvas.polygon(canvas.circle_points(p, scale(canvas.right, 0.2), scale(canvas.up, 0.3), fine=False), rgb)
            canvas.polygon(
                canvas.circle_points(
                    add(p, (0, 0.36, 0)), scale(canvas.right, 0.11), scale(canvas.up, 0.13), fine=False
                ),
                (200, 150, 116),
            )


def _rock(canvas: Canvas, thing: Thing) -> None:
    r = Random(thing.seed)
    x, y, s = canvas.project(at(thing, 0, 0.25 * thing.size, 0))
    points = [
        (
            x + s * thing.size * r.uniform(0.45, 0.65) * cos(a * pi / 5),
            y + s * thing.size * r.uniform(0.25, 0.4) * sin(a * pi / 5),
        )
        for a in range(10)
    ]
    canvas.blob(points, (x, y), thing.tint.rgb, 30)


def _boat(canvas: Canvas, thing: Thing) -> None:
    canvas.facet([at(thing, x, y, 0) for x, y in ((-2, 0.9), (2.2, 0.9), (1.5, 0), (-1.6, 0))], thing.tint.rgb)
    canvas.facet([at(thing, x, y, 0) for x, y in ((-0.1, 1.1), (-0.1, 5.0), (1.9, 1.2))], (240, 238, 232))
    canvas.tube(at(thing, -0.2, 0.9, 0), at(thing, -0.2, 5.2, 0), 0.05, (90, 76, 62))


EXTERIOR = {
    "tree": one_step(_tree),
    "pine": one_step(_pine),
    "palm": one_step(_palm),
    "bush": one_step(_bush),
    "flower bed": one_step(_flower_bed),
    "building": one_step(_building),
    "house": one_step(_house),
    "brick wall": one_step(_wall),
    "car": one_step(_car, 0.9),
    "lamp post": one_step(_lamp_post),
    "fence": one_step(_fence),
    "railing": one_step(_railing),
    "parasol": one_step(_parasol),
    "goal": one_step(_goal),
    "stand": one_step(_stand),
    "rock": one_step(_rock),
    "boat": one_step(_boat),
}
