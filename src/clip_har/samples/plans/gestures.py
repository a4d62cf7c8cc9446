"""Actions of bare hands and of the face: waving, clapping, laughing."""

from __future__ import annotations

from clip_har.samples.figure import LEFT, RIGHT, SIDES
from clip_har.samples.plans.accessories import (
    table_setting,
    take_posture,
)
from clip_har.samples.plans.postures import (
    rest_hand,
    rest_hands,
    sit,
    stand,
)
from clip_har.samples.plans.stage import Stage


def waving(stage: Stage) -> None:
    """One hand raised, palm to the front."""
    actor = stage.actor()
    take_posture(stage, actor, 8, 1, 1)
    r, f, side = stage.rng, actor.figure, actor.some_side()
    sign = SIDES[side]
    f.place_hand(
        side,
        f.by_head(sign * r.uniform(0.26, 0.42), r.uniform(0.02, 0.3), r.uniform(0.0, 0.12)),
        pole=(sign, -0.8, 0),
        fingers=(sign * r.uniform(-0.3, 0.5), 1, 0.05),
    )
    rest_hand(actor, 1 - side)
    actor.face |= {"smile": r.uniform(0.4, 1), "mouth_open": r.choice((0, 0.25, 0.4))}
    person = stage.enter(actor, yaw=stage.view((0, 40, 7), (40, 80, 2)))
    stage.vital.append(person.body.fingertips[side])


def clapping(stage: Stage) -> None:
    """Palms together or about to meet, before the chest; sometimes several people."""
    r = stage.rng
    count = 1 if r.random() < 0.68 else r.choice((2, 3))
    yaw = stage.view((0, 40, 6), (40, 85, 3))
    seated = r.random() < 0.25
    for i in range(count):
        actor = stage.actor()
        if seated:
            sit(actor, (("chair", 1),) if stage.place.indoor else (("bench", 1), ("chair", 1)))
        else:
            stand(actor)
        f = actor.figure
        f.turn_head(r.gauss(0, 5), r.gauss(0, 12), r.gauss(0, 4))
        gap = r.choice((0.015, 0.03, 0.09, 0.15))
        high, far = -r.uniform(0.02, 0.2), r.uniform(0.26, 0.36)
        for side in (RIGHT, LEFT):
            sign = SIDES[side]
            f.place_hand(
                side,
                f.by_chest(sign * (gap / 2 + 0.018), high - 0.02 * side, far),
                pole=(sign, -0.75, -0.1),
                fingers=(-sign * 0.1, 0.8, 0.5),
            )
        actor.face |= {"smile": r.uniform(0.2, 0.95), "mouth_open": r.choice((0, 0, 0.3, 0.5))}
        x = 0.75 * (i - (count - 1) / 2)
        person = stage.enter(actor, (x, 0, r.uniform(-0.25, 0.1) if count > 1 else 0), yaw + r.gauss(0, 8))
        stage.vital += [*person.body.fingertips, *person.body.wrists]
    stage.framings = {"full body": 2.6, "waist up": 5.5, "close-up": 0.7}


def laughing(stage: Stage) -> None:
    """Mouth wide open, eyes shut, the head thrown back or bent forward."""
    r = stage.rng
    count = 1 if r.random() < 0.72 else 2
    yaw = stage.view((0, 35, 7), (35, 80, 3))
    for i in range(count):
        actor = stage.actor()
        take_posture(stage, actor, 6, 4, 0, table=0.35)
        f = actor.figure
        back = r.random() < 0.7
        f.turn_head(-r.uniform(8, 24) if back else r.uniform(2, 12), r.gauss(0, 12), r.gauss(0, 8))
        style = r.random()
        if style < 0.3:
            for side in (RIGHT, LEFT) if r.random() < 0.6 else (RIGHT,):
                sign = SIDES[side]
                f.place_hand(
                    side, f.by_hips(sign * 0.06, 0.2, 0.15), pole=(sign, -0.2, -0.2), fingers=(-sign, -0.1, 0.2)
                )
            if not f.placed(LEFT):
                rest_hand(actor, LEFT)
        elif style < 0.45:
            side = actor.some_side()
            f.place_hand(
                side,
                f.by_chest(SIDES[side] * 0.02, -0.1, 0.14),
                pole=(SIDES[side], -0.8, 0),
                fingers=(-SIDES[side], 0.3, 0),
            )
            rest_hand(actor, 1 - side)
        else:
            rest_hands(actor)
        actor.face |= {
            "smile": 1.0,
            "mouth_open": r.uniform(0.6, 1.0),
            "eyes_open": r.choice((0.1, 0.1, 0.45)),
            "brows": r.uniform(0.2, 0.8),
        }
        if actor.at_table and r.random() < 0.6:
            table_setting(stage, actor)
        x = 0.85 * (i - (count - 1) / 2)
        person = stage.enter(actor, (x, 0, 0), yaw if count == 1 else (40 if i == 0 else -40) + r.gauss(0, 10))
        stage.focus.append(person.body.head)
    stage.framings = {"full body": 1.4, "waist up": 5, "close-up": 4}
