"""Standing, walking, running, sitting, lying: what actions are done in, and what idle hands do."""

from __future__ import annotations

from clip_har.samples.appearance import choose_tint, pick
from clip_har.samples.drawing.furniture import BED_HEIGHT, SEAT_HEIGHT
from clip_har.samples.figure import ANKLE_HEIGHT, LEFT, RIGHT, SIDES
from clip_har.samples.geometry import UPRIGHT, add, between, frame_towards, turn_frame
from clip_har.samples.palette import SOFA_TINTS, WOODS
from clip_har.samples.plans.stage import Actor
from clip_har.samples.scene import Tint

INDOOR_SEATS = (("chair", 4), ("sofa", 3.5), ("office chair", 1), ("stool", 1), ("floor", 1.2), ("bed", 1.5))
OUTDOOR_SEATS = (("bench", 5), ("low wall", 2.5), ("chair", 1.5), ("ground", 2.5))


def stand(actor: Actor) -> None:
    """On both feet, the weight a little to one side."""
    r, f = actor.rng, actor.figure
    k = f.scale
    shift = r.gauss(0, 0.025)
    f.trunk(
        (shift, 0.915 * k, 0.0), lean=r.uniform(-4, 5), side=-shift * 70 + r.gauss(0, 2), twist=r.gauss(0, 7), tuck=0.2
    )
    f.turn_head(r.gauss(3, 5), r.gauss(0, 12), r.gauss(0, 4))
    wide = r.uniform(0.07, 0.15)
    for side in (RIGHT, LEFT):
        f.place_foot(side, (SIDES[side] * wide * k + shift * 0.5, ANKLE_HEIGHT * k, r.gauss(0, 0.05) * k))
    actor.posture = "standing"


def walk(actor: Actor, stride: float = 1.0) -> None:
    """Mid-stride, with arms that swing unless they are placed afterwards."""
    r, f = actor.rng, actor.figure
    k = f.scale
    step = r.uniform(0.2, 0.3) * stride * k
    lead = r.choice((RIGHT, LEFT))
    f.trunk((0.0, 0.905 * k, 0.0), lean=r.uniform(0, 7), twist=(-8 if lead == LEFT else 8), tuck=0.2)
    f.turn_head(r.gauss(2, 4), r.gauss(0, 10), r.gauss(0, 3))
    f.place_foot(lead, (SIDES[lead] * 0.07 * k, ANKLE_HEIGHT * k, step), toes=(SIDES[lead] * 0.1, 0.15, 1))
    f.place_foot(1 - lead, (SIDES[1 - lead] * 0.07 * k, (ANKLE_HEIGHT + 0.07) * k, -step * 1.15), toes=(0, -0.75, 1))
    for side in (RIGHT, LEFT):
        swing = (-1 if side == lead else 1) * r.uniform(0.12, 0.24)
        x, y, z = f.shoulders[side]
        f.place_hand(side, (x + SIDES[side] * 0.07 * k, y - 0.54 * k, z + (swing + 0.05) * k))
    actor.posture = "walking"


def run(actor: Actor) -> None:
    """A running stride: one leg drives forward, the other is thrown back; elbows bent."""
    r, f = actor.rng, actor.figure
    k = f.scale
    lead = r.choice((RIGHT, LEFT))
    high = r.uniform(0.9, 0.99) * k
    f.trunk(
        (0.0, high, 0.0), lean=r.uniform(7, 19), twist=(-13 if lead == LEFT else 13) * r.uniform(0.6, 1.2), tuck=0.4
    )
    f.turn_head(-r.uniform(2, 12), r.gauss(0, 7), r.gauss(0, 3))
    reach, lift = r.uniform(0.3, 0.48), r.uniform(0.1, 0.3)
    f.place_foot(lead, (SIDES[lead] * 0.07 * k, lift * k, reach * k), toes=(0, 0.2, 1))
    f.place_foot(
        1 - lead,
        (SIDES[1 - lead] * 0.07 * k, r.uniform(0.28, 0.62) * k, -r.uniform(0.42, 0.56) * k),
        toes=(0, -0.95, -0.1),
    )
    for side in (RIGHT, LEFT):
        sign, forward = SIDES[side], side != lead
        x, y, z = f.shoulders[side]
        hand = (
            (x - sign * 0.06 * k, y - 0.16 * k, z + 0.3 * k)
            if forward
            else (x + sign * 0.08 * k, y - 0.36 * k, z - 0.1 * k)
        )
        f.place_hand(side, tuple(h + r.gauss(0, 0.03) for h in hand), pole=(sign * 0.35, -0.4, -0.9), fist=True)
    actor.posture = "running"


def crouch_feet(actor: Actor, pelvis_height: float) -> None:
    """Both feet on the ground with bent knees."""
    f = actor.figure
    k = f.scale
    for side in (RIGHT, LEFT):
        f.place_foot(side, (SIDES[side] * 0.16 * k, ANKLE_HEIGHT * k, 0.03), pole=(SIDES[side] * 0.4, 0, 1))


def sit(actor: Actor, seats: tuple[tuple[str, float], ...], table: float = 0.0) -> None:
    """On some seat, perhaps at a table.

    Args:
        actor: who sits; the seat and the table are added to the actor's things.
        seats: what may be sat on, with weights.
        table: probability of a table in front, where the seat allows it.
    """
    r, f = actor.rng, actor.figure
    k = f.scale
    kind = pick(r, seats)
    at_table = kind in ("chair", "office chair", "stool", "bench") and r.random() < table
    if at_table and kind == "stool":
        kind = "chair"
    actor.posture, actor.seat = "sitting", kind
    high = {"stool": 0.64, "floor": 0.0, "ground": 0.0, "bed": BED_HEIGHT, "sofa": 0.47}.get(kind, SEAT_HEIGHT + 0.02)
    if kind in ("floor", "ground"):
        _sit_on_floor(actor)
        if kind == "ground" and r.random() < 0.35:
            actor.thing("picnic blanket", "blanket", (0, 0, 0.25), size=1.5)
        return
    lean = {
        "sofa": r.uniform(-16, 4),
        "bench": r.uniform(-9, 10),
        "stool": r.uniform(-2, 12),
        "bed": r.uniform(-2, 14),
    }.get(kind, r.uniform(-7, 8))
    f.trunk(
        (0.0, high + 0.085 * k, 0.02),
        lean=lean + (5 if at_table else 0),
        side=r.gauss(0, 2.5),
        twist=r.gauss(0, 6),
        tuck=0.25,
    )
    f.turn_head(r.gauss(3, 5) - lean * 0.5, r.gauss(0, 12), r.gauss(0, 4))
    _seated_legs(actor, high, straight=at_table)
    _add_seat(actor, kind)
    if at_table:
        add_table(actor)


def _seated_legs(actor: Actor, high: float, straight: bool) -> None:
    r, f = actor.rng, actor.figure
    k = f.scale
    floor = max(ANKLE_HEIGHT * k, high - 0.4 * k)
    wide, forward = r.uniform(0.07, 0.19), r.uniform(0.36, 0.5)
    crossed = not straight and r.random() < 0.3
    for side in (RIGHT, LEFT):
        f.place_foot(
            side, (SIDES[side] * wide * k, floor, (forward + r.gauss(0, 0.03)) * k), pole=(SIDES[side] * 0.3, 0.8, 1)
        )
    if crossed:
        side = r.choice((RIGHT, LEFT))
        f.place_foot(
            side,
            (-SIDES[side] * 0.17 * k, high - 0.06 * k, 0.55 * k),
            pole=(SIDES[side] * 0.25, 1, 0.6),
            toes=(-SIDES[side] * 0.5, -0.4, 1),
        )


def _sit_on_floor(actor: Actor) -> None:
    r, f = actor.rng, actor.figure
    k = f.scale
    f.trunk((0.0, 0.1 * k, 0.0), lean=r.uniform(-6, 14), side=r.gauss(0, 2.5), twist=r.gauss(0, 5), tuck=0.3)
    f.turn_head(r.gauss(2, 5), r.gauss(0, 12), r.gauss(0, 4))
    style = r.random()
    for side in (RIGHT, LEFT):
        sign = SIDES[side]
        if style < 0.5:
            f.place_foot(
                side,
                (-sign * 0.13 * k, 0.08 * k, (0.3 + 0.07 * (side == LEFT)) * k),
                pole=(sign, 0.35, 0.5),
                toes=(-sign, -0.1, 0.2),
            )
        elif style < 0.75:
            f.place_foot(side, (sign * 0.13 * k, ANKLE_HEIGHT * k, r.uniform(0.4, 0.55) * k), pole=(sign * 0.2, 1, 0.3))
        else:
            f.place_foot(
                side, (sign * 0.1 * k, 0.09 * k, 0.8 * k), pole=(sign * 0.2, 1, 0.3), toes=(sign * 0.2, 0.9, 0.5)
            )


def _add_seat(actor: Actor, kind: str) -> None:
    r = actor.rng
    wood = choose_tint(r, WOODS)
    if kind == "sofa":
        actor.thing(
            "sofa",
            "sofa",
            (r.choice((0.0, 0.3, -0.3)), 0, -0.02),
            size=r.choice((0.95, 1.6, 2.0)),
            tint=choose_tint(r, SOFA_TINTS),
        )
    elif kind == "bench":
        actor.thing("bench", "bench", (r.uniform(-0.3, 0.3), 0, -0.02), size=1.6, tint=wood)
    elif kind == "bed":
        side = turn_frame(UPRIGHT, yaw=0)
        actor.thing(
            "bed",
            "bed",
            (r.uniform(-0.3, 0.5), 0, -0.4),
            side,
            size=1.1,
            tint=choose_tint(r, _SHEETS),
            accent=wood,
            nearer=0.3,
        )
        actor.thing("pillow", "", (-0.6, BED_HEIGHT, -0.45), tint=Tint("white", (232, 230, 226)))
    elif kind == "low wall":
        actor.thing("low wall", "wall", (0, 0, 0), size=2.4, tint=Tint("grey", (150, 146, 140)))
    elif kind == "stool":
        actor.thing("stool", "stool", (0, 0, 0), size=0.62, tint=wood)
    else:
        actor.thing(kind, "chair", (0, 0, 0), tint=wood if kind == "chair" else choose_tint(r), accent=wood)


_SHEETS = (
    Tint("white", (228, 226, 222)),
    Tint("light blue", (176, 194, 214)),
    Tint("grey", (178, 178, 182)),
    Tint("beige", (214, 200, 178)),
    Tint("pink", (220, 184, 184)),
)


def add_table(actor: Actor, z: float = 0.62, high: float = 0.73) -> None:
    """A table in front of an actor, whose legs go under it."""
    r = actor.rng
    kind = "round table" if r.random() < 0.3 else "table"
    size = r.uniform(0.75, 0.9) if kind == "round table" else r.uniform(1.1, 1.7)
    away = z if kind == "table" else 0.32 + size / 2
    actor.thing(
        kind,
        "table",
        (r.uniform(-0.15, 0.15), 0, away),
        size=size,
        tint=choose_tint(r, (*WOODS, Tint("white", (224, 222, 216)))),
    )
    actor.at_table, actor.table_height, actor.legs_behind = True, high, 1.4


def on_table(actor: Actor, kind: str, word: str, x: float, z: float, yaw: float = 0.0, **more) -> None:
    """A thing on the table in front of an actor."""
    actor.thing(
        kind,
        word,
        (x, actor.table_height + 0.005, z),
        turn_frame(UPRIGHT, yaw=yaw),
        nearer=0.12,
        **({"relation": "near"} | more),
    )


def rest_hand(actor: Actor, side: int) -> None:
    """Put an idle hand where idle hands go in this posture."""
    r, f = actor.rng, actor.figure
    sign, k = SIDES[side], f.scale
    x, y, z = f.shoulders[side]
    if actor.at_table:
        f.place_hand(
            side,
            (sign * r.uniform(0.08, 0.26), actor.table_height + 0.035, r.uniform(0.34, 0.48)),
            pole=(sign, -0.6, -0.4),
            fingers=(-sign * r.uniform(0.2, 0.8), -0.05, 1),
        )
    elif actor.posture == "sitting":
        style = r.random()
        thigh = between(f.hips[side], f.knee(side), r.uniform(0.45, 0.85))
        if style < 0.65:
            f.place_hand(side, add(thigh, (-sign * 0.01, 0.085 * k, 0.0)), fingers=(-sign * 0.25, -0.25, 1))
        elif style < 0.85:
            f.place_hand(side, f.by_hips(sign * 0.04, 0.1, 0.24), pole=(sign, -0.4, -0.3), fingers=(-sign, -0.2, 0.6))
        else:
            f.place_hand(
                side, f.by_hips(sign * 0.27, -0.03, -0.02), pole=(sign * 0.6, 0, -1), fingers=(sign * 0.3, -0.6, 0.6)
            )
    elif actor.posture == "walking":
        return
    else:
        style = r.random()
        if style < 0.52:
            f.place_hand(side, (x + sign * r.uniform(0.03, 0.12) * k, y - 0.585 * k, z + r.uniform(-0.02, 0.12) * k))
        elif style < 0.7:
            f.place_hand(
                side,
                f.by_hips(sign * 0.17, 0.06, 0.07),
                pole=(sign, -0.2, -0.4),
                fingers=(-sign * 0.2, -1, 0.2),
                fist=True,
            )
        elif style < 0.85:
            f.place_hand(
                side, f.by_hips(sign * 0.155, 0.11, 0.03), pole=(sign, 0.0, -0.5), fingers=(-sign * 0.6, -0.5, 0.4)
            )
        else:
            f.place_hand(
                side,
                f.by_chest(sign * r.uniform(0.12, 0.3), -r.uniform(0.2, 0.34), r.uniform(0.22, 0.34)),
                fingers=(sign * 0.2, 0.25, 1),
            )


def rest_hands(actor: Actor) -> None:
    """Both hands idle; sometimes folded in front."""
    r, f = actor.rng, actor.figure
    if actor.posture == "standing" and not actor.at_table and r.random() < 0.14:
        for side in (RIGHT, LEFT):
            sign = SIDES[side]
            f.place_hand(
                side,
                f.by_chest(-sign * 0.12, -0.24 - 0.03 * side, 0.19 + 0.03 * side),
                pole=(sign, -0.5, 0.2),
                fingers=(-sign, 0.1, 0.15),
            )
        return
    for side in (RIGHT, LEFT):
        rest_hand(actor, side)


def lie(actor: Actor, on_side: bool, high: float) -> None:
    """Lying along -x (the head) at a height; on the back, or on the side towards +z.

    Arms are placed too; the camera should look from +z and above.
    """
    r, f = actor.rng, actor.figure
    k = f.scale
    front = (0.0, 0.25, 1.0) if on_side else (0.0, 1.0, 0.12)
    base = frame_towards((-1.0, 0.0, 0.0), front)
    f.trunk(
        (0.1, high + (0.14 if on_side else 0.1) * k, 0.0),
        lean=r.uniform(4, 16) if on_side else r.uniform(-2, 4),
        base=base,
        tuck=0.3,
    )
    if on_side:
        f.turn_head(r.uniform(0, 12), r.uniform(-6, 14), r.uniform(-12, 12), with_chest=0.3)
        knees = (0.0, 0.15, 1.0)
        for side in (RIGHT, LEFT):
            f.place_foot(
                side, (0.72 * k, high + (0.08 + 0.08 * side) * k, (0.0 - 0.08 * side)), pole=knees, toes=(0.5, -0.1, 1)
            )
        f.place_hand(RIGHT, add(f.head, (0.02, -0.1 * k, 0.13)), pole=(0.6, -0.2, 1), fingers=(-1, 0.1, 0.1))
        f.place_hand(
            LEFT, (f.neck[0] + r.uniform(0.05, 0.22), high + 0.05, 0.32), pole=(1, 0.4, 0.3), fingers=(-0.7, -0.1, 0.6)
        )
    else:
        f.turn_head(r.uniform(2, 14), r.uniform(-50, 50), r.uniform(-6, 6), with_chest=0.3)
        for side in (RIGHT, LEFT):
            sign = SIDES[side]
            z = -sign * 0.12
            f.place_foot(side, (0.92 * k, high + 0.08 * k, z), pole=(0, 1, 0), toes=(0.4, 1, -sign * 0.3))
            if r.random() < 0.5:
                f.place_hand(
                    side,
                    (f.waist[0] - 0.05, f.waist[1] + 0.13 * k, -sign * 0.06),
                    pole=(0.2, 0.1, -sign),
                    fingers=(0.2, 0, sign),
                )
            elif r.random() < 0.4:
                f.place_hand(
                    side,
                    (f.head[0] - 0.1, high + 0.1, -sign * 0.24),
                    pole=(0, -0.2, -sign),
                    fingers=(-1, 0, sign * 0.5),
                )
            else:
                f.place_hand(
                    side, (f.pelvis[0] + 0.02, high + 0.05, -sign * 0.3), pole=(0.2, 0.1, -sign), fingers=(1, 0, 0)
                )
    actor.posture = "lying"
