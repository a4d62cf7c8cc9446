"""How every action is acted: one function each, found by name."""

from __future__ import annotations

from collections.abc import Callable

from clip_har.samples.plans import at_rest, gestures, handheld, meals, together, whole_body
from clip_har.samples.plans.stage import Stage

PLANS: dict[str, Callable[[Stage], None]] = {
    plan.__name__: plan
    for plan in (
        at_rest.cooking,
        at_rest.painting,
        at_rest.playing_guitar,
        at_rest.sleeping,
        at_rest.using_laptop,
        handheld.calling,
        gestures.clapping,
        meals.drinking,
        meals.eating,
        gestures.laughing,
        handheld.listening_to_music,
        handheld.reading,
        handheld.taking_photo,
        handheld.texting,
        gestures.waving,
        together.fighting,
        together.hugging,
        whole_body.cycling,
        whole_body.dancing,
        whole_body.jumping,
        whole_body.kicking_ball,
        whole_body.lifting_weights,
        whole_body.pushing,
        whole_body.running,
        whole_body.sitting,
        whole_body.sweeping,
        whole_body.walking,
    )
}
