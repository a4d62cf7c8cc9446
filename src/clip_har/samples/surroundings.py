"""Choosing what is around the actors: things that play no part, other people, what is in the way of the camera."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from clip_har.samples.appearance import choose_look, choose_tint, pick
from clip_har.samples.framing import in_view, place_in_view, point_in_view
from clip_har.samples.geometry import UPRIGHT, Camera, Vector, add, frame_towards, turn_frame
from clip_har.samples.palette import SOFA_TINTS, WOODS
from clip_har.samples.plans.postures import rest_hands, sit, stand, walk
from clip_har.samples.plans.stage import Actor, Stage
from clip_har.samples.scene import Person, Thing, Tint

_INDOOR = (
    ("side table", 5),
    ("bicycle", 1.3),
    ("sofa", 1.6),
    ("bed", 1.2),
    ("chair", 1.6),
    ("guitar", 1.2),
    ("ball", 0.8),
    ("broom", 0.7),
    ("plant", 1),
    ("easel", 0.5),
)
_OUTDOOR = (
    ("bicycle", 4),
    ("bench", 3),
    ("side table", 1.2),
    ("ball", 1.2),
    ("pram", 0.6),
    ("broom", 0.4),
    ("plant", 0.4),
)
_ON_TABLE = (
    ("laptop", 3),
    ("phone", 2.5),
    ("cup", 2),
    ("book", 2),
    ("bottle", 1.5),
    ("plate of food", 1.5),
    ("headphones", 1.5),
    ("camera", 0.8),
    ("bowl of fruit", 0.8),
)
# what would make the label wrong, not harder
_NOT_WITH = {
    "sitting": {"bed"},
    "kicking_ball": {"ball"},
    "cycling": set(),
}  # fmt: skip


def choose_distractors(rng: Random, stage: Stage, camera: Camera) -> list[Thing]:
    """Up to two things that belong to other actions, beside or behind the actors, in view."""
    count = pick(rng, (("0", 4), ("1", 4), ("2", 2)))
    things: list[Thing] = []
    for _ in range(int(count)):
        kind = pick(rng, _INDOOR if stage.place.indoor else _OUTDOOR)
        if kind in _NOT_WITH.get(stage.action, ()):
            continue
        position = _free_spot(rng, stage, camera, things)
        if position is not None:
            things += _distractor(rng, kind, position, stage)
    return things


def _free_spot(rng: Random, stage: Stage, camera: Camera, taken: list[Thing]) -> Vector | None:
    """A place on the floor beside or behind the actors, of which at least the upper part can be seen."""
    deepest = min(stage.place.depth * 0.8, 3.4)
    for _ in range(12):
        z = -rng.uniform(0.25, max(deepest, 0.5))
        x = rng.choice((-1, 1)) * rng.uniform(0.65, 2.2)
        p = (x + camera.target[0], 0.0, z)
        u, _, _ = place_in_view(camera, (p[0], 0.7, z))
        if abs(u) > 0.86 or not in_view(camera, (p[0], 0.75, z), 0.97):
            continue
        if any(abs(u - place_in_view(camera, person.body.pelvis)[0]) < 0.24 for person in stage.people):
            continue
        if any(abs(p[0] - thing.position[0]) + abs(z - thing.position[2]) < 0.9 for thing in taken):
            continue
        return p
    return None


def _distractor(rng: Random, kind: str, p: Vector, stage: Stage) -> list[Thing]:
    wood = choose_tint(rng, WOODS)

    def thing(kind: str, word: str, position: Vector, yaw: float = 0.0, **more) -> Thing:
        defaults = {
            "tint": choose_tint(rng),
            "accent": choose_tint(rng),
            "relation": "near",
            "seed": rng.randrange(1 << 20),
        }
        return Thing(kind, word, position, turn_frame(UPRIGHT, yaw=yaw), **(defaults | more))

    if kind == "side table":
        high = 0.73
        things = [thing("table", "table", p, rng.uniform(-15, 15), size=rng.uniform(0.7, 1.0), tint=wood)]
        for x in (-0.18, 0.18) if rng.random() < 0.6 else (0.0,):
            what = pick(rng, _ON_TABLE)
            spot = (p[0] + x, high + 0.006, p[2] + rng.uniform(-0.05, 0.12))
            things.append(_on_side_table(rng, what, spot, thing))
        return things
    if kind == "bicycle":
        return [thing("bicycle", "bicycle", p, rng.choice((-1, 1)) * rng.uniform(60, 110))]
    if kind == "sofa":
        return [
            thing(
                "sofa", "sofa", p, rng.uniform(-30, 30), size=rng.choice((1.0, 1.7)), tint=choose_tint(rng, SOFA_TINTS)
            )
        ]
    if kind == "bed":
        sheet = Tint("white", (226, 224, 220))
        bed = thing("bed", "bed", p, rng.choice((0, 180)), size=1.2, tint=sheet, accent=wood)
        return [bed, thing("pillow", "", (p[0] - 0.7 * bed.frame[0][0], 0.5, p[2]), tint=sheet)]
    if kind == "chair":
        return [thing("chair", "chair", p, rng.uniform(-80, 80), tint=wood, accent=wood)]
    if kind == "bench":
        return [thing("bench", "bench", p, rng.uniform(-25, 25), size=1.5, tint=wood)]
    if kind == "guitar":
        frame = frame_towards((rng.uniform(-0.2, 0.2), 1.0, -0.18), (rng.uniform(-0.4, 0.4), 0, 1))
        return [Thing("guitar", "guitar", (p[0], 0.36, p[2]), frame, tint=wood, relation="near")]
    if kind == "ball":
        return [thing("ball", "ball", (p[0], 0.14, p[2]), size=0.14)]
    if kind == "broom":
        frame = frame_towards((rng.uniform(-0.2, 0.2), 1.0, -0.15), (0, 0, 1))
        return [Thing("broom", "broom", (p[0], 0.12, p[2]), frame, 1.35, choose_tint(rng), choose_tint(rng), "near")]
    if kind == "pram":
        return [thing("pram", "pram", p, rng.uniform(-110, 110))]
    if kind == "easel":
        return [thing("easel", "easel", p, rng.uniform(-40, 40))]
    return [thing("house plant", "plant", p, size=rng.uniform(0.9, 1.4))]


def _on_side_table(rng: Random, what: str, spot: Vector, thing: Callable[..., Thing]) -> Thing:
    if what == "laptop":
        return thing(
            "laptop",
            "laptop",
            spot,
            rng.choice((0, 180)) + rng.uniform(-35, 35),
            tint=Tint("grey", (170, 172, 176)),
            nearer=0.35,
        )
    if what == "phone":
        return Thing(
            "phone",
            "phone",
            spot,
            frame_towards((0.3, 0.05, -1), (0, 1, 0)),
            1.3,
            Tint("black", (36, 36, 40)),
            relation="near",
            nearer=0.35,
        )
    if what == "headphones":
        return thing("headphones", "headphones", (spot[0], spot[1] + 0.06, spot[2]), rng.uniform(-40, 40), nearer=0.35)
    if what == "camera":
        return thing("camera", "camera", (spot[0], spot[1] + 0.05, spot[2]), rng.uniform(-40, 40), nearer=0.35)
    kind = {"book": "closed book", "plate of food": "plate", "bowl of fruit": "bowl"}.get(what, what)
    return thing(kind, what, spot, rng.uniform(-30, 30), nearer=0.35)


def _bystander(rng: Random, stage: Stage, position: Vector) -> tuple[Person, list[Thing]]:
    actor = Actor(rng, choose_look(rng, stage.style), "standing")
    style = rng.random()
    if style < 0.55:
        stand(actor)
        rest_hands(actor)
    elif style < 0.9 or not stage.place.indoor:
        walk(actor)
    else:
        sit(actor, (("chair", 1),))
        rest_hands(actor)
    actor.doing = actor.posture
    own = Stage(rng, stage.place, stage.action, stage.style)
    person = own.enter(actor, position, rng.choice((rng.uniform(-70, 70), rng.uniform(-180, 180))), main=False)
    return person, own.things


def choose_bystanders(rng: Random, stage: Stage, camera: Camera) -> list[Person]:
    """Nobody, or up to three people who do nothing in particular, behind the actors."""
    busy = stage.place.kind in ("street", "cafe", "gym", "hall", "beach", "park", "office")
    count = int(
        pick(rng, (("0", 5), ("1", 2.4), ("2", 1.5), ("3", 1.1)) if busy else (("0", 7.5), ("1", 1.8), ("2", 0.7)))
    )
    people: list[Person] = []
    for _ in range(count):
        for _ in range(8):
            deepest = min(stage.place.depth - 0.3, 6.0)
            z = -rng.uniform(min(0.8, deepest * 0.7), max(deepest, 0.5))
            x = camera.target[0] + rng.choice((-1, 1)) * rng.uniform(0.55, 3.2)
            u, _, _ = place_in_view(camera, (x, 1.2, z))
            others = [*stage.people, *people]
            if abs(u) < 0.92 and all(abs(u - place_in_view(camera, other.body.neck)[0]) > 0.2 for other in others):
                person, things = _bystander(rng, stage, (x, 0.0, z))
                if not things:
                    people.append(person)
                    break
    return people


def choose_crowd(stream: Callable[[str], Random], stage: Stage, camera: Camera, amount: float) -> list[Person]:
    """More people, all round the actors, by the dial: a larger value keeps those of a smaller one."""
    people = []
    for i in range(round(8 * amount)):
        rng = stream(f"crowd {i}")
        # from left to right in an order that fills the picture evenly
        u = (-0.75, 0.7, -0.4, 0.45, -0.95, 0.95, -0.15, 0.2)[i] + rng.uniform(-0.1, 0.1)
        near = i in (1, 4, 5)
        depth = camera.distance * (rng.uniform(0.72, 0.85) if near else rng.uniform(1.15, 1.5))
        x, _, z = point_in_view(camera, u, 0.0, depth)
        if stage.place.indoor:
            z = max(z, 0.35 - stage.place.depth)
        people.append(_bystander(rng, stage, (x, 0.0, z))[0])
    return people


def choose_foreground(
    stream: Callable[[str], Random], stage: Stage, camera: Camera, amount: float
) -> list[Thing | Person]:
    """Things close to the camera at the edges of the picture: rarely one by nature, up to three by the dial."""
    items: list[Thing | Person] = []
    natural = stream("foreground").random() < 0.1
    for i in range(max(round(3 * amount), 1 if natural else 0)):
        rng = stream(f"foreground {i}")
        side = rng.choice((-1, 1)) if i == 0 else (-1, 1)[i % 2]
        depth = camera.distance * rng.uniform(0.3, 0.45)
        kind = pick(rng, (("person", 3), ("leaves", 3), ("pole", 1.4)))
        # it reaches into the picture, but not over the heads of the actors and what shows their action
        edge = max(rng.uniform(0.5, 0.75), _reach(stage, camera, side) + 0.1)
        if edge > 0.95:
            continue
        if kind == "person" and camera.position[1] > 1.0:
            half = 0.3 * place_in_view(camera, add(point_in_view(camera, 0.0, 0.0, depth), camera.axes()[0]))[0]
            x, _, z = point_in_view(camera, side * (edge + half), 0.0, depth)
            actor = Actor(rng, choose_look(rng, stage.style, rng.choice(("man", "woman"))), "standing")
            stand(actor)
            own = Stage(rng, stage.place, stage.action)
            items.append(own.enter(actor, (x, 0.0, z), rng.choice((180, 150, -150, 90)), main=False))
        elif kind == "pole":
            x, _, z = point_in_view(camera, side * (edge + 0.15), 0.0, depth)
            items.append(Thing("column", "", (x, 0.0, z), size=0.18, tint=choose_tint(rng), relation="near"))
        else:
            p = point_in_view(camera, side * rng.uniform(0.85, 1.05), rng.uniform(-1.0, -0.5), depth)
            size = 0.4 * camera.view_height * depth / camera.distance
            green = Tint("green", (70, 112, 58)) if rng.random() < 0.7 else choose_tint(rng)
            items.append(Thing("bush", "", p, size=size, tint=green, relation="near", seed=rng.randrange(1 << 20)))
    return items


def _reach(stage: Stage, camera: Camera, side: int) -> float:
    """How far to a side of the picture the actors' heads and what shows their action are seen."""
    points = [person.body.head for person in stage.people] + stage.vital
    return max(side * place_in_view(camera, p)[0] for p in points)
