"""The surface of a head in the picture."""

from __future__ import annotations

from math import cos, pi, radians, sin

from clip_har.samples.drawing.canvas import Canvas, Point
from clip_har.samples.geometry import Vector, add, cross, dot, scale, subtract, unit
from clip_har.samples.scene import Person

TURN = tuple((cos(a), sin(a)) for a in (i * pi / 12 for i in range(24)))


_WIDTH, _HEIGHT, _DEPTH = 0.077, 0.108, 0.096


class Skull:
    """An ellipsoid seen from far enough to leave perspective out: maps its surface to the picture."""

    def __init__(self, canvas: Canvas, person: Person, factor: float = 1.0) -> None:
        body = person.body
        k = body.scale * person.look.head_scale
        self.k = k
        self.x, self.y, self.s = canvas.project(body.head)
        left, up, front = body.head_frame
        self.half = (_WIDTH * k * factor, _HEIGHT * k * factor, _DEPTH * k * factor)
        self.axes = tuple(canvas.flat(scale(axis, h)) for axis, h in zip((left, up, front), self.half, strict=True))
        view = unit(subtract(canvas.position, body.head))
        self.facing = (dot(view, left), dot(view, up), dot(view, front))
        # a surface point d (unit sphere) is visible where its inner product with this is positive
        self.visible = unit(tuple(f / h for f, h in zip(self.facing, self.half, strict=True)))

    def at(self, d: Vector, lift: float = 1.0) -> Point:
        """Pixel position of the surface point in direction d (unit sphere; left, up, front)."""
        (ax, ay), (bx, by), (cx, cy) = self.axes
        s = self.s * lift
        return self.x + s * (ax * d[0] + bx * d[1] + cx * d[2]), self.y + s * (ay * d[0] + by * d[1] + cy * d[2])

    def on(self, azimuth: float, elevation: float, lift: float = 1.0) -> Point:
        """`at` for angles in degrees: azimuth to the person's left, elevation up."""
        return self.at(sphere(azimuth, elevation), lift)

    def sees(self, azimuth: float, elevation: float) -> float:
        """How much the surface there faces the camera; negative on the far side."""
        return dot(sphere(azimuth, elevation), self.visible)

    def silhouette(self, lift: float = 1.0) -> list[Point]:
        """The outline of the whole."""
        u, v = beside(self.visible)
        return [self.at(add(scale(u, c), scale(v, s)), lift) for c, s in TURN]

    def cap(self, axis: Vector, angle: float, lift: float = 1.0) -> list[Point]:
        """The visible part of the surface within `angle` degrees of a direction."""
        c, s = cos(radians(angle)), sin(radians(angle))
        u, v = beside(axis)
        rim = [add(scale(axis, c), add(scale(u, s * p), scale(v, s * q))) for p, q in TURN]
        seen = [dot(d, self.visible) > 0 for d in rim]
        if all(seen) or not any(seen):
            if dot(axis, self.visible) > 0 or c < 0:
                inside = all(seen) and c > 0
                return [self.at(d, lift) for d in rim] if inside else self.silhouette(lift)
            return []
        first = next(i for i in range(len(rim)) if seen[i] and not seen[i - 1])
        arc = [rim[(first + i) % len(rim)] for i in range(len(rim)) if seen[(first + i) % len(rim)]]
        u, v = beside(self.visible)
        circle = [add(scale(u, p), scale(v, q)) for p, q in TURN]
        within = [dot(d, axis) > c for d in circle]
        if not any(within) or all(within):
            return [self.at(d, lift) for d in arc]
        first = next(i for i in range(len(circle)) if within[i] and not within[i - 1])
        edge = [circle[(first + i) % len(circle)] for i in range(len(circle)) if within[(first + i) % len(circle)]]
        if dot(edge[0], arc[-1]) < dot(edge[-1], arc[-1]):
            edge.reverse()
        return [self.at(d, lift) for d in arc + edge]


def sphere(azimuth: float, elevation: float) -> Vector:
    """Unit vector (left, up, front) for angles in degrees."""
    a, e = radians(azimuth), radians(elevation)
    return sin(a) * cos(e), sin(e), cos(a) * cos(e)


def beside(axis: Vector) -> tuple[Vector, Vector]:
    u = unit(cross(axis, (0.0, 0.0, 1.0) if abs(axis[2]) < 0.9 else (1.0, 0.0, 0.0)))
    return u, cross(axis, u)
