"""Scenes and pictures: determinism, every action at several sizes, and what the dials do."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from clip_har.errors import ClipHarError
from clip_har.samples import ACTIONS, HAR_ACTIONS, Nuisances, describe_scene, draw_scene, encode_scene
from clip_har.samples.framing import in_view, place_in_view

_SCENES = [("calling", 3), ("cycling", 5), ("sitting", 8), ("cooking", 2), ("hugging", 1), ("running", 4)]
_DIALS = list(Nuisances.model_fields)


def _digest(pairs=_SCENES, size=(72, 48)) -> str:
    joined = b"".join(encode_scene(describe_scene(action, seed), *size) for action, seed in pairs)
    return hashlib.sha256(joined).hexdigest()


def test_same_seed_same_bytes_here_and_in_another_process():
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_drawing; print(test_drawing._digest())"
    other = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert _digest() == _digest() == other.stdout.strip()


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_draws_at_every_size(action):
    scene = describe_scene(action, 11)
    assert scene.action == action
    assert scene.actors
    assert {person.doing for person in scene.actors} == {action}
    for size in [(8, 8), (33, 21), (48, 90), (240, 160)]:
        picture = draw_scene(scene, *size)
        assert (picture.mode, picture.size) == ("RGB", size)
        assert np.asarray(picture).std() > 8, "a picture of one colour"


def test_another_seed_is_another_picture():
    pictures = {encode_scene(describe_scene("dancing", seed), 60, 40) for seed in range(12)}
    assert len(pictures) == 12


def test_people_places_and_views_vary():
    scenes = [describe_scene(action, seed) for action in HAR_ACTIONS for seed in range(8)]
    people = [person for scene in scenes for person in scene.actors]
    assert {person.look.who for person in people} == {"man", "woman", "boy", "girl"}
    assert len({person.look.skin for person in people}) > 60
    assert len({scene.place.kind for scene in scenes}) == 18
    assert {scene.place.indoor for scene in scenes} == {True, False}
    assert {scene.camera.framing for scene in scenes} == {"full body", "waist up", "close-up"}
    assert any(scene.bystanders for scene in scenes)
    assert {scene.camera.mirrored for scene in scenes} == {True, False}


@pytest.mark.parametrize(
    ("action", "nearest"), [("runing", "running"), ("Cycling", "cycling"), ("using laptop", "using_laptop")]
)
def test_unknown_action_names_the_nearest(action, nearest):
    with pytest.raises(ClipHarError, match=f"{action!r}.*{nearest!r}"):
        describe_scene(action, 0)


def test_too_small_a_picture_is_refused():
    with pytest.raises(ValueError, match="7 x 40"):
        draw_scene(describe_scene("eating", 0), 7, 40)


# -- dials ------------------------------------------------------------------------------------------------------------


def _grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), dtype=np.float64)


def _sharpness(image: Image.Image) -> float:
    # of what is larger than the sensor's noise
    grey = _grey(image.filter(ImageFilter.GaussianBlur(0.8)))
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def _roughness(image: Image.Image) -> float:
    return float(np.abs(_grey(image) - _grey(image.filter(ImageFilter.GaussianBlur(2)))).mean())


def _colourfulness(image: Image.Image) -> float:
    pixels = np.asarray(image, dtype=np.float64)
    return float((pixels.max(axis=2) - pixels.min(axis=2)).mean())


def _people(scene) -> int:
    return len(scene.people) + len(scene.foreground)


# what each dial makes more (+1) or less (-1) of: a figure of the picture, or of the scene
_EFFECTS = {
    "light": (-1, lambda scene, picture: _grey(picture).mean()),
    "blur": (-1, lambda scene, picture: _sharpness(picture)),
    "tilt": (+1, lambda scene, picture: abs(scene.camera.roll)),
    "crowd": (+1, lambda scene, picture: _people(scene)),
    "colour": (-1, lambda scene, picture: _colourfulness(picture)),
    "noise": (+1, lambda scene, picture: _roughness(picture)),
    "compression": (-1, lambda scene, picture: scene.capture.quality),
}


def test_every_dial_has_its_effect_tested():
    assert set(_EFFECTS) == set(_DIALS)


@pytest.mark.parametrize("dial", _DIALS)
def test_a_dial_changes_the_picture_in_the_direction_that_it_names(dial):
    sign, figure = _EFFECTS[dial]
    means = []
    for value in (0.0, 0.5, 1.0):
        scenes = [describe_scene(action, seed, Nuisances(**{dial: value})) for action, seed in _SCENES]
        means.append(sign * np.mean([figure(scene, draw_scene(scene, 120, 80)) for scene in scenes]))
    assert means[0] < means[1] < means[2]


@pytest.mark.parametrize("dial", _DIALS)
def test_a_dial_at_zero_leaves_the_picture_alone_and_at_one_changes_every_picture(dial):
    for action, seed in _SCENES:
        usual = describe_scene(action, seed)
        assert describe_scene(action, seed, Nuisances(**{dial: 0.0})) == usual
        disturbed = describe_scene(action, seed, Nuisances(**{dial: 1.0}))
        assert encode_scene(disturbed, 60, 40) != encode_scene(usual, 60, 40)


@pytest.mark.parametrize("dial", _DIALS)
def test_a_dial_changes_nothing_but_its_own_part_of_the_scene(dial):
    own = {"light": {"light"}, "tilt": {"camera"}, "crowd": {"people", "foreground"}}.get(dial, {"capture"}) | {
        "nuisances"
    }
    usual, disturbed = describe_scene("texting", 9), describe_scene("texting", 9, Nuisances(**{dial: 0.7}))
    assert replace(disturbed, **{part: getattr(usual, part) for part in own}) == usual
    if dial == "crowd":
        assert disturbed.people[: len(usual.people)] == usual.people
        assert len(disturbed.people) == len(usual.people) + 6
        assert disturbed.foreground


def test_a_dial_beyond_its_range_is_refused():
    with pytest.raises(ValueError, match="light"):
        Nuisances(light=1.5)


# what shows the action, by the kinds of things that are drawn for it
_SHOWN_BY = {
    "calling": {"phone"}, "drinking": {"cup", "glass", "bottle", "paper cup", "can"}, "lifting_weights": {"barbell", "dumbbell"},
    "eating": {"sandwich", "burger", "apple", "pizza", "ice cream", "cutlery"}, "cooking": {"pan"}, "kicking_ball": {"ball"},
    "listening_to_music": {"headphones", "earphones"}, "painting": {"brush"}, "playing_guitar": {"guitar"}, "reading": {"book"},
    "taking_photo": {"camera", "phone"}, "texting": {"phone"}, "using_laptop": {"laptop"}, "pushing": {"pram", "shopping cart", "crate"},
}  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
def test_heads_and_what_shows_the_action_are_in_the_picture(action):
    cut_off = []
    for seed in range(40):
        scene = describe_scene(action, seed)
        used = [t for t in scene.things if t.relation == "used" and t.kind in _SHOWN_BY.get(action, ())]
        assert used or action not in _SHOWN_BY
        points = [person.body.head for person in scene.actors] + [thing.position for thing in used]
        if not all(in_view(scene.camera, point) for point in points):
            cut_off.append(seed)
    assert len(cut_off) <= 1, cut_off


def test_what_is_out_of_focus_in_front_leaves_the_actors_heads_free():
    found = 0
    for seed in range(100):
        scene = describe_scene("clapping", seed, Nuisances(crowd=1.0))
        for thing in scene.foreground:
            found += 1
            points = thing.body.shoulders if hasattr(thing, "body") else [thing.position]
            side = 1 if place_in_view(scene.camera, points[0])[0] > 0 else -1
            inner_edge = min(side * place_in_view(scene.camera, point)[0] for point in points)
            assert inner_edge > max(side * place_in_view(scene.camera, p.body.head)[0] for p in scene.actors)
    assert found > 100
