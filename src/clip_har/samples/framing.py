"""Choosing where the camera stands, from what must be in the picture."""

from __future__ import annotations

from dataclasses import replace
from math import radians, tan
from random import Random

from clip_har.samples.appearance import pick
from clip_har.samples.geometry import Camera, Vector, add, dot, length, scale, subtract
from clip_har.samples.plans.stage import Stage
from clip_har.samples.scene import Body

_ASPECT = 1.5  # of the picture for which scenes are composed; others show more or less at the sides
_MOST_ZOOMS = 8


def choose_camera(rng: Random, stage: Stage) -> Camera:
    """A camera for the actors on a stage: framing, distance, height, pitch, and a little roll."""
    framing = pick(rng, tuple(stage.framings.items()))
    pitch = rng.uniform(*stage.pitch)
    bodies = [person.body for person in stage.people]
    lying = any(person.posture == "lying" for person in stage.people)
    points = _points(framing, stage, bodies, lying)
    probe = Camera((0.0, 0.0, 0.0), 1.0, pitch, 0.0, 1.0, 1.0, False, framing)
    right, up, towards = probe.axes()
    across = [dot(p, right) for p in points]
    upwards = [dot(p, up) for p in points]
    middle = (
        (min(across) + max(across)) / 2,
        (min(upwards) + max(upwards)) / 2,
        sum(dot(p, towards) for p in points) / len(points),
    )
    tall, wide = max(upwards) - min(upwards), max(across) - min(across)
    margin = {
        "full body": rng.uniform(1.1, 1.45),
        "waist up": rng.uniform(1.08, 1.32),
        "close-up": rng.uniform(1.08, 1.35),
    }[framing]
    if framing == "full body" and rng.random() < 0.13:
        margin *= rng.uniform(1.4, 1.9)  # small people
    tall, wide = max(tall, 0.42), max(wide, 0.42)
    view_height, view_width = tall * margin, wide * margin
    # what is left over at the sides lets the subject stand off the middle
    seen = max(view_height, view_width / _ASPECT)
    slack_x, slack_y = (seen * _ASPECT - wide) / 2, (seen - tall) / 2
    x = middle[0] + rng.uniform(-0.55, 0.55) * slack_x
    y = middle[1] + rng.uniform(-0.5, 0.3) * slack_y
    target = add(add(scale(right, x), scale(up, y)), scale(towards, middle[2]))
    distance = max(1.15, seen / 2 / tan(radians(rng.uniform(13, 22))))
    # the camera stays above the ground
    lowest = (0.3 - target[1]) / distance
    if lowest > 0:
        pitch = max(pitch, 1.0 + lowest * 57.3)
    camera = Camera(target, distance, pitch, rng.gauss(0, 1.3), view_height, view_width, rng.random() < 0.5, framing)
    # what is near is seen larger than reckoned: zoom out until nothing vital is cut off
    vital = [*stage.vital, *(body.head for body in bodies)]
    for _ in range(_MOST_ZOOMS):
        if all(in_view(camera, point, 0.93) for point in vital):
            break
        camera = replace(camera, view_height=camera.view_height * 1.07, view_width=camera.view_width * 1.07)
    return camera


def _points(framing: str, stage: Stage, bodies: list[Body], lying: bool) -> list[Vector]:
    points: list[Vector] = []
    used = [thing.position for thing in stage.things if thing.relation == "used" and thing.word]
    for body in bodies:
        crown = add(body.head, scale(body.head_frame[1], 0.17 * body.scale))
        points += [body.head, crown]
        hands = [*body.fingertips]
        if framing == "close-up":
            points += [p for p in hands if length(subtract(p, body.head)) < 0.36]
            points += [body.shoulders[0], body.shoulders[1], body.neck]
            points += [p for p in used if length(subtract(p, body.head)) < 0.42]
        elif framing == "waist up":
            points += [*body.elbows, *body.shoulders, body.pelvis]
            points += [p for p in hands if lying or p[1] > body.pelvis[1] - 0.12]
            near = [p for p in used if min(length(subtract(p, body.waist)), length(subtract(p, body.head))) < 0.75]
            points += [p for p in near if p[1] > 0.3]
        else:
            points += [*body.elbows, *hands, *body.knees, *body.toes, body.pelvis]
            points += [add(ankle, (0.0, -0.08, 0.0)) for ankle in body.ankles]
            points += [p for p in used if length(subtract(p, body.pelvis)) < 1.6]
    points += stage.vital
    if framing == "full body":
        points += stage.focus
    elif framing == "waist up" and not lying:
        points += [p for p in stage.focus if any(length(subtract(p, body.waist)) < 0.6 for body in bodies)]
    return points


def in_view(camera: Camera, p: Vector, slack: float = 1.0) -> bool:
    """Whether a point is in a picture of the composed aspect; `slack` > 1 counts a margin around it as well."""
    x, y, depth = place_in_view(camera, p)
    return depth > 0.3 and abs(x) < slack and abs(y) < slack


def place_in_view(camera: Camera, p: Vector) -> tuple[float, float, float]:
    """Where a point is seen (x and y from -1 to 1 within a picture of the composed aspect) and its depth in metres."""
    right, up, towards = camera.axes()
    v = subtract(p, camera.position)
    depth = -dot(v, towards)
    focal = camera.distance * min(1 / camera.view_height, _ASPECT / camera.view_width)
    s = focal / max(depth, 1e-3)
    return dot(v, right) * s * 2 / _ASPECT, dot(v, up) * s * 2, depth


def point_in_view(camera: Camera, x: float, y: float, depth: float) -> Vector:
    """The inverse of `place_in_view`."""
    right, up, towards = camera.axes()
    focal = camera.distance * min(1 / camera.view_height, _ASPECT / camera.view_width)
    s = focal / depth
    v = add(add(scale(right, x * _ASPECT / 2 / s), scale(up, y / 2 / s)), scale(towards, -depth))
    return add(camera.position, v)
