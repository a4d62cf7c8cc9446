"""Shaded primitives: solids given in metres, projected by the camera and filled with Pillow polygons.

Roundness comes from nested outlines that grow lighter and move towards the light; depth order from sorting (`Depths`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import cos, pi, sin, sqrt

from PIL import Image, ImageDraw

from clip_har.samples.geometry import Camera, Frame, Vector, add, dot, scale, unit
from clip_har.samples.scene import Light, Rgb

Point = tuple[float, float]

_NEAREST = 0.12  # metres: what is nearer than this to the camera is drawn as if it were here
_HALF_CIRCLE = tuple((cos(a), sin(a)) for a in (pi / 2 + i * pi / 5 for i in range(6)))
_CIRCLE = tuple((cos(a), sin(a)) for a in (i * pi / 10 for i in range(20)))
_ROUGH_CIRCLE = tuple((cos(a), sin(a)) for a in (i * pi / 5 for i in range(10)))


def mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    """The colour `share` of the way from a to b."""
    return (
        int(a[0] + (b[0] - a[0]) * share),
        int(a[1] + (b[1] - a[1]) * share),
        int(a[2] + (b[2] - a[2]) * share),
    )


def shaded(rgb: Rgb, brightness: float) -> Rgb:
    """A colour under more or less light; shadows turn a little blue, lights a little yellow."""
    warm = 0.05 * (brightness - 0.85)
    return (
        min(255, int(rgb[0] * brightness * (1 + warm))),
        min(255, int(rgb[1] * brightness)),
        min(255, int(rgb[2] * brightness * (1 - 1.4 * warm))),
    )


def hull(points: Iterable[Point]) -> list[Point]:
    """Convex hull, by Andrew's monotone chain."""
    ordered = sorted(set(points))
    if len(ordered) < 3:
        return ordered
    halves = []
    for run in (ordered, reversed(ordered)):
        half: list[Point] = []
        for x, y in run:
            while len(half) >= 2:
                (ax, ay), (bx, by) = half[-2], half[-1]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                half.pop()
            half.append((x, y))
        halves.append(half[:-1])
    return halves[0] + halves[1]


class Depths:
    """Drawing steps to be done from the farthest to the nearest."""

    def __init__(self) -> None:
        self._steps: list[tuple[float, int, Callable[[], None]]] = []

    def add(self, depth: float, step: Callable[[], None]) -> None:
        """Plan a step at a distance (metres from the camera)."""
        self._steps.append((-depth, len(self._steps), step))

    def draw(self) -> None:
        """Do all steps, farthest first; equal distances in the order in which they were added."""
        for _, _, step in sorted(self._steps, key=lambda planned: planned[:2]):
            step()
        self._steps.clear()


class Canvas:
    """A picture with a camera and a light.

    Args:
        width: pixels.
        height: pixels.
        camera: where it is seen from.
        light: what it is lit by.
        fine: 1 draws every tone and detail that its size deserves; less draws fewer.
    """

    def __init__(self, width: int, height: int, camera: Camera, light: Light, fine: float = 1.0) -> None:
        self.image = Image.new("RGB", (width, height))
        self.width, self.height, self.fine = width, height, fine
        self._solid = ImageDraw.Draw(self.image)
        self._veil = ImageDraw.Draw(self.image, "RGBA")
        self.right, self.up, self.towards = camera.axes()
        self.position = camera.position
        self.focal = camera.distance * min(height / camera.view_height, width / camera.view_width)
        self.ambient = light.ambient
        lx, ly, lz = light.direction
        self.light_in_picture = (lx, -ly, lz)
        self.light = unit(add(add(scale(self.right, lx), scale(self.up, ly)), scale(self.towards, lz)))

    def depth(self, p: Vector) -> float:
        """Metres from the camera along its axis."""
        x, y, z = self.position
        a, b, c = self.towards
        return (x - p[0]) * a + (y - p[1]) * b + (z - p[2]) * c

    def project(self, p: Vector) -> tuple[float, float, float]:
        """Pixel position of a world point, and pixels per metre there."""
        x, y, z = p[0] - self.position[0], p[1] - self.position[1], p[2] - self.position[2]
        t, r, u = self.towards, self.right, self.up
        depth = -(x * t[0] + y * t[1] + z * t[2])
        s = self.focal / (depth if depth > _NEAREST else _NEAREST)
        return (
            self.width / 2 + s * (x * r[0] + y * r[1] + z * r[2]),
            self.height / 2 - s * (x * u[0] + y * u[1] + z * u[2]),
            s,
        )

    def flat(self, v: Vector) -> Point:
        """Picture directions of a world direction, for one pixel a metre."""
        return dot(v, self.right), -dot(v, self.up)

    def polygon(self, points: Sequence[Point], rgb: Rgb, alpha: int = 255) -> None:
        """Fill an outline given in pixels."""
        if len(points) < 3:
            return
        if alpha >= 255:
            self._solid.polygon(points, fill=rgb)
        else:
            self._veil.polygon(points, fill=(*rgb, alpha))

    def stroke(self, points: Sequence[Point], rgb: Rgb, width: float, alpha: int = 255) -> None:
        """Draw a line through points given in pixels; lines thinner than a pixel fade instead."""
        if width < 1.0:
            alpha, width = int(alpha * max(width, 0.25)), 1.0
        if alpha >= 255:
            self._solid.line(points, fill=rgb, width=round(width))
        else:
            self._veil.line(points, fill=(*rgb, alpha), width=round(width))

    def tones(self, radius: float) -> int:
        """How many nested tones something of this radius in pixels deserves."""
        radius *= self.fine
        return (
            1
            if radius < 1.6
            else 2
            if radius < 4
            else 3
            if radius < 9
            else 5
            if radius < 20
            else min(14, int(radius / 4))
        )

    def brightness(self, normal: Vector) -> float:
        """Light on a surface: ambient and Lambert, about 1 when it faces the light."""
        facing = dot(normal, self.light)
        return self.ambient + (1.05 - self.ambient) * (facing if facing > 0 else 0.0)

    def capsule(self, a: Vector, ra: float, b: Vector, rb: float, rgb: Rgb, shadow: int = 34) -> None:
        """A round limb from a to b with its radii in metres, with a faint contact shadow (alpha) around it."""
        xa, ya, sa = self.project(a)
        xb, yb, sb = self.project(b)
        self.capsule_in_picture(xa, ya, ra * sa, xb, yb, rb * sb, rgb, shadow)

    def capsule_in_picture(
        self, xa: float, ya: float, ra: float, xb: float, yb: float, rb: float, rgb: Rgb, shadow: int = 34
    ) -> None:
        """`capsule` in pixels."""
        dx, dy = xb - xa, yb - ya
        norm = sqrt(dx * dx + dy * dy)
        c, s = (dx / norm, dy / norm) if norm > 1e-6 else (1.0, 0.0)
        lx, ly, lz = self.light_in_picture
        aside = -s * lx + c * ly
        peak = min(1.0, sqrt(aside * aside + (lz * lz if lz > 0 else 0.0)))
        layers = self.tones(ra if ra > rb else rb)
        if shadow and layers > 1:
            grown = 1.0 + 0.05 * max(ra, rb)
            self._veil.polygon(
                _capsule_outline(
                    xa + s * aside * ra * 0.1, ya - c * aside * ra * 0.1, ra + grown,
                    xb + s * aside * rb * 0.1, yb - c * aside * rb * 0.1, rb + grown, c, s,
                ),
                fill=(12, 10, 18, shadow),
            )  # fmt: skip
        low, high = self.ambient, self.ambient + (1.08 - self.ambient) * peak
        for i in range(layers):
            f = 1.0 - 0.86 * i / layers
            o = (1.0 - f) * 0.62 * aside
            # tones reach towards the ends, so that they run on over joints
            e = (1.0 - f) * 0.7
            level = low + (high - low) * ((i + 0.45) / layers if layers > 1 else 0.62)
            self._solid.polygon(
                _capsule_outline(
                    xa - (s * o + c * e) * ra,
                    ya + (c * o - s * e) * ra,
                    ra * f,
                    xb - (s * o - c * e) * rb,
                    yb + (c * o + s * e) * rb,
                    rb * f,
                    c,
                    s,
                ),
                fill=shaded(rgb, level),
            )

    def ball(self, centre: Vector, radius: float, rgb: Rgb, shadow: int = 0) -> None:
        """A sphere."""
        x, y, s = self.project(centre)
        self.blob([(x + radius * s * a, y + radius * s * b) for a, b in self._circle(radius * s)], (x, y), rgb, shadow)

    def _circle(self, radius: float) -> tuple[Point, ...]:
        return _CIRCLE if radius > 4 else _ROUGH_CIRCLE

    def blob(self, outline: Sequence[Point], centre: Point, rgb: Rgb, shadow: int = 0, depth: float = 0.62) -> None:
        """Any star-shaped outline (pixels), shaded as something round.

        Args:
            outline: its points.
            centre: the point that the tones shrink to.
            rgb: colour.
            shadow: alpha of a contact shadow around it.
            depth: how far the tones move towards the light; 0 is a flat cushion.
        """
        lx, ly, lz = self.light_in_picture
        cx, cy = centre
        size = max(abs(outline[0][0] - cx), abs(outline[0][1] - cy), abs(outline[len(outline) // 4][1] - cy))
        layers = self.tones(size)
        if shadow and layers > 1:
            g = 1.0 + 1.6 / max(size, 2.0)
            self._veil.polygon([(cx + (x - cx) * g, cy + (y - cy) * g) for x, y in outline], fill=(12, 10, 18, shadow))
        peak = 1.0 if lz >= 0 else sqrt(max(0.0, 1 - lz * lz))
        low, high = self.ambient, self.ambient + (1.08 - self.ambient) * peak
        for i in range(layers):
            f = 1.0 - 0.86 * i / layers
            ox, oy = cx + (1 - f) * depth * lx * size, cy + (1 - f) * depth * ly * size
            level = low + (high - low) * ((i + 0.45) / layers if layers > 1 else 0.62)
            self._solid.polygon([(ox + (x - cx) * f, oy + (y - cy) * f) for x, y in outline], fill=shaded(rgb, level))

    def facet(self, corners: Sequence[Vector], rgb: Rgb, normal: Vector | None = None, alpha: int = 255) -> None:
        """A flat polygon in the world; without a normal it is lit as it is."""
        level = self.brightness(normal) if normal else 1.0
        self.polygon([self.project(p)[:2] for p in corners], shaded(rgb, level), alpha)

    def sheet(self, corners: Sequence[Vector], rgb: Rgb, normal: Vector, fade: float = 0.16, strips: int = 5) -> None:
        """A large quadrilateral whose brightness changes from its first edge to the opposite one by the share `fade`."""
        a, b, c, d = (self.project(p)[:2] for p in corners)
        level = self.brightness(normal)
        for i in range(strips):
            near, far = i / strips, (i + 1) / strips
            quad = [_on(a, d, near), _on(b, c, near), _on(b, c, far), _on(a, d, far)]
            self._solid.polygon(quad, fill=shaded(rgb, level * (1 + fade * (0.5 - (i + 0.5) / strips))))

    def box(self, centre: Vector, half: Vector, frame: Frame, rgb: Rgb, shadow: int = 0) -> None:
        """A box with half sizes along its frame; the faces that can be seen."""
        view = (self.position[0] - centre[0], self.position[1] - centre[1], self.position[2] - centre[2])
        arms = [scale(axis, h) for axis, h in zip(frame, half, strict=True)]
        faces = []
        for i, axis in enumerate(frame):
            away = dot(axis, view)
            if abs(away) <= half[i]:
                continue
            sign = 1.0 if away > 0 else -1.0
            out, u, v = scale(arms[i], sign), arms[(i + 1) % 3], arms[(i + 2) % 3]
            middle = add(centre, out)
            corners = [
                self.project(add(middle, add(scale(u, p), scale(v, q))))[:2]
                for p, q in ((1, 1), (1, -1), (-1, -1), (-1, 1))
            ]
            faces.append((scale(axis, sign), corners))
        if shadow and faces:
            self.polygon(_grown(hull([p for _, face in faces for p in face]), 1.5), (12, 10, 18), shadow)
        for normal, corners in faces:
            self._solid.polygon(corners, fill=shaded(rgb, self.brightness(normal)))

    def tube(self, a: Vector, b: Vector, radius: float, rgb: Rgb) -> None:
        """A thin rod: a line when it is too thin to be shaded."""
        xa, ya, sa = self.project(a)
        xb, yb, sb = self.project(b)
        if radius * max(sa, sb) < 2.2:
            self.stroke([(xa, ya), (xb, yb)], shaded(rgb, 0.3 + 0.7 * self.ambient), radius * (sa + sb))
        else:
            self.capsule_in_picture(xa, ya, radius * sa, xb, yb, radius * sb, rgb, 24)

    def ring(self, centre: Vector, u: Vector, v: Vector, thickness: float, rgb: Rgb, alpha: int = 255) -> None:
        """A circle or ellipse as a line; u and v are its half axes."""
        points = self.circle_points(centre, u, v)
        _, _, s = self.project(centre)
        self.stroke([*points, points[0]], rgb, thickness * s, alpha)

    def circle_points(self, centre: Vector, u: Vector, v: Vector, fine: bool = True) -> list[Point]:
        """Outline in pixels of the ellipse with half axes u and v."""
        x, y, s = self.project(centre)
        (ux, uy), (vx, vy) = self.flat(u), self.flat(v)
        return [(x + s * (ux * a + vx * b), y + s * (uy * a + vy * b)) for a, b in (_CIRCLE if fine else _ROUGH_CIRCLE)]


def _on(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _grown(outline: list[Point], by: float) -> list[Point]:
    cx = sum(p[0] for p in outline) / len(outline)
    cy = sum(p[1] for p in outline) / len(outline)
    grown = []
    for x, y in outline:
        norm = sqrt((x - cx) ** 2 + (y - cy) ** 2) or 1.0
        grown.append((x + (x - cx) / norm * by, y + (y - cy) / norm * by))
    return grown


def _capsule_outline(
    xa: float, ya: float, ra: float, xb: float, yb: float, rb: float, c: float, s: float
) -> list[Point]:
    # the half circles are turned by the direction (c, s) of the capsule
    start = [(xa + ra * (p * c - q * s), ya + ra * (p * s + q * c)) for p, q in _HALF_CIRCLE]
    end = [(xb - rb * (p * c - q * s), yb - rb * (p * s + q * c)) for p, q in _HALF_CIRCLE]
    return start + end
