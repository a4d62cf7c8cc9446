"""Actions with something in the hands or on the head: telephones, music, cameras, books."""

from __future__ import annotations

from clip_har.samples.appearance import choose_tint
from clip_har.samples.figure import LEFT, RIGHT, SIDES
from clip_har.samples.geometry import add, frame_towards, point_in, scale, subtract, unit
from clip_har.samples.plans.accessories import (
    PHONES,
    other_hand,
    take_posture,
    wear_headphones,
)
from clip_har.samples.plans.postures import (
    on_table,
    rest_hand,
)
from clip_har.samples.plans.stage import Stage


def calling(stage: Stage) -> None:
    """A phone held to one ear."""
    actor = stage.actor()
    take_posture(stage, actor, 5, 3.5, 2, table=0.6)
    r, f, side = stage.rng, actor.figure, actor.some_side()
    sign = SIDES[side]
    f.turn_head(r.gauss(3, 6), r.gauss(0, 14), sign * r.uniform(2, 13))
    phone = f.by_head(sign * 0.112, -0.05, 0.03)
    left, up, front = f.head_frame
    long = unit(add(scale(up, 0.88), scale(front, -0.42)))
    facing = unit(add(scale(left, -sign * 0.78), scale(front, -0.62)))
    actor.thing("phone", "phone", phone, frame_towards(long, facing), size=1.32, tint=choose_tint(r, PHONES))
    f.place_hand(
        side,
        f.by_head(sign * 0.145, -0.085, 0.035),
        pole=(sign * 0.75, -1, 0.25),
        fingers=point_in((0, 0, 0), f.head_frame, -sign * 0.12, 1, 0.05),
        fist=True,
    )
    actor.objects["phone"] = r.choice(("phone", "mobile phone", "smartphone"))
    if actor.at_table and r.random() < 0.4:
        on_table(actor, "laptop", "laptop", r.uniform(-0.1, 0.1), 0.56, yaw=180)
    other_hand(stage, actor, 1 - side)
    actor.face |= {
        "mouth_open": r.choice((0.0, 0.25, 0.45)) * r.random(),
        "smile": r.gauss(0.25, 0.35),
        "gaze": (r.uniform(-1, 1), r.uniform(-0.4, 0.6)),
    }
    # mostly seen from the side of the phone or from in front
    yaw = r.uniform(-25, 65) * sign * -1 if r.random() < 0.86 else sign * r.uniform(30, 80)
    stage.focus.append(stage.enter(actor, yaw=yaw).body.head)
    stage.framings = {"full body": 3, "waist up": 5, "close-up": 2.4}


def texting(stage: Stage) -> None:
    """Eyes on a phone held before the body."""
    actor = stage.actor()
    take_posture(stage, actor, 5, 4.5, 1.5, table=0.3)
    r, f = stage.rng, actor.figure
    f.turn_head(r.uniform(16, 34), r.gauss(0, 6), r.gauss(0, 4))
    low = r.uniform(0.1, 0.3)
    both = r.random() < 0.55
    side = actor.some_side()
    centre = f.by_chest(0.0 if both else SIDES[side] * r.uniform(0.02, 0.1), -low, r.uniform(0.26, 0.33))
    gaze = unit(subtract(f.head, centre))
    frame = frame_towards(add((0.0, 1.0, 0.0), scale(gaze, -0.45)), gaze)
    actor.thing("phone", "phone", centre, frame, size=1.4, tint=choose_tint(r, PHONES))
    for hand in (RIGHT, LEFT) if both else (side,):
        sign = SIDES[hand]
        f.place_hand(
            hand,
            point_in(centre, frame, sign * 0.05, -0.065, -0.012),
            pole=(sign * 0.8, -1, -0.3),
            fingers=(-sign * 0.45, 0.75, 0.35),
            fist=True,
        )
    if not both:
        other_hand(stage, actor, 1 - side)
    actor.objects["phone"] = r.choice(("phone", "mobile phone", "smartphone", "cell phone"))
    if r.random() < 0.12:
        wear_headphones(actor, round_neck=True)
    actor.face |= {"eyes_open": 0.55, "gaze": (0.0, -1.0), "smile": r.gauss(0.15, 0.3)}
    stage.focus.append(stage.enter(actor, yaw=stage.view((0, 35, 5), (35, 95, 5), (110, 165, 0.8))).body.head)
    stage.vital += [thing.position for thing in stage.things if thing.kind == "phone" and thing.relation == "used"]
    stage.framings = {"full body": 3.4, "waist up": 5, "close-up": 1}


def listening_to_music(stage: Stage) -> None:
    """Headphones or earphones on, absorbed."""
    actor = stage.actor()
    take_posture(stage, actor, 4.5, 4.5, 1.5, table=0.4)
    r, f = stage.rng, actor.figure
    f.turn_head(r.gauss(0, 9), r.gauss(0, 16), r.gauss(0, 9))
    wires = r.random() < 0.2
    if wires:
        actor.thing("earphones", "earphones", f.head, f.head_frame, size=f.scale * f.look.head_scale)
    else:
        wear_headphones(actor)
    actor.objects["headphones"] = "earphones" if wires else r.choice(("headphones", "headphones", "a headset"))
    busy = set()
    if not wires and r.random() < 0.42:
        for side in (RIGHT, LEFT) if r.random() < 0.5 else (r.choice((RIGHT, LEFT)),):
            sign = SIDES[side]
            f.place_hand(
                side, f.by_head(sign * 0.15, -0.03, 0.015), pole=(sign, -0.9, 0.2), fingers=(-sign * 0.25, 1, 0.05)
            )
            busy.add(side)
    free = [side for side in (RIGHT, LEFT) if side not in busy]
    if free and r.random() < 0.3:
        side = free.pop()
        sign = SIDES[side]
        grip = f.place_hand(side, f.by_chest(sign * 0.12, -0.32, 0.26), fist=True, fingers=(-sign * 0.5, 0.5, 0.7))
        actor.thing(
            "phone",
            "phone",
            add(grip, (-sign * 0.015, 0.05, 0.012)),
            frame_towards((0, 0.8, 0.5), (0, 0.6, -1)),
            size=1.2,
            tint=choose_tint(r, PHONES),
        )
        actor.objects["carried"] = "phone"
    for side in free:
        rest_hand(actor, side)
    shut = r.random() < 0.5
    actor.face |= {
        "eyes_open": 0.1 if shut else 1.0,
        "smile": r.gauss(0.4, 0.3),
        "mouth_open": r.choice((0, 0, 0, 0.3)),
    }
    stage.focus.append(stage.enter(actor, yaw=stage.view((0, 40, 6), (40, 95, 4), (110, 170, 0.4))).body.head)
    stage.framings = {"full body": 2.6, "waist up": 5, "close-up": 2.6}


def taking_photo(stage: Stage) -> None:
    """A camera at the eye, or a phone held out."""
    actor = stage.actor()
    take_posture(stage, actor, 7, 1.5, 0)
    r, f = stage.rng, actor.figure
    f.turn_head(r.gauss(3, 4), r.gauss(0, 8), r.gauss(0, 3))
    left, up, front = f.head_frame
    if r.random() < 0.72:
        centre = f.by_head(0.0, -0.005, 0.165)
        actor.thing("camera", "camera", centre, f.head_frame, size=1.15)
        actor.objects["camera"] = "camera"
        apart, drop = 0.085, 0.035
    else:
        centre = f.by_head(0.0, 0.0, 0.42)
        actor.thing(
            "phone", "phone", centre, frame_towards(left, scale(front, -1.0)), size=1.3, tint=choose_tint(r, PHONES)
        )
        actor.objects["camera"] = "phone"
        apart, drop = 0.1, 0.02
    for side in (RIGHT, LEFT):
        sign = SIDES[side]
        grip = add(centre, add(scale(left, sign * apart), scale(up, -drop)))
        f.place_hand(
            side, grip, pole=(sign * 0.7, -1, 0), fingers=add(scale(up, 0.8), scale(left, -sign * 0.4)), fist=True
        )
    actor.face |= {"eyes_open": 0.6, "smile": 0.2}
    stage.enter(actor, yaw=stage.view((0, 40, 4), (40, 100, 6)))
    stage.vital += [thing.position for thing in stage.things if thing.kind in ("camera", "phone")]
    stage.framings = {"full body": 3, "waist up": 5, "close-up": 1.5}


def reading(stage: Stage) -> None:
    """Eyes on an open book."""
    actor = stage.actor()
    take_posture(stage, actor, 2.5, 7, 0, table=0.35)
    r, f = stage.rng, actor.figure
    f.turn_head(r.uniform(14, 30), r.gauss(0, 5), r.gauss(0, 4))
    centre = f.by_chest(0, -r.uniform(0.16, 0.28), r.uniform(0.3, 0.36))
    if actor.at_table:
        centre = (0.0, actor.table_height + 0.13, 0.45)
    gaze = unit(subtract(f.head, centre))
    frame = frame_towards(add((0.0, 1.0, 0.0), scale(gaze, -0.5)), gaze)
    actor.thing("book", "book", centre, frame, size=1.2)
    actor.objects["book"] = "book"
    for side in (RIGHT, LEFT):
        sign = SIDES[side]
        # the frame of the book looks back at the reader: its left is the reader's right
        f.place_hand(
            side,
            point_in(centre, frame, -sign * 0.155, -0.075, 0.03),
            pole=(sign, -1, -0.2),
            fingers=(-sign * 0.35, 0.8, 0.4),
            fist=True,
        )
    actor.face |= {"eyes_open": 0.55, "gaze": (0.0, -1.0)}
    stage.enter(actor, yaw=stage.view((0, 40, 5), (40, 95, 4), (120, 160, 0.7)))
    stage.vital += [thing.position for thing in stage.things if thing.kind == "book"]
    stage.framings = {"full body": 4, "waist up": 5, "close-up": 0.5}
