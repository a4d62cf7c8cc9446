"""What belongs to rooms."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from clip_har.samples.appearance import choose_tint, pick
from clip_har.samples.furnishing import slots
from clip_har.samples.geometry import UPRIGHT, turn_frame
from clip_har.samples.palette import STONES, WOODS
from clip_har.samples.scene import Place, Thing, Tint


def _against_wall(
    rng: Random, place: Place, kind: str, x: float, y: float = 0.0, size: float = 1.0, word: str = "", **more
) -> Thing:
    thing = Thing(kind, word, (x, y, 0.02 - place.depth), size=size, relation="background", seed=rng.randrange(1 << 20))
    return replace(thing, **({"tint": choose_tint(rng, WOODS), "accent": choose_tint(rng)} | more))


def _window(rng: Random, place: Place, x: float) -> Thing:
    sky = rng.choice((Tint("bright", (226, 236, 244)), Tint("blue", (176, 204, 232)), Tint("white", (244, 244, 240))))
    return _against_wall(
        rng, place, "window", x, 0.95, rng.uniform(1.1, 2.0), "window", tint=choose_tint(rng), accent=sky
    )


def _wall_items(rng: Random, place: Place, choices: tuple[tuple[str, float], ...], count: int) -> list[Thing]:
    items = []
    for x in slots(rng, count):
        kind = pick(rng, choices)
        if kind == "window":
            items.append(_window(rng, place, x))
        elif kind == "picture":
            items.append(
                _against_wall(
                    rng,
                    place,
                    "picture",
                    x,
                    rng.uniform(1.45, 1.75),
                    rng.uniform(0.35, 0.75),
                    "picture",
                    tint=choose_tint(rng),
                )
            )
        elif kind == "whiteboard":
            items.append(
                _against_wall(
                    rng, place, kind, x, 0.95, rng.uniform(1.2, 1.9), "whiteboard", tint=Tint("white", (240, 242, 242))
                )
            )
        elif kind == "blackboard":
            items.append(
                _against_wall(
                    rng,
                    place,
                    "whiteboard",
                    x,
                    0.95,
                    2.2,
                    "blackboard",
                    tint=Tint("dark green", (46, 70, 58)),
                    accent=Tint("white", (226, 228, 222)),
                )
            )
        elif kind == "television":
            items.append(_against_wall(rng, place, kind, x, 1.0, rng.uniform(0.9, 1.3), "television"))
        elif kind == "house plant":
            items.append(_against_wall(rng, place, kind, x, size=rng.uniform(0.9, 1.5), word="plant"))
        elif kind != "nothing":
            size = {
                "bookshelf": 1.1,
                "wardrobe": 1.2,
                "cabinet": 1.2,
                "desk with screen": 1.3,
                "mirror": 2.4,
                "weights rack": 1.6,
            }.get(kind, 1.0)
            word = {"desk with screen": "desk", "weights rack": "weights", "floor lamp": "lamp"}.get(kind, kind)
            items.append(_against_wall(rng, place, kind, x, size=size * rng.uniform(0.9, 1.15), word=word))
    return items


def furnish_living_room(rng: Random, place: Place) -> list[Thing]:
    choices = (
        ("window", 3),
        ("picture", 3),
        ("bookshelf", 2),
        ("house plant", 2),
        ("floor lamp", 1.5),
        ("television", 1),
        ("door", 1),
        ("cabinet", 1),
        ("nothing", 1),
    )
    things = _wall_items(rng, place, choices, 4)
    if rng.random() < 0.4:
        things.append(
            Thing(
                "rug",
                "",
                (rng.uniform(-0.6, 0.6), 0, -0.2),
                size=rng.uniform(1.0, 1.6),
                tint=choose_tint(rng),
                accent=choose_tint(rng),
                relation="background",
            )
        )
    return things


def furnish_bedroom(rng: Random, place: Place) -> list[Thing]:
    things = _wall_items(
        rng,
        place,
        (
            ("window", 3),
            ("picture", 3),
            ("wardrobe", 2),
            ("floor lamp", 1),
            ("door", 1),
            ("house plant", 0.7),
            ("nothing", 1),
        ),
        4,
    )
    if rng.random() < 0.4:
        things.append(_against_wall(rng, place, "cabinet", rng.choice((-1.4, 1.4)), size=0.6, word="cabinet"))
    return things


def furnish_kitchen(rng: Random, place: Place) -> list[Thing]:
    wide = rng.uniform(2.6, 4.2)
    x = rng.uniform(-0.5, 0.5)
    worktop = choose_tint(rng, (*WOODS, Tint("grey", (120, 120, 124)), Tint("white", (226, 224, 220))))
    tiles = choose_tint(
        rng, (Tint("white", (226, 228, 226)), Tint("blue", (170, 196, 206)), Tint("beige", (214, 200, 176)))
    )
    things = [
        _against_wall(rng, place, "tiles", x, 0.9, wide, tint=tiles),
        _against_wall(rng, place, "counter", x, size=wide, tint=place.trim, accent=worktop, word="counter"),
    ]
    if rng.random() < 0.7:
        things.append(
            _against_wall(
                rng,
                place,
                "wall cupboard",
                x + rng.uniform(-0.8, 0.8),
                1.5,
                rng.uniform(1.2, 2.0),
                tint=place.trim,
                word="cupboard",
            )
        )
    else:
        things.append(_window(rng, place, x))
    side = rng.choice((-1, 1))
    if rng.random() < 0.55:
        things.append(
            _against_wall(
                rng, place, "fridge", x + side * (wide / 2 + 0.4), tint=Tint("white", (224, 226, 228)), word="fridge"
            )
        )
    if rng.random() < 0.4:
        things.append(_against_wall(rng, place, "pendant lamp", x, 2.0, tint=choose_tint(rng)))
    return things


def furnish_office(rng: Random, place: Place) -> list[Thing]:
    choices = (
        ("desk with screen", 3),
        ("window", 3),
        ("whiteboard", 1.5),
        ("bookshelf", 1.5),
        ("house plant", 1.5),
        ("door", 1),
        ("picture", 1),
        ("cabinet", 1.5),
    )
    return _wall_items(rng, place, choices, 4)


def furnish_cafe(rng: Random, place: Place) -> list[Thing]:
    things = []
    if rng.random() < 0.6:
        things.append(
            _against_wall(
                rng,
                place,
                "bar",
                rng.uniform(-0.6, 0.6),
                size=rng.uniform(2.4, 4.0),
                accent=choose_tint(rng, WOODS),
                word="bar",
            )
        )
    else:
        things += _wall_items(rng, place, (("window", 3), ("picture", 2), ("house plant", 1), ("nothing", 1)), 3)
    for x in slots(rng, 3, 1.1):
        lamp = _against_wall(rng, place, "pendant lamp", x, rng.uniform(1.9, 2.2), tint=choose_tint(rng))
        things.append(replace(lamp, position=(x, lamp.position[1], -place.depth * 0.6)))
    if rng.random() < 0.6:
        x, z = rng.choice((-1, 1)) * rng.uniform(0.9, 1.5), -place.depth * rng.uniform(0.35, 0.6)
        wood = choose_tint(rng, WOODS)
        things.append(Thing("round table", "table", (x, 0, z), size=0.75, tint=wood, relation="background"))
        things.append(
            Thing(
                "chair",
                "",
                (x + rng.choice((-0.55, 0.55)), 0, z),
                turn_frame(UPRIGHT, yaw=rng.choice((-80, 80))),
                tint=wood,
                accent=wood,
                relation="background",
            )
        )
    return things


def furnish_gym(rng: Random, place: Place) -> list[Thing]:
    things = _wall_items(
        rng, place, (("mirror", 3), ("weights rack", 3), ("window", 1.5), ("treadmill", 2), ("nothing", 0.5)), 3
    )
    if rng.random() < 0.35:
        x = rng.choice((-1, 1)) * rng.uniform(0.9, 1.5)
        things.append(
            Thing("punching bag", "", (x, 0, -place.depth * 0.5), tint=choose_tint(rng), relation="background")
        )
    return things


def furnish_hall(rng: Random, place: Place) -> list[Thing]:
    things = []
    if rng.random() < 0.7:
        things.append(
            _against_wall(
                rng,
                place,
                "stage lights",
                0.0,
                size=rng.uniform(2.5, 4.5),
                tint=choose_tint(rng),
                word="coloured lights",
            )
        )
    if rng.random() < 0.6:
        things.append(_against_wall(rng, place, "fairy lights", 0.0, rng.uniform(1.9, 2.4), 6.0))
    for x in slots(rng, 2, 3.0):
        if rng.random() < 0.5:
            things.append(_against_wall(rng, place, "column", x, tint=choose_tint(rng, STONES)))
    return things


def furnish_library(rng: Random, place: Place) -> list[Thing]:
    wood = choose_tint(rng, WOODS)
    return [
        _against_wall(rng, place, "bookshelf", x, size=1.15, tint=wood, word="bookshelves") for x in slots(rng, 5, 1.2)
    ]


def furnish_classroom(rng: Random, place: Place) -> list[Thing]:
    return _wall_items(
        rng,
        place,
        (("blackboard", 3), ("whiteboard", 1.5), ("window", 1.5), ("picture", 1.5), ("bookshelf", 1), ("door", 0.6)),
        3,
    )


def furnish_studio(rng: Random, place: Place) -> list[Thing]:
    return []
