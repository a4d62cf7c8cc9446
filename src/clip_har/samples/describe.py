"""From an action and a seed to a scene: every choice is made here, each kind from its own stream of random numbers.

Separate streams keep the rest of a scene as it is when one thing changes: a dial, the number of bystanders.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from clip_har.samples.actions import check_action
from clip_har.samples.framing import choose_camera, in_view
from clip_har.samples.geometry import unit
from clip_har.samples.nuisances import Nuisances
from clip_har.samples.places import choose_place
from clip_har.samples.plans import PLANS
from clip_har.samples.plans.stage import Stage
from clip_har.samples.scene import Capture, Light, Place, Scene
from clip_har.samples.surroundings import choose_bystanders, choose_crowd, choose_distractors, choose_foreground

_SPORTS = {"running", "cycling", "fighting", "lifting_weights", "kicking_ball", "jumping"}


def describe_scene(action: str, seed: int, nuisances: Nuisances | None = None) -> Scene:
    """Decide everything about one picture of an action.

    Args:
        action: one of `ACTIONS`.
        seed: any whole number; another seed is another picture.
        nuisances: dials; the same seed with other dials is the same picture, disturbed.

    Returns:
        A scene that depends on the arguments only.

    Raises:
        UnknownAction: (a ValueError) if there is no such action.
    """
    check_action(action)
    nuisances = nuisances or Nuisances()

    def stream(purpose: str) -> Random:
        # text seeds are hashed with sha512: the same on every machine and in every process
        return Random(f"{action}/{seed}/{purpose}")

    rng = stream("stage")
    place = choose_place(stream("place"), action)
    stage = Stage(rng, place, action, "sports" if action in _SPORTS or place.kind in ("gym", "field") else "casual")
    PLANS[action](stage)
    camera = choose_camera(stream("camera"), stage)
    tilted = stream("tilt")
    camera = replace(camera, roll=camera.roll + tilted.choice((-1, 1)) * 32 * nuisances.tilt)
    distractors = choose_distractors(stream("distractors"), stage, camera)
    bystanders = choose_bystanders(stream("bystanders"), stage, camera)
    crowd = choose_crowd(stream, stage, camera, nuisances.crowd)
    light = _choose_light(stream("light"), place, nuisances)
    return Scene(
        action=action,
        seed=seed,
        nuisances=nuisances,
        camera=camera,
        place=replace(
            place, features=tuple(f for f in place.features if not f.word or in_view(camera, f.position, 1.6))
        ),
        light=light,
        capture=_choose_capture(stream("capture"), camera.framing, nuisances),
        people=(*stage.people, *bystanders, *crowd),
        things=(*stage.things, *distractors),
        foreground=tuple(choose_foreground(stream, stage, camera, nuisances.crowd)),
    )


def _choose_light(rng: Random, place: Place, nuisances: Nuisances) -> Light:
    """Usual light, or warm, cold, dim, or low sun; then the dial."""
    side = rng.choice((-1, 1))
    direction = unit((side * rng.uniform(0.2, 0.85), rng.uniform(0.35, 0.9), rng.uniform(0.3, 0.9)))
    ambient = rng.uniform(0.5, 0.66) if place.indoor else rng.choice((rng.uniform(0.4, 0.5), rng.uniform(0.55, 0.7)))
    gain, word, dusk = (1.0, 1.0, 1.0), "", 0.0
    mood = rng.random()
    exposure = rng.uniform(0.9, 1.08)
    if mood < 0.12:
        gain, word = (1.07, 1.0, 0.84), "in warm light"
    elif mood < 0.2:
        gain, word = (0.9, 0.99, 1.1), "in cold light"
    elif mood < 0.29:
        if place.indoor:
            gain, word, exposure = (
                (0.72, 0.66, 0.58),
                rng.choice(("in dim light", "in a dark room", "in the evening")),
                exposure * 0.95,
            )
        else:
            gain, word, dusk = (
                (0.84, 0.7, 0.66),
                rng.choice(("at dusk", "at sunset", "in the evening")),
                rng.uniform(0.6, 1.0),
            )
            ambient = 0.5
    elif mood < 0.38 and not place.indoor:
        ambient, word, exposure = 0.4, rng.choice(("in the sun", "on a sunny day")), exposure * 1.06
    elif mood < 0.42:
        gain, word = (1.1, 1.1, 1.08), "in bright light"
    jitter = [rng.uniform(0.965, 1.035) for _ in range(3)]
    cast = rng.choice(((0.22, 0.0, -0.34), (-0.3, -0.04, 0.16)))
    amount = nuisances.light
    gain = tuple(
        g * exposure * j * (1 - 0.75 * amount) * (1 + c * amount) for g, j, c in zip(gain, jitter, cast, strict=True)
    )
    return Light(direction, ambient, gain, word, dusk)


def _choose_capture(rng: Random, framing: str, nuisances: Nuisances) -> Capture:
    """Lens, sensor and file: natural variation, then the dials."""
    wide = {"full body": (0.002, 0.011), "waist up": (0.005, 0.018), "close-up": (0.01, 0.026)}[framing]
    saturation = rng.gauss(0.95, 0.12)
    if rng.random() < 0.035:
        saturation = 0.0  # black and white photographs
    natural_blur = abs(rng.gauss(0, 0.0017))
    quality = rng.randint(72, 94)
    colour = nuisances.colour
    return Capture(
        background_blur=rng.uniform(*wide),
        blur=(natural_blur**2 + (0.016 * nuisances.blur) ** 2) ** 0.5,
        noise=((rng.uniform(0.006, 0.022)) ** 2 + (0.16 * nuisances.noise) ** 2) ** 0.5,
        quality=max(6, round(quality - (quality - 6) * nuisances.compression**0.6)),
        contrast=rng.uniform(0.95, 1.3),
        saturation=min(1.2, max(0.0, saturation)) * (1 - 0.9 * colour),
        palette_shift=colour,
        vignette=abs(rng.gauss(0.1, 0.09)),
        seed=rng.randrange(1 << 30),
    )
