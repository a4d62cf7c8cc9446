"""Sleeping, working at a laptop, and pastimes that keep one in place: guitar, painting, cooking."""

from __future__ import annotations

from clip_har.samples.appearance import choose_tint, pick
from clip_har.samples.drawing.furniture import BED_HEIGHT
from clip_har.samples.figure import LEFT, RIGHT, SIDES
from clip_har.samples.geometry import UPRIGHT, add, frame_towards, point_in, scale, turn_frame, unit
from clip_har.samples.palette import SOFA_TINTS, WOODS
from clip_har.samples.plans.accessories import table_setting, take_posture
from clip_har.samples.plans.postures import add_table, lie, rest_hand, rest_hands, sit, stand
from clip_har.samples.plans.stage import Actor, Stage
from clip_har.samples.scene import Tint

_SHEETS = (
    Tint("white", (228, 226, 222)),
    Tint("light blue", (170, 190, 212)),
    Tint("grey", (176, 176, 180)),
    Tint("beige", (212, 198, 176)),
    Tint("pink", (220, 184, 184)),
)


def sleeping(stage: Stage) -> None:
    """Eyes shut: lying in bed, on a sofa or on the ground, with the head on a desk, or nodding on a seat."""
    r = stage.rng
    indoor = stage.place.indoor
    style = pick(
        r,
        (("bed", 6), ("sofa", 2), ("desk", 1.6), ("seat", 1.6))
        if indoor
        else (("ground", 4), ("bench", 2), ("seat", 2)),
    )
    actor = stage.actor()
    actor.face |= {
        "eyes_open": 0.0,
        "smile": r.gauss(0.05, 0.15),
        "mouth_open": r.choice((0, 0, 0, 0.25)),
        "gaze": (0.0, 0.0),
    }
    if style == "desk":
        _asleep_at_desk(stage, actor)
    elif style == "seat":
        _asleep_on_seat(stage, actor)
    else:
        _asleep_lying(stage, actor, style)


def _asleep_lying(stage: Stage, actor: Actor, where: str) -> None:
    r, f = stage.rng, actor.figure
    on_side = r.random() < 0.6
    high = {"bed": BED_HEIGHT, "sofa": 0.47, "bench": 0.45}.get(where, 0.0)
    lie(actor, on_side, high)
    actor.seat = where
    x, _, z = f.head
    wood = choose_tint(r, WOODS)
    if where == "bed":
        actor.thing("bed", "bed", (0.12, 0, 0), size=r.uniform(0.95, 1.3), tint=choose_tint(r, _SHEETS), accent=wood)
    elif where == "sofa":
        actor.thing("sofa", "sofa", (0.1, 0, 0), size=2.2, tint=choose_tint(r, SOFA_TINTS), nearer=-0.9, seed=1)
    elif where == "bench":
        actor.thing("bench", "bench", (0.1, 0, 0.02), size=2.0, tint=wood, nearer=-0.3)
    elif r.random() < 0.6:
        actor.thing("picnic blanket", "blanket", (0.1, 0, 0.05), size=2.1)
    if where != "ground" or r.random() < 0.5:
        actor.thing("pillow", "pillow", (x - 0.03, high - 0.02, z), size=1.15, tint=choose_tint(r, _SHEETS))
    if where in ("bed", "sofa") and r.random() < (0.75 if where == "bed" else 0.4):
        start = f.neck[0] + r.uniform(0.12, 0.5)
        actor.thing(
            "blanket",
            "blanket",
            (start, high, 0.0),
            size=1.16 - start,
            tint=choose_tint(r),
            accent=choose_tint(r, _SHEETS),
        )
        actor.objects["cover"] = "blanket"
    person = stage.enter(actor, yaw=r.uniform(-26, 26))
    stage.pitch = (12, 34) if where != "bench" else (4, 18)
    stage.framings = {"full body": 4.5, "waist up": 4, "close-up": 2.5}
    stage.focus.append(person.body.head)


def _asleep_at_desk(stage: Stage, actor: Actor) -> None:
    r, f = stage.rng, actor.figure
    sit(actor, (("chair", 1), ("office chair", 1)))
    add_table(actor, z=0.6)
    k = f.scale
    f.trunk((0, 0.54, 0.02), lean=r.uniform(56, 66), tuck=0.25)
    turned = r.choice((-1, 1)) * r.uniform(45, 75)
    f.turn_head(r.uniform(4, 16), turned, 0, with_chest=0.2)
    for side in (RIGHT, LEFT):
        sign = SIDES[side]
        f.place_hand(
            side, (-sign * 0.1, 0.78, f.head[2] + 0.06 - 0.05 * side), pole=(sign, -0.2, 0.3), fingers=(-sign, 0, 0.2)
        )
    del k
    if r.random() < 0.55:
        actor.thing(
            "laptop",
            "laptop",
            (-0.42 * r.choice((-1, 1)), 0.735, 0.68),
            turn_frame(UPRIGHT, yaw=180),
            relation="near",
            nearer=0.12,
        )
    elif r.random() < 0.5:
        actor.thing("closed book", "book", (0.4, 0.735, 0.6), turn_frame(UPRIGHT, yaw=30), relation="near", nearer=0.12)
    actor.objects["desk"] = "desk"
    person = stage.enter(actor, yaw=stage.view((0, 40, 4), (40, 90, 6)))
    stage.focus.append(person.body.head)
    stage.pitch = (6, 22)


def _asleep_on_seat(stage: Stage, actor: Actor) -> None:
    r, f = stage.rng, actor.figure
    sit(actor, (("sofa", 3), ("chair", 2)) if stage.place.indoor else (("bench", 3), ("chair", 1)))
    f.trunk((0, f.pelvis[1], 0.05), lean=-r.uniform(8, 20), side=r.gauss(0, 5), tuck=0.4)
    f.turn_head(r.choice((-1, 1)) * r.uniform(12, 26), r.gauss(0, 12), r.choice((-1, 1)) * r.uniform(14, 30))
    rest_hands(actor)
    person = stage.enter(actor, yaw=stage.view((0, 40, 6), (40, 80, 4)))
    stage.focus.append(person.body.head)
    stage.framings = {"full body": 4, "waist up": 4.5, "close-up": 1.5}


def using_laptop(stage: Stage) -> None:
    """Hands on the keyboard of a laptop on a table or on the lap."""
    actor = stage.actor()
    r, f = stage.rng, actor.figure
    indoor = stage.place.indoor
    seats = (
        (("chair", 4), ("office chair", 2), ("sofa", 2.5), ("floor", 1.6), ("bed", 1.2))
        if indoor
        else (("bench", 4), ("ground", 4), ("chair", 3))
    )
    sit(actor, seats, table=0.9 if indoor else 0.6)
    f.turn_head(r.uniform(12, 26), r.gauss(0, 6), r.gauss(0, 4))
    backwards = turn_frame(UPRIGHT, yaw=180)
    if actor.at_table:
        centre, tilted = (r.uniform(-0.05, 0.05), actor.table_height + 0.005, 0.52), backwards
    elif actor.seat in ("floor", "ground"):
        centre, tilted = (
            (0.0, max(0.2, max(f.knee(RIGHT)[1], f.knee(LEFT)[1]) * 0.75 + 0.06), 0.38),
            turn_frame(backwards, pitch=r.uniform(-14, -4)),
        )
    else:
        centre, tilted = (0.0, f.pelvis[1] + 0.1 * f.scale, 0.36), turn_frame(backwards, pitch=r.uniform(-12, -2))
    metal = choose_tint(
        r,
        (
            Tint("grey", (178, 180, 184)),
            Tint("black", (48, 48, 54)),
            Tint("white", (224, 224, 222)),
            Tint("dark grey", (96, 98, 104)),
        ),
    )
    actor.thing("laptop", "laptop", centre, tilted, size=1.15, tint=metal, nearer=0.12 if actor.at_table else 0.05)
    actor.objects["laptop"] = r.choice(("laptop", "laptop", "laptop computer", "notebook computer"))
    actor.objects["on"] = "table" if actor.at_table else "lap"
    for side in (RIGHT, LEFT):
        sign = SIDES[side]
        f.place_hand(
            side,
            point_in(centre, tilted, -sign * 0.075, 0.045, 0.03),
            pole=(sign, -0.7, -0.4),
            fingers=(-sign * 0.25, -0.12, 1),
        )
    if r.random() < 0.16:
        side = actor.some_side()
        f.place_hand(
            side, f.by_head(SIDES[side] * 0.05, -0.14, 0.07), pole=(SIDES[side], -1, 0.2), fingers=(0, 1, 0), fist=True
        )
    if actor.at_table and r.random() < 0.5:
        table_setting(stage, actor)
    actor.face |= {"gaze": (0.0, -0.9), "eyes_open": 0.7, "smile": r.gauss(0.15, 0.25)}
    person = stage.enter(actor, yaw=stage.view((0, 35, 4), (35, 100, 6), (120, 160, 1.3)))
    stage.focus += [stage.things[-1].position if not actor.at_table else person.body.wrists[0], person.body.head]
    stage.vital += [thing.position for thing in stage.things if thing.kind == "laptop" and thing.relation == "used"]
    stage.framings = {"full body": 4, "waist up": 6, "close-up": 0.5}
    stage.pitch = (2, 16)


def playing_guitar(stage: Stage) -> None:
    """A guitar across the body."""
    actor = stage.actor()
    take_posture(stage, actor, 4, 6)
    r, f = stage.rng, actor.figure
    f.turn_head(r.uniform(0, 16), r.uniform(0, 25), 0)
    left, up, front = f.chest_frame
    centre = f.by_chest(-0.07, -0.3, 0.19)
    neck = unit(add(add(scale(left, 0.92), scale(up, r.uniform(0.25, 0.5))), scale(front, 0.12)))
    frame = frame_towards(neck, add(front, scale(up, 0.12)))
    woods = (
        Tint("brown", (176, 112, 58)),
        Tint("light brown", (208, 158, 92)),
        Tint("red", (150, 44, 38)),
        Tint("black", (40, 38, 42)),
    )
    actor.thing("guitar", "guitar", centre, frame, tint=choose_tint(r, woods))
    actor.objects["instrument"] = "guitar"
    f.place_hand(
        RIGHT,
        add(point_in(centre, frame, 0.0, 0.03, 0.06), scale(up, 0.02)),
        pole=(-1, -0.2, 0),
        fingers=(0.7, -0.6, 0.1),
    )
    f.place_hand(
        LEFT, point_in(centre, frame, 0.0, 0.5 * f.scale, 0.0), pole=(0.6, -1, -0.2), fingers=(0.1, 0.8, 0.5), fist=True
    )
    actor.face |= {"mouth_open": r.choice((0, 0.3, 0.5)), "smile": r.uniform(0, 0.6)}
    stage.enter(actor, yaw=stage.view((0, 50, 8), (50, 80, 1)))
    stage.framings = {"full body": 4, "waist up": 6, "close-up": 0}


def painting(stage: Stage) -> None:
    """A brush at a canvas on an easel."""
    actor = stage.actor()
    stand(actor)
    r, f = stage.rng, actor.figure
    f.turn_head(r.uniform(2, 10), r.gauss(0, 6), 0)
    easel = (0.1, 0.0, 0.72)
    actor.thing("easel", "easel", easel, turn_frame(UPRIGHT, yaw=180))
    side = actor.some_side()
    sign = SIDES[side]
    grip = f.place_hand(
        side, f.by_chest(sign * r.uniform(0.02, 0.2), -r.uniform(0.0, 0.18), 0.44), pole=(sign, -1, 0), fist=True
    )
    actor.thing("brush", "brush", add(grip, (0, 0.02, 0.03)), frame_towards((0.1, 0.35, 0.9), (0, 1, 0)))
    held = f.place_hand(1 - side, f.by_chest(-sign * 0.14, -0.28, 0.24), fingers=(sign * 0.3, 0, 1))
    actor.thing("palette", "palette", add(held, (0, 0.02, 0.08)), frame_towards((0, 0.35, 1), (0, 1, -0.3)))
    actor.objects["tool"] = "brush"
    person = stage.enter(actor, yaw=stage.view((55, 100, 4), (100, 150, 6)))
    stage.focus += [
        add(stage.things[-3].position, (0, 1.5, 0)),
        add(stage.things[-3].position, (0, 0.95, 0)),
        person.body.head,
    ]
    stage.vital += [add(thing.position, (0, 1.2, 0)) for thing in stage.things if thing.kind == "easel"]
    stage.vital += [thing.position for thing in stage.things if thing.kind == "brush"]
    stage.framings = {"full body": 5, "waist up": 5, "close-up": 0}


def cooking(stage: Stage) -> None:
    """At a stove with a pan and something to stir with."""
    actor = stage.actor()
    stand(actor)
    r, f = stage.rng, actor.figure
    f.turn_head(r.uniform(12, 26), r.gauss(0, 8), 0)
    actor.legs_behind = 1.4
    stove = choose_tint(r, (Tint("white", (226, 226, 224)), Tint("grey", (160, 162, 166)), Tint("black", (60, 60, 64))))
    actor.thing("stove", "stove", (0, 0, 0.62), turn_frame(UPRIGHT, yaw=180), tint=stove)
    side = actor.some_side()
    sign = SIDES[side]
    pan = (sign * 0.08, 0.905, 0.6)
    actor.thing("pan", "pan", pan, frame_towards((0, 1, 0), (-sign * 0.75, 0, -0.7)))
    f.place_hand(1 - side, add(pan, scale(unit((-sign * 0.75, 0.15, -0.7)), 0.3)), pole=(-sign, -0.6, 0), fist=True)
    grip = f.place_hand(side, add(pan, (sign * 0.08, 0.26, -0.1)), pole=(sign, -0.7, 0), fist=True)
    actor.thing("spatula", "spatula", grip, frame_towards((-sign * 0.25, -0.85, 0.4), (0, 0, 1)), tint=choose_tint(r))
    if r.random() < 0.5:
        actor.thing("pot", "pot", (-sign * 0.24, 0.905, 0.68), tint=choose_tint(r))
    if r.random() < 0.7:
        actor.thing("steam", "", (pan[0], 0.96, 0.6))
    actor.objects["tool"] = "pan"
    person = stage.enter(actor, yaw=stage.view((0, 40, 4), (40, 100, 6)))
    stage.focus += [
        add(stage.things[-1].position, (0, 0, 0)),
        person.body.head,
        person.body.wrists[0],
        person.body.wrists[1],
    ]
    stage.vital += [thing.position for thing in stage.things if thing.kind == "pan"]
    stage.framings = {"full body": 3, "waist up": 7, "close-up": 0}
    stage.pitch = (3, 14)


__all__ = ["cooking", "painting", "playing_guitar", "rest_hand", "sleeping", "using_laptop"]
