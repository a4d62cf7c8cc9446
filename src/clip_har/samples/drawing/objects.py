"""Drawing small things that people hold, wear or leave on a table."""

from __future__ import annotations

from functools import partial
from math import cos, radians, sin

from clip_har.samples.drawing.canvas import Canvas, Depths, mix, shaded
from clip_har.samples.drawing.solids import at, cylinder, one_step
from clip_har.samples.geometry import Vector, add, cross, dot, point_in, scale, subtract, unit
from clip_har.samples.scene import Rgb, Thing

_SCREENS: tuple[Rgb, ...] = ((186, 214, 240), (236, 240, 244), (150, 190, 232), (206, 226, 214))


def _phone(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    canvas.box(thing.position, (0.042 * k, 0.082 * k, 0.008 * k), thing.frame, thing.tint.rgb, 60)
    front = thing.frame[2]
    if dot(front, subtract(canvas.position, thing.position)) > 0:
        screen = [
            at(thing, x * k, y * k, 0.009 * k)
            for x, y in ((-0.036, -0.073), (0.036, -0.073), (0.036, 0.073), (-0.036, 0.073))
        ]
        canvas.facet(screen, _SCREENS[thing.seed % 4])
        bar = [
            at(thing, x * k, y * k, 0.0095 * k) for x, y in ((-0.03, 0.02), (0.03, 0.02), (0.03, 0.055), (-0.03, 0.055))
        ]
        canvas.facet(bar, mix(_SCREENS[thing.seed % 4], thing.accent.rgb, 0.5))
    else:
        x, y, s = canvas.project(at(thing, 0.022 * k, 0.058 * k, -0.009 * k))
        r = 0.011 * k * s
        canvas.polygon([(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)], (24, 24, 28))


def _laptop_base(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    canvas.box(at(thing, 0, 0.009, 0), (0.175 * k, 0.009, 0.12 * k), thing.frame, thing.tint.rgb, 60)
    if dot(thing.frame[1], subtract(canvas.position, thing.position)) > 0:
        keys = [at(thing, x * k, 0.019, z * k) for x, z in ((-0.15, -0.09), (0.15, -0.09), (0.15, 0.03), (-0.15, 0.03))]
        canvas.facet(keys, mix(thing.tint.rgb, (20, 20, 24), 0.65))


def _laptop_lid(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    left, up, front = thing.frame
    angle = radians(14)
    rise = add(scale(up, cos(angle)), scale(front, -sin(angle)))
    normal = add(scale(front, cos(angle)), scale(up, sin(angle)))
    hinge = at(thing, 0, 0.015, -0.12 * k)
    middle = add(hinge, scale(rise, 0.115 * k))
    canvas.box(middle, (0.175 * k, 0.115 * k, 0.006), (left, rise, normal), thing.tint.rgb, 60)

    def panel(x0: float, y0: float, x1: float, y1: float, off: float) -> list[Vector]:
        return [
            point_in(hinge, (left, rise, normal), x * k, y * k, off)
            for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        ]

    if dot(normal, subtract(canvas.position, middle)) > 0:
        canvas.facet(panel(-0.162, 0.012, 0.162, 0.218, 0.007), _SCREENS[thing.seed % 4])
        canvas.facet(panel(-0.14, 0.04, -0.02, 0.19, 0.0075), mix(_SCREENS[thing.seed % 4], thing.accent.rgb, 0.45))
        canvas.facet(panel(0.01, 0.11, 0.14, 0.19, 0.0075), mix(_SCREENS[thing.seed % 4], (255, 255, 255), 0.5))
    else:
        canvas.polygon(
            canvas.circle_points(
                add(middle, scale(normal, -0.007)), scale(left, 0.022 * k), scale(rise, 0.022 * k), fine=False
            ),
            mix(thing.tint.rgb, (255, 255, 255), 0.6),
        )


def _laptop(canvas: Canvas, depths: Depths, thing: Thing) -> None:
    base, lid = at(thing, 0, 0, 0.02), at(thing, 0, 0.1, -0.13 * thing.size)
    depths.add(canvas.depth(base) + 0.1 - thing.nearer, partial(_laptop_base, canvas, thing))
    depths.add(canvas.depth(lid) - 0.03 - thing.nearer, partial(_laptop_lid, canvas, thing))


def _book(canvas: Canvas, thing: Thing) -> None:
    # open towards its front, spine along its up axis
    k = thing.size
    left, up, front = thing.frame
    for sign in (-1.0, 1.0):
        edge = add(scale(left, sign * 0.145 * k), scale(front, 0.05 * k))
        leaf = [
            at(thing, 0, -0.105 * k, 0),
            add(at(thing, 0, -0.105 * k, 0), edge),
            add(at(thing, 0, 0.105 * k, 0), edge),
            at(thing, 0, 0.105 * k, 0),
        ]
        normal = unit(cross(edge, up)) if sign > 0 else unit(cross(up, edge))
        seen = dot(normal, subtract(canvas.position, thing.position)) > 0
        canvas.facet(leaf, (240, 236, 224) if seen else thing.tint.rgb, normal if seen else scale(normal, -1.0))
        if seen:
            s = canvas.project(thing.position)[2]
            for row in range(6):
                y = (-0.075 + 0.03 * row) * k
                line = [canvas.project(add(at(thing, 0, y, 0.004), scale(edge, t)))[:2] for t in (0.14, 0.86)]
                canvas.stroke(line, (120, 116, 112), 0.007 * k * s, 150)
        else:
            panel = [
                add(at(thing, 0, y * k, -0.002), scale(edge, t))
                for t, y in ((0.25, 0.03), (0.75, 0.03), (0.75, 0.07), (0.25, 0.07))
            ]
            canvas.facet(panel, thing.accent.rgb)


def _closed_book(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    canvas.box(at(thing, 0, 0.02, 0), (0.08 * k, 0.018, 0.11 * k), thing.frame, thing.tint.rgb, 50)


def _camera(canvas: Canvas, thing: Thing) -> None:
    # the lens looks along its front
    k = thing.size
    canvas.box(thing.position, (0.075 * k, 0.05 * k, 0.035 * k), thing.frame, (44, 44, 48), 50)
    canvas.box(at(thing, 0, 0.058 * k, 0), (0.03 * k, 0.016 * k, 0.025 * k), thing.frame, (58, 58, 62))
    cylinder(
        canvas, at(thing, 0, 0, 0.03 * k), 0.04 * k, at(thing, 0, 0, 0.1 * k), 0.044 * k, (34, 34, 38), (24, 30, 52)
    )
    if dot(thing.frame[2], subtract(canvas.position, thing.position)) > 0:
        canvas.ball(at(thing, -0.01, 0.012 * k, 0.102 * k), 0.01 * k, (206, 220, 240))


def _headphones(canvas: Canvas, thing: Thing) -> None:
    # around a head at its position; its frame is the head's
    k = thing.size
    left = thing.frame[0]
    band = [
        canvas.project(at(thing, 0.094 * k * cos(a), 0.012 * k + 0.122 * k * sin(a), -0.008 * k))[:2]
        for a in (radians(d) for d in range(0, 181, 15))
    ]
    s = canvas.project(thing.position)[2]
    canvas.stroke(band, shaded(thing.tint.rgb, 0.95), 0.026 * k * s)
    canvas.stroke(
        [(x, y - 0.005 * k * s) for x, y in band[2:-2]], mix(thing.tint.rgb, (255, 255, 255), 0.4), 0.008 * k * s
    )
    view = subtract(canvas.position, thing.position)
    for sign in (-1.0, 1.0):
        outwards = scale(left, sign)
        # seen from behind or in front both cups stand out; in profile the far one is hidden
        if dot(outwards, view) > -0.62 * (dot(view, view) ** 0.5):
            inner, outer = (
                at(thing, sign * 0.076 * k, -0.01 * k, -0.004 * k),
                at(thing, sign * 0.112 * k, -0.01 * k, -0.004 * k),
            )
            cylinder(canvas, inner, 0.05 * k, outer, 0.042 * k, (40, 40, 44), None)
            cylinder(
                canvas,
                at(thing, sign * 0.095 * k, -0.01 * k, -0.004 * k),
                0.046 * k,
                outer,
                0.038 * k,
                thing.tint.rgb,
                mix(thing.tint.rgb, thing.accent.rgb, 0.25),
            )


def _earphones(canvas: Canvas, thing: Thing) -> None:
    # white wires from the ears to a pocket; its frame is the head's, its size that of the head
    k = thing.size
    chest = add(thing.position, add(scale(thing.frame[2], 0.1 * k), (0.0, -0.34 * k, 0.0)))
    s = canvas.project(thing.position)[2]
    for sign in (-1.0, 1.0):
        ear = at(thing, sign * 0.084 * k, -0.015 * k, 0.01 * k)
        if dot(scale(thing.frame[0], sign), subtract(canvas.position, ear)) > -0.9:
            canvas.ball(ear, 0.016 * k, (244, 244, 244))
            points = [ear, add(ear, (0.0, -0.13 * k, 0.0)), chest]
            canvas.stroke([canvas.project(p)[:2] for p in points], (244, 244, 244), 0.01 * k * s)
    canvas.stroke(
        [canvas.project(p)[:2] for p in (chest, add(chest, (0.02, -0.25 * k, 0.0)))], (244, 244, 244), 0.01 * k * s
    )


def _bag(canvas: Canvas, thing: Thing) -> None:
    k = thing.size
    canvas.ring(
        at(thing, 0, -0.04 * k, 0),
        scale(thing.frame[0], 0.06 * k),
        scale(thing.frame[1], 0.1 * k),
        0.012,
        mix(thing.tint.rgb, (0, 0, 0), 0.3),
    )
    canvas.box(at(thing, 0, -0.24 * k, 0), (0.14 * k, 0.15 * k, 0.05 * k), thing.frame, thing.tint.rgb, 40)


def _ball(canvas: Canvas, thing: Thing) -> None:
    canvas.ball(thing.position, thing.size, thing.tint.rgb, 50)
    for azimuth, elevation in ((0.2, 0.3), (-0.5, -0.2), (0.55, -0.45), (-0.3, 0.7)):
        d = (thing.size * 0.8 * azimuth, thing.size * 0.8 * elevation)
        p = add(thing.position, add(scale(canvas.right, d[0]), scale(canvas.up, d[1])))
        r = thing.size * 0.22
        canvas.polygon(
            canvas.circle_points(p, scale(canvas.right, r), scale(canvas.up, r), fine=False), thing.accent.rgb, 220
        )


OBJECTS = {
    "phone": one_step(_phone),
    "laptop": _laptop,
    "book": one_step(_book),
    "closed book": one_step(_closed_book),
    "camera": one_step(_camera),
    "headphones": one_step(_headphones, 0.05),
    "earphones": one_step(_earphones, 0.2),
    "bag": one_step(_bag),
    "ball": one_step(_ball),
}
