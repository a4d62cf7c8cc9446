"""Actions that need two people: hugging and fighting."""

from __future__ import annotations

from math import cos, radians, sin

from clip_har.samples.appearance import choose_tint, pick
from clip_har.samples.figure import ANKLE_HEIGHT, LEFT, RIGHT, SIDES
from clip_har.samples.geometry import Vector, add
from clip_har.samples.plans.stage import Actor, Stage
from clip_har.samples.scene import Tint


def _face_to_face(stage: Stage, first: Actor, second: Actor, apart: float, aside: float = 0.0) -> None:
    """Two actors who look at each other, the pair turned at random."""
    turn = (
        stage.rng.uniform(-42, 42)
        if stage.rng.random() < 0.85
        else stage.rng.uniform(42, 75) * stage.rng.choice((-1, 1))
    )
    for actor, sign in ((first, -1.0), (second, 1.0)):
        angle = radians(turn)
        x, z = sign * apart / 2, sign * aside / 2
        position: Vector = (x * cos(angle) + z * sin(angle), 0.0, -x * sin(angle) + z * cos(angle))
        stage.enter(actor, position, -sign * 90 + turn)


def hugging(stage: Stage) -> None:
    """Two people with their arms round each other."""
    r = stage.rng
    pair = [stage.actor(), stage.actor()]
    small = min(actor.look.height for actor in pair) < 1.5 < max(actor.look.height for actor in pair)
    apart = r.uniform(0.25, 0.33)
    aside = r.uniform(0.06, 0.14)
    for i, actor in enumerate(pair):
        f, other = actor.figure, pair[1 - i].look.height
        k = f.scale
        tall = actor.look.height
        lean = r.uniform(3, 9) + (26 if small and tall > other else 0)
        f.trunk(
            (0.0, (0.905 - (0.08 if small and tall > other else 0)) * k, 0.0), lean=lean, side=r.gauss(0, 2), tuck=0.3
        )
        # heads pass each other on the side of the gap between the bodies
        f.turn_head(r.uniform(2, 14) + (10 if tall > other else -4), -r.uniform(5, 25), -r.uniform(4, 14))
        for side in (RIGHT, LEFT):
            sign = SIDES[side]
            over = (side == RIGHT) == (r.random() < 0.8)
            high = other * (0.72 if over else 0.62)
            high = min(max(high, f.shoulders[side][1] - 0.4), f.shoulders[side][1] + 0.12)
            f.place_hand(
                side,
                (-aside - sign * 0.03, high, apart + 0.15),
                pole=(sign, -0.35, -0.15),
                fingers=(-sign, 0.15 if over else -0.2, 0.15),
            )
            f.place_foot(side, (sign * 0.1 * k, ANKLE_HEIGHT * k, r.gauss(-0.03, 0.04)))
        actor.face |= {"eyes_open": r.choice((0.0, 0.0, 1.0)), "smile": r.uniform(0.3, 1.0)}
    _face_to_face(stage, *pair, apart, aside)
    stage.framings = {"full body": 3, "waist up": 6, "close-up": 1.5}


def fighting(stage: Stage) -> None:
    """Two people who punch, kick, guard or grapple."""
    r = stage.rng
    first, second = stage.actor(), stage.actor()
    style = pick(r, (("punch", 5), ("guard", 2.5), ("kick", 2), ("grapple", 2.5)))
    apart = {
        "punch": r.uniform(0.66, 0.82),
        "guard": r.uniform(0.8, 1.05),
        "kick": r.uniform(0.85, 1.0),
        "grapple": r.uniform(0.48, 0.6),
    }[style]
    for actor, other in ((first, second), (second, first)):
        _guard(stage, actor)
        actor.face |= {
            "brows": -1.0,
            "smile": -r.uniform(0.2, 0.8),
            "mouth_open": r.choice((0.0, 0.2, 0.4)),
            "gaze": (0.0, 0.0),
        }
        if style == "grapple":
            f = actor.figure
            f.trunk((0, 0.84 * f.scale, -0.06), lean=r.uniform(18, 32), tuck=0.3)
            f.turn_head(-r.uniform(0, 10), r.gauss(0, 12), 0)
            for side in (RIGHT, LEFT):
                high = other.look.height * r.uniform(0.72, 0.84)
                f.place_hand(
                    side,
                    (SIDES[side] * 0.16, high, apart - r.uniform(0.02, 0.14)),
                    pole=(SIDES[side], -0.5, 0),
                    fist=True,
                )
    if style == "punch":
        _punch(stage, first, second, apart)
    elif style == "kick":
        _kick(stage, first, second, apart)
    gloves = r.random() < (0.5 if stage.place.kind == "gym" else 0.12)
    if gloves:
        tint = choose_tint(r, (Tint("red", (180, 40, 42)), Tint("blue", (44, 80, 160)), Tint("black", (40, 40, 46))))
        for actor in (first, second):
            for side in (RIGHT, LEFT):
                actor.thing("boxing glove", "boxing gloves", actor.figure.middle_of_hand(side), tint=tint)
            actor.objects["gloves"] = "boxing gloves"
    _face_to_face(stage, first, second, apart)
    stage.framings = {"full body": 6, "waist up": 4, "close-up": 0.2}


def _guard(stage: Stage, actor: Actor) -> None:
    r, f = stage.rng, actor.figure
    k = f.scale
    lead = r.choice((RIGHT, LEFT))
    f.trunk((0, 0.86 * k, 0), lean=r.uniform(4, 16), twist=(14 if lead == RIGHT else -14), tuck=0.2)
    f.turn_head(r.uniform(0, 10), r.gauss(0, 5), 0)
    f.place_foot(lead, (SIDES[lead] * 0.12 * k, ANKLE_HEIGHT * k, 0.2 * k))
    f.place_foot(
        1 - lead,
        (SIDES[1 - lead] * 0.14 * k, (ANKLE_HEIGHT + 0.03) * k, -0.28 * k),
        toes=(SIDES[1 - lead] * 0.4, -0.3, 1),
    )
    for side in (RIGHT, LEFT):
        ahead = 0.3 if side == lead else 0.18
        f.place_hand(
            side,
            f.by_chest(SIDES[side] * 0.1, r.uniform(-0.02, 0.12), ahead),
            pole=(SIDES[side] * 0.6, -1, 0),
            fingers=(0, 0.9, 0.3),
            fist=True,
        )


def _punch(stage: Stage, first: Actor, second: Actor, apart: float) -> None:
    r, f, g = stage.rng, first.figure, second.figure
    side = r.choice((RIGHT, LEFT))
    f.trunk((0, 0.86 * f.scale, 0.06), lean=r.uniform(10, 18), twist=SIDES[side] * -26, tuck=0.3)
    f.turn_head(-4, SIDES[side] * 12, 0)
    hit = r.random() < 0.6
    if hit:
        g.trunk(
            (0, 0.86 * g.scale, -0.05), lean=-r.uniform(8, 22), twist=r.uniform(-16, 16), side=r.gauss(0, 5), tuck=0.2
        )
        g.turn_head(-r.uniform(8, 22), r.uniform(-35, 35), r.gauss(0, 10))
        second.face |= {"eyes_open": 0.1, "mouth_open": 0.5}
        for hand in (RIGHT, LEFT):
            g.place_hand(
                hand,
                g.by_chest(SIDES[hand] * r.uniform(0.2, 0.4), -r.uniform(0.05, 0.3), r.uniform(0.15, 0.3)),
                pole=(SIDES[hand], -0.7, 0),
            )
    target = (
        r.uniform(-0.04, 0.04),
        min(second.look.height - r.choice((0.16, 0.2, 0.5)), f.shoulders[side][1] + 0.2),
        apart - 0.12,
    )
    f.place_hand(side, target, pole=(SIDES[side], -0.6, 0), fist=True)
    other = 1 - side
    f.place_hand(
        other, f.by_chest(SIDES[other] * 0.12, 0.02, 0.16), pole=(SIDES[other], -1, 0), fingers=(0, 0.9, 0.3), fist=True
    )


def _kick(stage: Stage, first: Actor, second: Actor, apart: float) -> None:
    r, f = stage.rng, first.figure
    side = r.choice((RIGHT, LEFT))
    k = f.scale
    f.trunk((0, 0.9 * k, -0.05), lean=-r.uniform(8, 26), side=-SIDES[side] * 8, tuck=0.5)
    f.turn_head(r.uniform(6, 20), 0, 0)
    f.place_foot(1 - side, (0.0, ANKLE_HEIGHT * k, -0.06))
    f.place_foot(
        side,
        (SIDES[side] * 0.04, min(r.uniform(0.8, 1.25), second.look.height * 0.72), apart - 0.16),
        pole=(SIDES[side] * 0.3, 1, 0.3),
        toes=(0, 1, 0.3),
    )
    for hand in (RIGHT, LEFT):
        f.place_hand(
            hand, add(f.by_chest(SIDES[hand] * 0.24, -0.12, 0.2), (0, 0, 0)), pole=(SIDES[hand], -0.8, 0), fist=True
        )


__all__ = ["LEFT", "fighting", "hugging"]
