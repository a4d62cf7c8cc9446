"""Actions of the whole body: walking, running, cycling, dancing, jumping, kicking, pushing, sweeping, lifting."""

from __future__ import annotations

from dataclasses import replace
from math import cos, pi, radians, sin

from clip_har.samples.appearance import choose_tint
from clip_har.samples.drawing.equipment import CRANK, CRANK_LENGTH, HANDLEBAR, SADDLE
from clip_har.samples.figure import ANKLE_HEIGHT, LEFT, RIGHT, SIDES
from clip_har.samples.geometry import UPRIGHT, Vector, add, frame_towards, scale, turn_frame, unit
from clip_har.samples.plans.accessories import hold_low_drink, table_setting, wear_headphones
from clip_har.samples.plans.postures import INDOOR_SEATS, OUTDOOR_SEATS, rest_hand, rest_hands, run, sit, stand, walk
from clip_har.samples.plans.stage import Actor, Stage
from clip_har.samples.scene import Tint

_FULL = {"full body": 7, "waist up": 1.3, "close-up": 0}


def walking(stage: Stage) -> None:
    """A relaxed stride, sometimes with a bag."""
    r = stage.rng
    actor = stage.actor()
    walk(actor, 1.15)
    f = actor.figure
    if r.random() < 0.25:
        side = actor.some_side()
        x, y, z = f.shoulders[side]
        grip = f.place_hand(side, (x + SIDES[side] * 0.09, y - 0.56 * f.scale, z + 0.04), fist=True)
        actor.thing("bag", "bag", add(grip, (0, -0.02, 0)), turn_frame(UPRIGHT, yaw=90))
        actor.objects["carried"] = "bag"
    stage.enter(actor, yaw=stage.view((0, 30, 2), (30, 95, 6), (130, 180, 1)))
    stage.framings = _FULL


def running(stage: Stage) -> None:
    """A running stride; sometimes two runners."""
    r = stage.rng
    yaw = stage.view((0, 30, 2.5), (30, 95, 7), (130, 170, 0.5))
    count = 1 if r.random() < 0.76 else 2
    for i in range(count):
        actor = stage.actor()
        run(actor)
        actor.face |= {"mouth_open": r.choice((0.0, 0.2, 0.35)), "smile": r.gauss(0.0, 0.3)}
        stage.enter(actor, (i * r.uniform(0.7, 0.95), 0.0, -0.4 * i), yaw + r.gauss(0, 5))
    stage.framings = {"full body": 7, "waist up": 2.4, "close-up": 0.1}


def cycling(stage: Stage) -> None:
    """On a bicycle, both feet on the pedals."""
    r = stage.rng
    yaw = stage.view((0, 30, 2), (30, 60, 3), (60, 100, 5), (125, 165, 0.8))
    count = 1 if r.random() < 0.84 else 2
    for i in range(count):
        actor = stage.actor(r.choice(("man", "woman")))
        f = actor.figure
        k = f.scale
        _, y, z = SADDLE
        upright = r.random() < 0.5
        f.trunk((0.0, y + 0.085 * k, z + 0.02), lean=r.uniform(12, 26) if upright else r.uniform(30, 46), tuck=0.5)
        f.turn_head(-r.uniform(6, 16) if upright else -r.uniform(18, 34), r.gauss(0, 10), 0)
        hx, hy, hz = HANDLEBAR
        crank = r.randrange(360)
        for side in (RIGHT, LEFT):
            sign = SIDES[side]
            f.place_hand(
                side, (sign * hx, hy + 0.035, hz - 0.06), pole=(sign * 0.5, -0.8, -0.4), fingers=(0, -0.3, 1), fist=True
            )
            angle = radians(crank) + (pi if side == LEFT else 0)
            pedal = (sign * 0.1, CRANK[1] + CRANK_LENGTH * sin(angle), CRANK[2] + CRANK_LENGTH * cos(angle))
            f.place_foot(side, add(pedal, (0, 0.11 * k, -0.06 * k)), pole=(sign * 0.12, 0.2, 1), toes=(0, -0.3, 1))
        actor.posture, actor.seat = "riding", "bicycle"
        actor.thing("bicycle", "bicycle", (0, 0, 0), seed=(crank + 180) % 360)
        actor.objects["bicycle"] = r.choice(("bicycle", "bike"))
        if r.random() < 0.42:
            actor.look = replace(actor.look, headwear="helmet", headwear_tint=choose_tint(r))
        spread = 1.2 if abs(cos(radians(yaw))) > 0.6 else 1.9
        person = stage.enter(actor, (spread * (i - (count - 1) / 2), 0.0, -0.6 * i), yaw + r.gauss(0, 4))
        stage.focus += [add(person.body.pelvis, (dx, dy, 0.0)) for dx in (-0.5, 0.5) for dy in (-0.95, 0.3)]
    stage.framings = {"full body": 8, "waist up": 1.3, "close-up": 0.1}


def _dancer(stage: Stage, actor: Actor) -> None:
    r, f = stage.rng, actor.figure
    k = f.scale
    hip = r.uniform(-0.09, 0.09)
    f.trunk(
        (hip, r.uniform(0.78, 0.91) * k, 0.0),
        lean=r.uniform(-14, 14),
        side=r.uniform(-20, 20),
        twist=r.uniform(-28, 28),
        tuck=0.0,
    )
    f.turn_head(r.gauss(-3, 9), r.gauss(0, 20), r.gauss(0, 12))
    free = r.choice((RIGHT, LEFT))
    wide = r.uniform(0.1, 0.26)
    for side in (RIGHT, LEFT):
        f.place_foot(
            side,
            (SIDES[side] * wide * k + hip * 0.3, ANKLE_HEIGHT * k, r.gauss(0, 0.1) * k),
            pole=(SIDES[side] * 0.7, 0, 1),
        )
    style = r.random()
    if style < 0.35:
        f.place_foot(
            free,
            (SIDES[free] * r.uniform(0.05, 0.3) * k, r.uniform(0.25, 0.5) * k, -r.uniform(0.1, 0.3) * k),
            pole=(SIDES[free] * 0.6, 0, 1),
            toes=(SIDES[free] * 0.3, -0.8, 0.3),
        )
    elif style < 0.55:
        f.place_foot(
            free,
            (SIDES[free] * r.uniform(0.35, 0.6) * k, r.uniform(0.08, 0.4) * k, r.uniform(0, 0.25) * k),
            toes=(SIDES[free], -0.3, 0.6),
        )
    arms = r.random()
    for side in (RIGHT, LEFT):
        sign = SIDES[side]
        high = f.by_chest(sign * r.uniform(0.08, 0.42), r.uniform(0.3, 0.55), r.uniform(-0.05, 0.2))
        out = f.by_chest(sign * r.uniform(0.45, 0.62), r.uniform(-0.18, 0.12), r.uniform(-0.05, 0.25))
        bent = f.by_chest(sign * r.uniform(0.22, 0.36), r.uniform(-0.3, -0.02), r.uniform(0.15, 0.3))
        if arms < 0.3 or (arms < 0.6 and side == free):
            target = high
        elif arms < 0.8:
            target = out
        else:
            target = bent
        if arms >= 0.6 and side == free and r.random() < 0.35:
            f.place_hand(
                side,
                f.by_hips(sign * 0.17, 0.07, 0.06),
                pole=(sign, -0.1, -0.3),
                fingers=(-sign * 0.3, -0.8, 0.3),
                fist=True,
            )
        else:
            f.place_hand(side, target, pole=(sign, -0.5, -0.2))
    actor.face |= {
        "smile": r.uniform(0.2, 0.95),
        "mouth_open": r.choice((0, 0, 0.3, 0.5)),
        "eyes_open": r.choice((1, 1, 0.1)),
    }


def dancing(stage: Stage) -> None:
    """Hips and arms swung to music, alone, in twos or threes, or as a couple hand in hand."""
    r = stage.rng
    count = r.choice((1, 1, 1, 1, 2, 2, 3))
    for i in range(count):
        actor = stage.actor()
        _dancer(stage, actor)
        x = 0.95 * (i - (count - 1) / 2)
        if count == 2 and r.random() < 0.5:
            # hand in hand
            inner = LEFT if i == 0 else RIGHT
            f = actor.figure
            f.place_hand(
                inner, (SIDES[inner] * 0.47, r.uniform(1.0, 1.2), 0.12), pole=(SIDES[inner] * 0.3, -1, 0), fist=True
            )
        stage.enter(
            actor,
            (x, 0, r.uniform(-0.3, 0.1) if count > 1 else 0),
            stage.view((0, 45, 7), (45, 100, 2), (140, 180, 0.7)) if count != 2 else r.uniform(-20, 20),
        )
    stage.framings = _FULL


def jumping(stage: Stage) -> None:
    """Both feet off the ground."""
    r = stage.rng
    count = 1 if r.random() < 0.8 else 2
    for i in range(count):
        actor = stage.actor()
        f = actor.figure
        k = f.scale
        high = r.uniform(1.15, 1.42) * k
        f.trunk((0, high, 0), lean=r.uniform(-10, 10), side=r.gauss(0, 5), tuck=0.3)
        f.turn_head(-r.uniform(0, 12), r.gauss(0, 10), 0)
        style = r.random()
        for side in (RIGHT, LEFT):
            sign = SIDES[side]
            if style < 0.4:
                f.place_foot(
                    side,
                    (sign * 0.12 * k, high - r.uniform(0.42, 0.55) * k, -0.32 * k),
                    pole=(sign * 0.2, -0.2, 1),
                    toes=(0, -1, -0.3),
                )
            elif style < 0.75:
                f.place_foot(
                    side, (sign * r.uniform(0.3, 0.5) * k, high - 0.72 * k, -0.02), toes=(sign * 0.4, -0.8, 0.4)
                )
            else:
                f.place_foot(
                    side, (sign * 0.1 * k, high - 0.55 * k, (0.35 if side == RIGHT else -0.35) * k), toes=(0, -0.6, 1)
                )
            if r.random() < 0.85:
                f.place_hand(
                    side,
                    f.by_chest(sign * r.uniform(0.15, 0.42), r.uniform(0.35, 0.55), r.uniform(-0.05, 0.15)),
                    pole=(sign, -0.5, 0),
                )
            else:
                f.place_hand(side, f.by_chest(sign * 0.55, r.uniform(-0.1, 0.1), 0.05), pole=(sign, -0.5, -0.3))
        actor.posture = "jumping"
        actor.face |= {"smile": r.uniform(0.4, 1), "mouth_open": r.choice((0.2, 0.5, 0.8))}
        stage.enter(actor, (0.95 * (i - (count - 1) / 2), 0, 0), stage.view((0, 40, 6), (40, 95, 3)))
    stage.framings = {"full body": 9, "waist up": 0, "close-up": 0}


def kicking_ball(stage: Stage) -> None:
    """One leg swung at a ball."""
    r = stage.rng
    actor = stage.actor()
    f = actor.figure
    k = f.scale
    kick = r.choice((RIGHT, LEFT))
    f.trunk(
        (0, 0.9 * k, 0), lean=r.uniform(-14, 4), side=-SIDES[kick] * r.uniform(2, 10), twist=-SIDES[kick] * 14, tuck=0.3
    )
    f.turn_head(r.uniform(8, 20), r.gauss(0, 6), 0)
    f.place_foot(1 - kick, (-SIDES[kick] * 0.06 * k, ANKLE_HEIGHT * k, -0.02))
    forward = r.random() < 0.7
    foot = (
        (SIDES[kick] * 0.03 * k, r.uniform(0.14, 0.4) * k, r.uniform(0.5, 0.66) * k)
        if forward
        else (SIDES[kick] * 0.14 * k, 0.42 * k, -0.45 * k)
    )
    f.place_foot(kick, foot, pole=(SIDES[kick] * 0.2, 0.4, 1), toes=(0, 0.2 if forward else -1, 1 if forward else -0.2))
    for side in (RIGHT, LEFT):
        sign = SIDES[side]
        ahead = 0.3 if side != kick else -0.25
        f.place_hand(
            side, f.by_chest(sign * r.uniform(0.35, 0.52), -r.uniform(0.12, 0.34), ahead), pole=(sign, -0.4, -0.4)
        )
    ball: Vector = (0.0, r.choice((0.13, 0.13, 0.35)), foot[2] + r.uniform(0.2, 0.45)) if forward else (0.0, 0.13, 0.42)
    actor.thing("ball", "ball", ball, size=0.135, tint=Tint("white", (236, 236, 232)), accent=choose_tint(r))
    actor.objects["ball"] = r.choice(("ball", "football", "soccer ball"))
    yaw = stage.view((0, 30, 2), (30, 100, 7))
    person = stage.enter(actor, yaw=yaw)
    stage.focus += [stage.things[-1].position, person.body.head]
    stage.framings = {"full body": 9, "waist up": 0, "close-up": 0}


def pushing(stage: Stage) -> None:
    """Pushing a shopping cart, a pram or a crate."""
    r = stage.rng
    actor = stage.actor()
    walk(actor)
    f = actor.figure
    k = f.scale
    kind, word = r.choice(
        (("shopping cart", "shopping cart"), ("pram", "pram"), ("pram", "stroller"), ("crate", "big box"))
    )
    heavy = kind == "crate"
    f.trunk((0, (0.84 if heavy else 0.9) * k, 0), lean=r.uniform(24, 36) if heavy else r.uniform(4, 14), tuck=0.4)
    f.turn_head(-r.uniform(0, 10), r.gauss(0, 8), 0)
    if heavy:
        for side, z in ((RIGHT, -0.5), (LEFT, 0.05)):
            f.place_foot(side, (SIDES[side] * 0.1 * k, ANKLE_HEIGHT * k, z * k), toes=(0, -0.4, 1))
    size = r.uniform(0.95, 1.3) if heavy else 1.0
    reach = 0.42 if not heavy else 0.5
    for side in (RIGHT, LEFT):
        sign = SIDES[side]
        if heavy:
            f.place_hand(side, (sign * 0.2, 0.78 * size * k, 0.56), pole=(sign, -0.6, 0), fingers=(0, 0.8, 0.5))
        else:
            f.place_hand(
                side, (sign * 0.18, 1.02, reach - 0.02), pole=(sign * 0.7, -0.8, -0.4), fingers=(0, -0.1, 1), fist=True
            )
    actor.thing(
        kind,
        word,
        (0, 0, 0.6 + 0.36 * size if heavy else reach + 0.42),
        size=size,
        tint=choose_tint(r) if not heavy else Tint("brown", (178, 138, 92)),
    )
    actor.objects["load"] = word
    person = stage.enter(actor, yaw=stage.view((20, 50, 3), (50, 100, 7)))
    stage.vital.append(stage.things[-1].position)
    stage.focus += [add(stage.things[-1].position, (0, 0.4, 0)), person.body.head, person.body.toes[0]]
    stage.framings = {"full body": 8, "waist up": 0, "close-up": 0}


def sweeping(stage: Stage) -> None:
    """Both hands on a broom."""
    r = stage.rng
    actor = stage.actor()
    stand(actor)
    f = actor.figure
    k = f.scale
    f.trunk((0, 0.89 * k, 0), lean=r.uniform(8, 24), twist=r.uniform(-14, 14), tuck=0.3)
    f.turn_head(r.uniform(8, 22), r.gauss(0, 8), 0)
    side = actor.some_side()
    sign = SIDES[side]
    tip = (sign * r.uniform(0.1, 0.5), 0.13, r.uniform(0.55, 0.8))
    top = (-sign * r.uniform(0.0, 0.2), 1.42 * k, r.uniform(0.12, 0.28))
    axis = unit(tuple(b - a for a, b in zip(tip, top, strict=True)))
    actor.thing("broom", "broom", tip, frame_towards(axis, (0, 0, 1)), size=1.42, tint=choose_tint(r))
    actor.objects["tool"] = "broom"
    for hand, along in ((side, 0.72), (1 - side, 1.16)):
        f.place_hand(hand, add(tip, scale(axis, along * k)), pole=(SIDES[hand], -0.6, -0.2), fist=True)
    person = stage.enter(actor, yaw=stage.view((0, 40, 5), (40, 95, 5)))
    stage.focus += [stage.things[-1].position, person.body.head]
    stage.framings = {"full body": 8, "waist up": 0, "close-up": 0}


def lifting_weights(stage: Stage) -> None:
    """A barbell overhead or at the chest, or dumbbells."""
    r = stage.rng
    actor = stage.actor()
    stand(actor)
    f = actor.figure
    f.turn_head(r.gauss(-2, 4), r.gauss(0, 6), 0)
    style = r.random()
    if style < 0.5:
        high = r.choice((0.4, 0.5, 0.02))
        far = 0.04 if high > 0.2 else 0.17
        for side in (RIGHT, LEFT):
            f.place_hand(side, f.by_chest(SIDES[side] * 0.32, high, far), pole=(SIDES[side], -0.7, 0.2), fist=True)
        middle = tuple((a + b) / 2 for a, b in zip(f.middle_of_hand(RIGHT), f.middle_of_hand(LEFT), strict=True))
        actor.thing("barbell", "barbell", middle, tint=choose_tint(r))
        actor.objects["weight"] = "barbell"
    else:
        both = r.random() < 0.6
        for side in (RIGHT, LEFT) if both else (RIGHT,):
            up = r.random() < 0.6
            target = f.by_chest(SIDES[side] * 0.27, -0.1 if up else -0.36, 0.28 if up else 0.3)
            grip = f.place_hand(side, target, pole=(SIDES[side] * 0.4, -1, -0.4), fist=True)
            actor.thing(
                "dumbbell",
                "dumbbells" if both else "dumbbell",
                grip,
                turn_frame(UPRIGHT, yaw=r.uniform(-25, 25)),
                size=1.15,
                tint=choose_tint(r),
            )
        if not both:
            rest_hand(actor, LEFT)
        actor.objects["weight"] = "dumbbells" if both else "dumbbell"
    actor.face |= {"brows": -0.5, "mouth_open": r.choice((0, 0.2)), "smile": -0.2}
    stage.enter(actor, yaw=stage.view((0, 45, 7), (45, 90, 3)))
    weights = [thing.position for thing in stage.things if thing.kind in ("barbell", "dumbbell")]
    stage.vital += [add(weight, (0, high, 0)) for weight in weights for high in (-0.12, 0.12)]
    stage.framings = {"full body": 5, "waist up": 5, "close-up": 0}


def sitting(stage: Stage) -> None:
    """Sitting and nothing else; things in reach lie unused."""
    r = stage.rng
    count = 1 if r.random() < 0.78 else 2
    seats = INDOOR_SEATS if stage.place.indoor else OUTDOOR_SEATS
    yaw = stage.view((0, 40, 5), (40, 100, 5), (130, 165, 0.6))
    for i in range(count):
        actor = stage.actor()
        sit(actor, seats, table=0.3)
        if r.random() < 0.09 and not actor.at_table:
            side = actor.some_side()
            hold_low_drink(actor, side)
            rest_hand(actor, 1 - side)
        else:
            rest_hands(actor)
        if actor.at_table:
            table_setting(stage, actor)
        if r.random() < 0.05:
            wear_headphones(actor, round_neck=True)
        actor.face["gaze"] = (r.uniform(-1, 1), r.uniform(-0.6, 0.4))
        person = stage.enter(actor, (1.3 * (i - (count - 1) / 2), 0, 0), yaw + r.gauss(0, 8))
        stage.focus += [person.body.head, person.body.knees[0], person.body.knees[1]]
    stage.framings = {"full body": 6, "waist up": 3.4, "close-up": 0.2}
