"""Drinking and eating."""

from __future__ import annotations

from clip_har.samples.appearance import CLOTH_TINTS, choose_tint, pick
from clip_har.samples.figure import SIDES
from clip_har.samples.geometry import Vector, add, frame_towards, scale, unit
from clip_har.samples.plans.accessories import (
    BOTTLES,
    DRINK_WORDS,
    LIQUIDS,
    table_setting,
    take_posture,
)
from clip_har.samples.plans.postures import (
    on_table,
    rest_hand,
)
from clip_har.samples.plans.stage import Stage
from clip_har.samples.scene import Tint

_DRINKS = (("cup", 4), ("glass", 3), ("bottle", 3.5), ("paper cup", 2), ("can", 1.2))


def drinking(stage: Stage) -> None:
    """Some vessel at the mouth, or on its way there."""
    actor = stage.actor()
    take_posture(stage, actor, 5, 4.5, 0.8, table=0.6)
    r, f, side = stage.rng, actor.figure, actor.some_side()
    kind = pick(r, _DRINKS)
    sign, k = SIDES[side], 1.15
    waiting = r.random() < 0.16
    tipped = {"bottle": r.uniform(8, 24), "can": r.uniform(5, 16), "glass": r.uniform(2, 14)}.get(
        kind, r.uniform(-4, 8)
    )
    f.turn_head(-tipped if not waiting else r.gauss(2, 4), r.gauss(0, 8), r.gauss(0, 3))
    left, up, front = f.head_frame
    mouth = f.by_head(0.0, -0.066, 0.102)
    if kind == "bottle":
        axis = unit(add(scale(front, -1.0), scale(up, -r.uniform(0.05, 0.5) if not waiting else 1.2)))
        long, grip_at = 0.262 * k, 0.09 * k
    else:
        axis = unit(add(scale(front, -r.uniform(0.35, 0.8)), scale(up, 0.85)))
        long, grip_at = {"cup": 0.1, "glass": 0.14, "paper cup": 0.15, "can": 0.125}[kind] * k, 0.06 * k
    if waiting:
        axis, mouth = (0.0, 1.0, 0.0), f.by_chest(sign * 0.05, -0.03, 0.24)
    rim = add(mouth, scale(front, 0.03 if kind != "bottle" else 0.008))
    foot = add(rim, scale(axis, -long))
    tint = choose_tint(r, BOTTLES if kind == "bottle" else LIQUIDS if kind == "glass" else CLOTH_TINTS)
    actor.thing(kind, kind, foot, frame_towards(axis, front), size=k, tint=tint)
    grip = add(foot, add(scale(axis, grip_at), scale(left, sign * 0.035)))
    f.place_hand(
        side,
        grip,
        pole=(sign * 0.8, -1, 0.1),
        fingers=add(scale(left, -sign * 0.8), add(scale(front, 0.5), scale(up, 0.25))),
        fist=True,
    )
    actor.objects["vessel"] = r.choice(DRINK_WORDS[kind])
    if kind == "cup" and r.random() < 0.4:
        f.place_hand(
            1 - side,
            add(grip, scale(left, -sign * 0.08)),
            pole=(-sign * 0.8, -1, 0.1),
            fingers=add(scale(left, sign * 0.8), scale(front, 0.5)),
            fist=True,
        )
    else:
        rest_hand(actor, 1 - side)
    actor.face |= {
        "eyes_open": r.choice((1.0, 0.6, 0.1)) if not waiting else 1.0,
        "mouth_open": 0.0 if waiting else 0.14,
        "smile": 0.3 if waiting else 0.0,
    }
    if actor.at_table:
        table_setting(stage, actor)
    stage.focus.append(stage.enter(actor, yaw=stage.view((0, 35, 4), (35, 95, 6))).body.head)
    stage.vital += [thing.position for thing in stage.things if thing.kind == kind and thing.relation == "used"]
    stage.framings = {"full body": 2.4, "waist up": 5, "close-up": 2.6}


_FOOD_TINTS = (
    Tint("brown", (150, 92, 54)),
    Tint("red", (196, 62, 48)),
    Tint("yellow", (228, 188, 92)),
    Tint("green", (110, 152, 70)),
    Tint("white", (236, 226, 206)),
)


_FOODS = (
    ("sandwich", 3),
    ("burger", 2.5),
    ("apple", 2),
    ("pizza", 2),
    ("ice cream", 1.2),
    ("fork", 3.5),
    ("spoon", 2.5),
)


def eating(stage: Stage) -> None:
    """Food at the mouth, from the hand or from cutlery."""
    actor = stage.actor()
    take_posture(stage, actor, 3, 6, 0.5, table=0.75)
    r, f, side = stage.rng, actor.figure, actor.some_side()
    food = pick(r, _FOODS)
    sign = SIDES[side]
    f.turn_head(r.uniform(0, 14), r.gauss(0, 8), r.gauss(0, 4))
    left, up, front = f.head_frame
    near = r.choice((0.13, 0.15, 0.2, 0.24))
    bite = f.by_head(0, -0.066 - (near - 0.13) * 0.7, near)
    both = food in ("burger", "sandwich") and r.random() < 0.55
    down = scale(up, -1.0)
    if food in ("fork", "spoon"):
        stick = unit(add(add(scale(front, -0.75), scale(up, 0.35)), scale(left, -sign * 0.5)))
        centre = add(bite, scale(stick, -0.12))
        actor.thing("cutlery", food, centre, frame_towards(stick, up), size=1.2, tint=choose_tint(r, _FOOD_TINTS))
        grip: Vector = add(centre, scale(stick, -0.06))
        dish = "bowl" if food == "spoon" else "plate"
        if actor.at_table:
            on_table(
                actor,
                dish,
                f"{dish} of food",
                r.uniform(-0.06, 0.06),
                0.5,
                tint=choose_tint(r, _FOOD_TINTS if dish == "plate" else CLOTH_TINTS),
                accent=choose_tint(r, _FOOD_TINTS),
                relation="used",
            )
        else:
            held = f.place_hand(1 - side, f.by_chest(-sign * 0.08, -0.27, 0.26), fingers=(sign * 0.5, 0.1, 0.8))
            actor.thing(
                dish,
                f"{dish} of food",
                add(held, (sign * 0.04, 0.03, 0.06)),
                size=0.95,
                tint=choose_tint(r, _FOOD_TINTS),
                accent=choose_tint(r, _FOOD_TINTS),
            )
    else:
        facing = frame_towards(up, front)
        tint = choose_tint(r, _FOOD_TINTS[1:4]) if food == "apple" else choose_tint(r)
        if food == "pizza":
            facing = frame_towards(add(up, scale(front, 0.3)), scale(front, -1.0))
        actor.thing(food, food, bite, facing, size=1.2, tint=tint)
        grip = add(
            bite,
            add(
                scale(down, 0.09 if food == "ice cream" else 0.02),
                scale(left, sign * (0.07 if both or food == "sandwich" else 0.045)),
            ),
        )
        if food == "pizza":
            grip = add(bite, scale(front, 0.09))
    f.place_hand(
        side,
        grip,
        pole=(sign * 0.8, -1, 0),
        fingers=add(scale(left, -sign * 0.6), add(scale(up, 0.6), scale(front, -0.1))),
        fist=True,
    )
    if both:
        f.place_hand(
            1 - side,
            add(bite, add(scale(down, 0.02), scale(left, -sign * 0.07))),
            pole=(-sign * 0.8, -1, 0),
            fingers=add(scale(left, sign * 0.6), scale(up, 0.6)),
            fist=True,
        )
    elif food not in ("fork", "spoon") or actor.at_table:
        rest_hand(actor, 1 - side)
    actor.objects["food"] = {
        "fork": "food",
        "spoon": r.choice(("food", "soup")),
        "ice cream": "ice cream",
        "pizza": "a slice of pizza",
        "apple": "an apple",
    }.get(food, f"a {food}")
    if food in ("fork", "spoon"):
        actor.objects["tool"] = food
    if actor.at_table:
        table_setting(stage, actor)
    actor.face |= {
        "mouth_open": r.uniform(0.2, 0.65),
        "smile": 0.1,
        "gaze": (0.0, -0.5),
        "eyes_open": r.choice((1.0, 0.7)),
    }
    stage.focus.append(stage.enter(actor, yaw=stage.view((0, 35, 5), (35, 90, 5))).body.head)
    stage.vital += [thing.position for thing in stage.things if thing.kind in (food, "cutlery")]
    stage.framings = {"full body": 2, "waist up": 5.5, "close-up": 2.2}
