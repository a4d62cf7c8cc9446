"""Vectors, frames and the camera of the drawn world.

World axes in metres: x to the right of the picture, y up, z towards the camera; the floor is y = 0. A frame is three unit
vectors (left, up, front) of whatever it belongs to: a person who faces the camera has the left hand at +x.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin, sqrt

Vector = tuple[float, float, float]
Frame = tuple[Vector, Vector, Vector]

UPRIGHT: Frame = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def add(a: Vector, b: Vector) -> Vector:
    """a + b."""
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def subtract(a: Vector, b: Vector) -> Vector:
    """a - b."""
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def scale(a: Vector, factor: float) -> Vector:
    """a times a number."""
    return (a[0] * factor, a[1] * factor, a[2] * factor)


def dot(a: Vector, b: Vector) -> float:
    """Inner product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def length(a: Vector) -> float:
    """Euclidean norm."""
    return sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2])


def unit(a: Vector) -> Vector:
    """a at length one; the zero vector becomes straight up."""
    norm = length(a)
    return (a[0] / norm, a[1] / norm, a[2] / norm) if norm > 1e-9 else (0.0, 1.0, 0.0)


def cross(a: Vector, b: Vector) -> Vector:
    """Right-handed cross product."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def between(a: Vector, b: Vector, share: float) -> Vector:
    """The point `share` of the way from a to b."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def point_in(origin: Vector, frame: Frame, x: float, y: float, z: float) -> Vector:
    """The world point with coordinates (x, y, z) in a frame at `origin`."""
    a, b, c = frame
    return (
        origin[0] + a[0] * x + b[0] * y + c[0] * z,
        origin[1] + a[1] * x + b[1] * y + c[1] * z,
        origin[2] + a[2] * x + b[2] * y + c[2] * z,
    )


def turn_frame(frame: Frame, pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0) -> Frame:
    """A frame turned about its own axes, in degrees: yaw to its left, then pitch forward, then roll to its left."""
    left, up, front = frame
    if yaw:
        c, s = cos(radians(yaw)), sin(radians(yaw))
        left, front = add(scale(left, c), scale(front, -s)), add(scale(front, c), scale(left, s))
    if pitch:
        c, s = cos(radians(pitch)), sin(radians(pitch))
        up, front = add(scale(up, c), scale(front, s)), add(scale(front, c), scale(up, -s))
    if roll:
        c, s = cos(radians(roll)), sin(radians(roll))
        left, up = add(scale(left, c), scale(up, -s)), add(scale(up, c), scale(left, s))
    return left, up, front


def frame_towards(up: Vector, front: Vector) -> Frame:
    """The frame whose up axis is `up` and whose front is as near to `front` as that allows."""
    up = unit(up)
    front = unit(subtract(front, scale(up, dot(up, front))))
    return cross(up, front), up, front


def bend_joint(root: Vector, target: Vector, first: float, second: float, pole: Vector) -> tuple[Vector, Vector]:
    """Two-bone inverse kinematics.

    Args:
        root: where the limb begins (shoulder, hip).
        target: where its end (wrist, ankle) should be.
        first: length of the first bone.
        second: length of the second bone.
        pole: direction in which the middle joint bends.

    Returns:
        The middle joint and the end, which is nearer than the target if the limb is too short.
    """
    reach = subtract(target, root)
    distance = length(reach)
    direction = unit(reach)
    distance = min(max(distance, abs(first - second) + 0.12 * min(first, second)), 0.998 * (first + second))
    along = (first * first - second * second + distance * distance) / (2 * distance)
    aside = sqrt(max(first * first - along * along, 0.0))
    bend = unit(subtract(pole, scale(direction, dot(direction, pole))))
    middle = add(add(root, scale(direction, along)), scale(bend, aside))
    return middle, add(root, scale(direction, distance))


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera that looks along -z, pitched down, rolled about its axis and perhaps mirrored.

    Attributes:
        target: the point in the middle of the picture.
        distance: metres from the target.
        pitch: degrees downwards.
        roll: degrees counter-clockwise.
        view_height: metres at the target that must fit the picture's height.
        view_width: metres at the target that must fit its width.
        mirrored: left and right exchanged.
        framing: "full body", "waist up" or "close-up".
    """

    target: Vector
    distance: float
    pitch: float
    roll: float
    view_height: float
    view_width: float
    mirrored: bool
    framing: str

    @property
    def position(self) -> Vector:
        """Where the camera stands."""
        angle = radians(self.pitch)
        return add(self.target, (0.0, self.distance * sin(angle), self.distance * cos(angle)))

    def axes(self) -> Frame:
        """Unit vectors of the world that point right and up in the picture, and towards the camera."""
        p, r = radians(self.pitch), radians(self.roll)
        right = (-1.0, 0.0, 0.0) if self.mirrored else (1.0, 0.0, 0.0)
        up, towards = (0.0, cos(p), -sin(p)), (0.0, sin(p), cos(p))
        return (
            add(scale(right, cos(r)), scale(up, -sin(r))),
            add(scale(up, cos(r)), scale(right, sin(r))),
            towards,
        )
