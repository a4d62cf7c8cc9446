"""What belongs to places under the sky."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from clip_har.samples.appearance import choose_tint, pick
from clip_har.samples.furnishing import slots
from clip_har.samples.palette import BARK, FACADES, GREENS, STONES, WOODS
from clip_har.samples.scene import Place, Thing, Tint


def _outdoor(rng: Random, kind: str, x: float, z: float, size: float, word: str = "", **more) -> Thing:
    thing = Thing(kind, word, (x, 0.0, z), size=size, relation="background", seed=rng.randrange(1 << 20))
    return replace(thing, **({"tint": choose_tint(rng, GREENS), "accent": BARK} | more))


def furnish_street(rng: Random, place: Place) -> list[Thing]:
    z, things = -place.depth, []
    x = -rng.uniform(12, 16)
    while x < 14:
        wide = rng.uniform(5.5, 9)
        things.append(
            _outdoor(rng, "building", x + wide / 2, z, wide, tint=choose_tint(rng, FACADES), accent=choose_tint(rng))
        )
        x += wide + (rng.uniform(0, 1.6) if rng.random() < 0.3 else 0)
    if rng.random() < 0.6:
        for x in slots(rng, rng.choice((1, 2)), 5.0):
            things.append(_outdoor(rng, "car", x, z + rng.uniform(1.4, 2.4), 1.0, "car", tint=choose_tint(rng)))
    if rng.random() < 0.5:
        things.append(_outdoor(rng, "lamp post", rng.choice((-1, 1)) * rng.uniform(1.0, 2.6), z + 3.0, 1.0))
    if rng.random() < 0.4:
        things.append(
            _outdoor(rng, "tree", rng.choice((-1, 1)) * rng.uniform(1.2, 3.2), z + 2.6, rng.uniform(3.5, 5), "tree")
        )
    return things


def furnish_park(rng: Random, place: Place) -> list[Thing]:
    things = []
    for x in slots(rng, 3, 2.6):
        kind, size = ("tree", rng.uniform(3.6, 6.0)) if rng.random() < 0.8 else ("pine", rng.uniform(4, 6))
        things.append(_outdoor(rng, kind, x + rng.uniform(-0.6, 0.6), -place.depth - rng.uniform(0, 5), size, "tree"))
    if rng.random() < 0.45:
        side = rng.choice((-1, 1))
        things.append(_outdoor(rng, "bush", side * rng.uniform(1.0, 2.4), -place.depth * 0.7, rng.uniform(0.8, 1.3)))
    if rng.random() < 0.3:
        wood = choose_tint(rng, WOODS)
        things.append(
            _outdoor(
                rng, "bench", rng.choice((-1, 1)) * rng.uniform(1.2, 2.2), -place.depth * 0.55, 1.5, "bench", tint=wood
            )
        )
    if rng.random() < 0.25:
        things.append(_outdoor(rng, "lamp post", rng.choice((-1, 1)) * rng.uniform(1.4, 3), -place.depth, 1.0))
    return things


def furnish_garden(rng: Random, place: Place) -> list[Thing]:
    things = [
        _outdoor(
            rng,
            "fence",
            0.0,
            -place.depth,
            12.0,
            tint=choose_tint(rng, (*WOODS, Tint("white", (226, 224, 218)))),
            word="fence",
        )
    ]
    if rng.random() < 0.6:
        things.append(
            _outdoor(
                rng,
                "house",
                rng.choice((-1, 1)) * rng.uniform(2, 5),
                -place.depth - 4,
                6.0,
                "house",
                tint=choose_tint(rng, FACADES),
                accent=Tint("red", (150, 80, 62)),
            )
        )
    for x in slots(rng, 3, 1.6):
        kind = pick(rng, (("bush", 2), ("flower bed", 2), ("tree", 1)))
        size = {"bush": 0.9, "flower bed": 0.7, "tree": 3.2}[kind] * rng.uniform(0.8, 1.2)
        things.append(
            _outdoor(
                rng,
                kind,
                x,
                -place.depth + 0.6,
                size,
                {"flower bed": "flowers", "tree": "tree"}.get(kind, ""),
                accent=choose_tint(rng) if kind == "flower bed" else BARK,
            )
        )
    return things


def furnish_beach(rng: Random, place: Place) -> list[Thing]:
    things = []
    if rng.random() < 0.45:
        things.append(
            _outdoor(
                rng,
                "parasol",
                rng.choice((-1, 1)) * rng.uniform(1.2, 2.6),
                -place.depth * 0.5,
                1.0,
                "parasol",
                tint=choose_tint(rng),
                accent=Tint("white", (240, 238, 232)),
            )
        )
    if rng.random() < 0.4:
        things.append(
            _outdoor(
                rng,
                "palm",
                rng.choice((-1, 1)) * rng.uniform(1.5, 3.0),
                -place.depth * 0.8,
                rng.uniform(3.5, 4.8),
                "palm tree",
            )
        )
    if rng.random() < 0.35:
        things.append(
            _outdoor(rng, "boat", rng.uniform(-8, 8), -34, rng.uniform(1, 1.3), "boat", tint=choose_tint(rng))
        )
    if rng.random() < 0.3:
        things.append(
            _outdoor(
                rng,
                "rock",
                rng.choice((-1, 1)) * rng.uniform(1.4, 3),
                -place.depth,
                rng.uniform(0.8, 1.6),
                tint=choose_tint(rng, STONES),
            )
        )
    return things


def furnish_field(rng: Random, place: Place) -> list[Thing]:
    things = []
    if rng.random() < 0.5:
        things.append(_outdoor(rng, "stand", 0.0, -place.depth - 10, 1.0, tint=choose_tint(rng, STONES)))
    if rng.random() < 0.45:
        things.append(_outdoor(rng, "goal", rng.uniform(-3, 3), -place.depth - 4, 1.0, "goal"))
    return things


def furnish_forest(rng: Random, place: Place) -> list[Thing]:
    things = []
    for x in slots(rng, 6, 1.5):
        kind = "pine" if rng.random() < 0.45 else "tree"
        things.append(
            _outdoor(
                rng, kind, x + rng.uniform(-0.5, 0.5), -place.depth - rng.uniform(-1, 5), rng.uniform(4.5, 7.5), "trees"
            )
        )
    return things


def furnish_mountains(rng: Random, place: Place) -> list[Thing]:
    things = [
        _outdoor(rng, "pine", x, -place.depth - rng.uniform(2, 9), rng.uniform(3, 5), "tree")
        for x in slots(rng, rng.choice((1, 2, 3)), 3.5)
    ]
    if rng.random() < 0.5:
        things.append(
            _outdoor(
                rng,
                "rock",
                rng.choice((-1, 1)) * rng.uniform(1.2, 2.6),
                -place.depth * 0.5,
                rng.uniform(0.7, 1.5),
                tint=choose_tint(rng, STONES),
            )
        )
    return things


def furnish_yard(rng: Random, place: Place) -> list[Thing]:
    things = [_outdoor(rng, "brick wall", 0.0, -place.depth, 24.0, "wall", tint=choose_tint(rng, FACADES))]
    if rng.random() < 0.4:
        things.append(
            _outdoor(
                rng,
                "door",
                rng.choice((-1, 1)) * rng.uniform(1.0, 2.0),
                0.03 - place.depth,
                1.0,
                "door",
                tint=choose_tint(rng),
            )
        )
    if rng.random() < 0.4:
        things.append(_outdoor(rng, "bush", rng.choice((-1, 1)) * rng.uniform(1.0, 2.2), 0.3 - place.depth, 0.8))
    return things
