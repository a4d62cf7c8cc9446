"""Drawing heads: skull, neck, hair, headwear."""

from __future__ import annotations

from functools import partial
from math import sqrt

from clip_har.samples.drawing.canvas import Canvas, Depths, Point, hull, mix, shaded
from clip_har.samples.drawing.face import draw_face
from clip_har.samples.drawing.skull import TURN, Skull
from clip_har.samples.geometry import add, point_in, scale, unit
from clip_har.samples.scene import Look, Person

_CAP_UP = unit((0.0, 0.72, -0.69))


def _middle(points: list[Point]) -> Point:
    return sum(p[0] for p in points) / len(points), sum(p[1] for p in points) / len(points)


def _draw_head(canvas: Canvas, person: Person) -> None:
    look, face = person.look, person.face
    skull = Skull(canvas, person)
    radius = skull.s * skull.half[1]
    detail = radius * canvas.fine
    jaw_drop = 0.016 * face.mouth_open
    k = skull.k
    chin = point_in(person.body.head, person.body.head_frame, 0, (-0.062 - jaw_drop) * k, 0.022 * k)
    cx, cy, s = canvas.project(chin)
    wide = (0.056 if look.who == "man" else 0.05) * k * s
    jaw = [(cx + wide * c, cy + wide * q) for c, q in TURN[::2]]
    if detail < 3:
        canvas.blob(skull.silhouette(), (skull.x, skull.y), look.skin)
    else:
        for side in (-1, 1):
            if skull.sees(90 * side, 0) > -0.35:
                _draw_ear(canvas, skull, look, side)
        canvas.blob(hull(skull.silhouette() + jaw), _middle([(skull.x, skull.y), (cx, cy)]), look.skin, 40, depth=0.5)
    if detail >= 4.5 and skull.facing[2] > -0.35:
        draw_face(canvas, skull, person, radius)
    _draw_hair(canvas, skull, person, radius)
    if look.headwear:
        _draw_headwear(canvas, skull, look, radius)


def _draw_ear(canvas: Canvas, skull: Skull, look: Look, side: int) -> None:
    if look.headwear == "headscarf" or look.hair in ("long", "bob", "curly"):
        return
    x, y = skull.on(92 * side, -4, 1.04)
    r = 0.024 * skull.k * skull.s
    rgb = shaded(look.skin, 0.86)
    canvas.polygon([(x + r * 0.75 * c, y + r * 1.25 * q) for c, q in TURN[::2]], rgb)
    canvas.polygon([(x + r * 0.35 * c, y + r * 0.7 * q) for c, q in TURN[::3]], mix(rgb, (60, 20, 10), 0.3))


def _draw_hair(canvas: Canvas, skull: Skull, person: Person, radius: float) -> None:
    look = person.look
    if look.hair == "bald" or look.headwear == "headscarf":
        return
    rgb = look.hair_tint.rgb
    lift, angle = {"short": (1.08, 82), "buzz": (1.025, 80), "curly": (1.3, 88), "long": (1.09, 86)}.get(
        look.hair, (1.08, 84)
    )
    outline = skull.cap(_CAP_UP, angle, lift)
    if look.hair != "buzz":
        nape = skull.cap((0.0, 0.0, -1.0), 60, lift - 0.02)
        canvas.polygon(nape, shaded(rgb, 0.72))
    if len(outline) > 2:
        canvas.blob(outline, _middle(outline), rgb, depth=0.25)
    if look.hair in ("long", "bob"):
        for side in (-1, 1):
            if skull.sees(70 * side, 10) > -0.2:
                low = -70 if look.hair == "long" else -48
                lock = [(50, 46), (64, 26), (72, 5), (73, -20), (82, low), (108, low), (118, 0), (100, 40)]
                canvas.polygon([skull.on(a * side, e, 1.12) for a, e in lock], shaded(rgb, 0.92))
    if look.hair == "bun":
        x, y = skull.at(unit((0.0, 0.75, -0.75)), 1.32)
        r = 0.045 * skull.k * skull.s
        canvas.blob([(x + r * c, y + r * q) for c, q in TURN], (x, y), rgb)
    if look.hair == "curly" and radius * canvas.fine > 6:
        for i, (x, y) in enumerate(outline):
            r = radius * (0.2 + 0.05 * (i % 3))
            canvas.polygon([(x + r * c, y + r * q) for c, q in TURN[::2]], shaded(rgb, 0.8 + 0.1 * (i % 3)))


def _draw_headwear(canvas: Canvas, skull: Skull, look: Look, radius: float) -> None:
    rgb = look.headwear_tint.rgb
    if look.headwear == "headscarf":
        outline = skull.silhouette(1.2)
        face = skull.cap(unit((0.0, -0.06, 1.0)), 52, 1.0)
        if len(face) < 3 or skull.facing[2] < 0.1:
            canvas.blob(outline, (skull.x, skull.y), rgb)
            return
        # a ring of cloth around the face, cut along the line from its top to the top of the head
        start = min(range(len(face)), key=lambda i: face[i][1])
        inner = face[start:] + face[: start + 1]
        top = min(range(len(outline)), key=lambda i: outline[i][1])
        outer = outline[top:] + outline[: top + 1]
        if _turning(inner) * _turning(outer) > 0:
            inner.reverse()
        canvas.polygon(outer + inner, shaded(rgb, 0.92))
        canvas.stroke(inner, shaded(rgb, 0.7), max(1.0, radius * 0.05))
        return
    axis, angle, lift = {
        "cap": (unit((0.0, 0.9, -0.42)), 68, 1.12),
        "beanie": (unit((0.0, 0.85, -0.52)), 76, 1.14),
        "helmet": (unit((0.0, 0.95, -0.3)), 70, 1.26),
    }[look.headwear]
    outline = skull.cap(axis, angle, lift)
    if len(outline) < 3:
        return
    canvas.blob(outline, _middle(outline), rgb, 30, depth=0.3)
    if look.headwear == "cap" and skull.facing[2] > -0.7:
        brim = [
            skull.on(-52, 33, 1.14),
            skull.on(-30, 30, 1.72),
            skull.on(0, 28, 1.85),
            skull.on(30, 30, 1.72),
            skull.on(52, 33, 1.14),
        ]
        back = [skull.on(30, 40, 1.12), skull.on(0, 44, 1.12), skull.on(-30, 40, 1.12)]
        canvas.polygon(brim + back, shaded(rgb, 0.78))
    if look.headwear == "helmet":
        for azimuth in (-35, 0, 35):
            ridge = [skull.on(azimuth, e, 1.27) for e in (40, 60, 80)] + [
                skull.on(azimuth + 180, e, 1.27) for e in (70, 50)
            ]
            if skull.sees(azimuth, 60) > 0:
                canvas.stroke(ridge, mix(rgb, (20, 20, 20), 0.6), radius * 0.12)
        for side in (-1, 1):
            if skull.sees(75 * side, -20) > 0:
                canvas.stroke(
                    [skull.on(75 * side, 20, 1.08), skull.on(35 * side, -72, 1.08)], (40, 40, 44), radius * 0.06
                )
    if look.headwear == "beanie" and radius * canvas.fine > 5:
        canvas.stroke(
            [skull.on(a, 38 - abs(a) * 0.22, 1.16) for a in (-70, -35, 0, 35, 70) if skull.sees(a, 30) > 0]
            or [(0, 0), (0, 0)],
            shaded(rgb, 0.75),
            radius * 0.2,
        )


def _turning(points: list[Point]) -> float:
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True))


def _draw_back_hair(canvas: Canvas, person: Person) -> None:
    look, body = person.look, person.body
    k = body.scale * look.head_scale
    rgb = shaded(look.headwear_tint.rgb if look.headwear == "headscarf" else look.hair_tint.rgb, 0.8)
    # hair hangs down, whatever the head does
    down = (0.0, -1.0, 0.0)
    back = point_in(body.head, body.head_frame, 0, 0.01 * k, -0.035 * k)
    if look.hair == "ponytail" and look.headwear != "headscarf":
        knot = point_in(body.head, body.head_frame, 0, 0.06 * k, -0.115 * k)
        canvas.capsule(knot, 0.03 * k, add(knot, scale(down, 0.08 * k)), 0.038 * k, rgb)
        canvas.capsule(
            add(knot, scale(down, 0.08 * k)),
            0.036 * k,
            point_in(add(knot, scale(down, 0.24 * k)), body.head_frame, 0, 0, 0.02 * k),
            0.014 * k,
            rgb,
        )
        return
    drop = {"long": 0.23, "bob": 0.1}.get(look.hair, 0.14)
    if look.headwear == "headscarf":
        drop = 0.18
    points = []
    for centre, wide in (
        (back, 0.095),
        (add(back, scale(down, drop * 0.6 * k)), 0.1),
        (add(back, scale(down, drop * k)), 0.08),
    ):
        points += canvas.circle_points(
            centre, scale(body.head_frame[0], wide * k), scale((0.0, 1.0, 0.0), 0.06 * k), fine=False
        )
        points += canvas.circle_points(
            centre, scale(body.head_frame[2], 0.06 * k), scale((0.0, 1.0, 0.0), 0.06 * k), fine=False
        )
    outline = hull(points)
    canvas.blob(outline, _middle(outline), rgb, 30, depth=0.3)


def _draw_neck(canvas: Canvas, person: Person) -> None:
    body, k = person.body, person.body.scale
    rgb = person.look.headwear_tint.rgb if person.look.headwear == "headscarf" else person.look.skin
    throat = point_in(body.head, body.head_frame, 0, -0.06 * k * person.look.head_scale, -0.02 * k)
    wide = (0.05 if person.look.who == "man" else 0.041) * k * sqrt(person.look.head_scale)
    canvas.capsule(
        point_in(body.neck, body.chest_frame, 0, -0.02 * k, 0), wide * 1.08, throat, wide, shaded(rgb, 0.8), 20
    )


def add_head(canvas: Canvas, depths: Depths, person: Person) -> None:
    """Plan the drawing of neck, head and hair."""
    body = person.body
    head = canvas.depth(body.head)
    # never over the head, even when seen from behind
    depths.add(max((canvas.depth(body.neck) + head) / 2 - 0.012, head - 0.015), partial(_draw_neck, canvas, person))
    depths.add(head - 0.02, partial(_draw_head, canvas, person))
    if person.look.hair in ("long", "bob", "ponytail") or person.look.headwear == "headscarf":
        behind = point_in(body.head, body.head_frame, 0, -0.1, -0.075 * body.scale)
        depths.add(canvas.depth(behind) - 0.005, partial(_draw_back_hair, canvas, person))
