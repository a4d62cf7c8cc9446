"""Parts that many things are made of, and when things are drawn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from clip_har.samples.drawing.canvas import Canvas, Depths, hull, shaded
from clip_har.samples.geometry import Vector, add, cross, dot, point_in, scale, subtract, unit
from clip_har.samples.scene import Rgb, Thing


def at(thing: Thing, x: float, y: float, z: float) -> Vector:
    """A world point given in a thing's frame."""
    return point_in(thing.position, thing.frame, x, y, z)


def cylinder(canvas: Canvas, a: Vector, ra: float, b: Vector, rb: float, rgb: Rgb, top: Rgb | None = None) -> None:
    """A straight-sided vessel from a (foot) to b (rim); `top` fills the rim."""
    axis = unit(subtract(b, a))
    u = unit(cross(axis, canvas.towards if abs(dot(axis, canvas.towards)) < 0.95 else canvas.up))
    v = cross(axis, u)
    foot = canvas.circle_points(a, scale(u, ra), scale(v, ra), fine=False)
    rim = canvas.circle_points(b, scale(u, rb), scale(v, rb), fine=False)
    outline = hull(foot + rim)
    canvas.polygon(outline, shaded(rgb, canvas.ambient + 0.12))
    (xa, ya, sa), (xb, yb, sb) = canvas.project(a), canvas.project(b)
    (ux, uy), lx, ly = canvas.flat(u), canvas.light_in_picture[0], canvas.light_in_picture[1]
    aside = ux * lx + uy * ly
    layers = canvas.tones(max(ra * sa, rb * sb)) + 1
    for i in range(1, layers):
        f, o = 1 - 0.86 * i / layers, 0.6 * aside * (i / layers) * 0.86
        wa, wb = ra * sa, rb * sb
        quad = [
            (xa + ux * wa * (o - f), ya + uy * wa * (o - f)),
            (xa + ux * wa * (o + f), ya + uy * wa * (o + f)),
            (xb + ux * wb * (o + f), yb + uy * wb * (o + f)),
            (xb + ux * wb * (o - f), yb + uy * wb * (o - f)),
        ]
        canvas.polygon(quad, shaded(rgb, canvas.ambient + (1.1 - canvas.ambient) * (i + 0.4) / layers))
    if top is not None and dot(axis, subtract(canvas.position, b)) > 0:
        canvas.polygon(rim, shaded(rgb, 1.05))
        canvas.polygon(canvas.circle_points(b, scale(u, rb * 0.82), scale(v, rb * 0.82), fine=False), top)


Plan = Callable[[Canvas, Depths, Thing], None]
"""What plans the drawing of a thing."""


def one_step(draw: Callable[[Canvas, Thing], None], nearer: float = 0.0) -> Plan:
    """A drawing in one go, at the distance of the thing's anchor."""

    def plan(canvas: Canvas, depths: Depths, thing: Thing) -> None:
        depths.add(canvas.depth(thing.position) - nearer - thing.nearer, partial(draw, canvas, thing))

    return plan


def panel(thing: Thing, x0: float, y0: float, x1: float, y1: float, z: float = 0.0) -> list[Vector]:
    """An upright rectangle in a thing's frame."""
    return [at(thing, x, y, z) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]


def against_wall(draw: Callable[[Canvas, Thing], None], nearer: float = 0.0) -> Plan:
    """A drawing in one go, at a distance a little before the wall behind the thing."""

    def plan(canvas: Canvas, depths: Depths, thing: Thing) -> None:
        depths.add(
            canvas.depth(add(thing.position, scale(thing.frame[2], 0.1))) - nearer - thing.nearer,
            partial(draw, canvas, thing),
        )

    return plan
