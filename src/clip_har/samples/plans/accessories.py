"""What actors have beside their action: postures to choose from, things in the free hand, on the head, on the table."""

from __future__ import annotations

from clip_har.samples.appearance import CLOTH_TINTS, choose_tint, pick
from clip_har.samples.figure import SIDES
from clip_har.samples.geometry import UPRIGHT, add, frame_towards, scale, turn_frame
from clip_har.samples.plans.postures import (
    INDOOR_SEATS,
    OUTDOOR_SEATS,
    on_table,
    rest_hand,
    sit,
    stand,
    walk,
)
from clip_har.samples.plans.stage import Actor, Stage
from clip_har.samples.scene import Tint

PHONES = (
    Tint("black", (30, 30, 36)),
    Tint("black", (44, 44, 50)),
    Tint("white", (226, 226, 224)),
    Tint("red", (170, 44, 52)),
    Tint("blue", (52, 84, 150)),
    Tint("pink", (222, 150, 170)),
)


DRINK_WORDS = {
    "cup": ("cup", "mug", "cup of coffee"),
    "glass": ("glass", "glass of water"),
    "bottle": ("bottle",),
    "paper cup": ("paper cup", "cup"),
    "can": ("can",),
}


LIQUIDS = (
    Tint("water", (176, 206, 222)),
    Tint("orange", (232, 150, 46)),
    Tint("red", (140, 32, 48)),
    Tint("milk", (238, 234, 224)),
)


BOTTLES = (
    Tint("green", (58, 110, 66)),
    Tint("brown", (96, 60, 36)),
    Tint("blue", (116, 168, 206)),
    Tint("clear", (186, 208, 216)),
)


def take_posture(
    stage: Stage, actor: Actor, standing: float, sitting: float, walking: float = 0.0, table: float = 0.0
) -> None:
    """Stand, sit or walk, by weight; the seat suits the place."""
    at = stage.rng.random() * (standing + sitting + walking)
    if at < standing:
        stand(actor)
    elif at < standing + sitting:
        sit(actor, INDOOR_SEATS if stage.place.indoor else OUTDOOR_SEATS, table=table)
    else:
        walk(actor)


def other_hand(stage: Stage, actor: Actor, side: int) -> None:
    """What the free hand does: nothing much, or it holds something that has no part in the action."""
    r, f = stage.rng, actor.figure
    sign = SIDES[side]
    style = r.random()
    if style < 0.12 and actor.posture != "sitting":
        x, y, z = f.shoulders[side]
        grip = f.place_hand(side, (x + sign * 0.08, y - 0.56 * f.scale, z + 0.05), fist=True)
        actor.thing("bag", "bag", add(grip, (0, -0.02, 0)), turn_frame(UPRIGHT, yaw=90))
        actor.objects["carried"] = "bag"
    elif style < 0.22 and not actor.at_table:
        hold_low_drink(actor, side)
    else:
        rest_hand(actor, side)


def hold_low_drink(actor: Actor, side: int) -> None:
    """A drink held before the body, not drunk from."""
    r, f = actor.rng, actor.figure
    kind = pick(r, (("cup", 3), ("paper cup", 3), ("bottle", 1), ("glass", 1)))
    grip = f.place_hand(
        side,
        f.by_chest(SIDES[side] * r.uniform(0.1, 0.2), -r.uniform(0.24, 0.34), r.uniform(0.22, 0.3)),
        fist=True,
        fingers=(-SIDES[side] * 0.7, 0.1, 0.8),
    )
    tint = choose_tint(r, BOTTLES if kind == "bottle" else LIQUIDS if kind == "glass" else CLOTH_TINTS)
    actor.thing(kind, r.choice(DRINK_WORDS[kind]), add(grip, (-SIDES[side] * 0.02, -0.06, 0.03)), size=1.1, tint=tint)
    actor.objects["carried"] = actor.things[-1].word


def wear_headphones(actor: Actor, round_neck: bool = False) -> None:
    """Headphones over the ears, or hanging round the neck."""
    f = actor.figure
    k = f.scale * f.look.head_scale
    if round_neck:
        actor.thing(
            "headphones",
            "headphones",
            f.by_chest(0, 0.0, 0.0),
            (f.chest_frame[0], scale(f.chest_frame[2], -1.0), f.chest_frame[1]),
            size=f.scale * 0.95,
            relation="near",
        )
        return
    tint = choose_tint(
        actor.rng,
        tuple(
            t for t in CLOTH_TINTS if t.name in ("black", "white", "red", "blue", "grey", "yellow", "pink", "dark grey")
        ),
    )
    actor.thing("headphones", "headphones", f.head, f.head_frame, size=k, tint=tint)


def table_setting(stage: Stage, actor: Actor) -> None:
    """Things on a table that have no part in the action."""
    r = stage.rng
    choices = (("plate", 2), ("laptop", 1.5), ("cup", 1.5), ("closed book", 1), ("phone", 1.5), ("glass", 1))
    for x in (-0.34, 0.34):
        if r.random() < 0.45:
            kind = pick(r, choices)
            z = r.uniform(0.55, 0.75)
            word = {"closed book": "book", "plate": "plate of food"}.get(kind, kind)
            if kind == "phone":
                frame = frame_towards((0.3, 0, -1), (0, 1, 0))
                actor.thing(
                    "phone",
                    word,
                    (x * 0.8, actor.table_height + 0.012, z),
                    frame,
                    relation="near",
                    nearer=0.12,
                    size=1.2,
                    tint=choose_tint(r, PHONES),
                )
            else:
                on_table(
                    actor,
                    kind,
                    word,
                    x * 0.85,
                    z,
                    yaw=180 + r.uniform(-30, 30) if kind == "laptop" else r.uniform(-40, 40),
                    tint=choose_tint(r, LIQUIDS if kind == "glass" else CLOTH_TINTS),
                )
