"""Captions say what the scene shows, and of the actions only its own."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from clip_har.samples import ACTIONS, Nuisances, caption_scene, describe_scene
from clip_har.samples.wording import WORDINGS

# words that say an action, whatever else they could mean: none of them may stand in a caption of another action
_SAYS = {
    "calling": r"call\w*|on the phone|phone call",
    "clapping": r"clap\w*|applau\w*",
    "cycling": r"cycl(es?|ing|ists?)|rid(es?|ing|ers?)|biking",
    "dancing": r"danc\w*",
    "drinking": r"drink\w*|sip\w*",
    "eating": r"eat\w*|bites?|meal|tasting|dinner for",
    "fighting": r"fight\w*|fists?|punch\w*|blows",
    "hugging": r"hug\w*|embrac\w*",
    "laughing": r"laugh\w*|joke",
    "listening_to_music": r"listen\w*|music|song",
    "running": r"run\w*|jog\w*|sprint\w*",
    "sitting": r"sit\w*|seated",
    "sleeping": r"sleep\w*|asleep|nap\w*",
    "texting": r"text\w*|message",
    "using_laptop": r"(using|uses|use|working|works|typing on|at) (a|an|the)? ?(laptop|notebook)",
    "cooking": r"cook\w*|stir\w*|stove|dinner",
    "jumping": r"jump\w*|leap\w*|mid-air",
    "kicking_ball": r"kick\w*|soccer|shooting",
    "lifting_weights": r"lift\w*|weightlift\w*|working out|training",
    "painting": r"paint\w*|artist",
    "playing_guitar": r"play\w* (the |a |an )?\w*guitar|strum\w*|guitarist",
    "pushing": r"push\w*",
    "reading": r"read\w*",
    "sweeping": r"sweep\w*|cleaning",
    "taking_photo": r"tak(es?|ing) (a )?(photos?|pictures?)|photographer|photographing",
    "walking": r"walk\w*|stroll(s|ing)?|pedestrian",
    "waving": r"wav(e|es|ing)|greet\w*",
}
# the names of things in the scene that a caption may use instead of a verb
_SHOWS = {
    "calling": "(smart)?phone", "cycling": "bike|bicycle", "eating": "food|soup|sandwich|burger|apple|pizza|ice cream|mouth", "drinking": "mouth", "hugging": "arms", "lifting_weights": "barbell|dumbbells?|weights",
    "listening_to_music": "headphones|earphones|headset", "texting": "(smart)?phone", "using_laptop": "laptop|notebook computer", "jumping": "air", "kicking_ball": "ball|football",
    "painting": "easel|canvas", "playing_guitar": "guitar", "pushing": "pram|stroller|cart|box", "reading": "book", "sweeping": "broom", "taking_photo": "camera|phone|photo",
    "walking": "stride",
}  # fmt: skip


def _captions(action: str, seeds=range(30), count: int = 6, **dials: float) -> list[str]:
    return [c for seed in seeds for c in caption_scene(describe_scene(action, seed, Nuisances(**dials)), count)]


@pytest.mark.parametrize("action", ACTIONS)
def test_captions_say_their_action_and_never_another(action):
    own = re.compile(
        rf"\b({_SAYS[action]}|{_SHOWS.get(action, _SAYS[action])}|{WORDINGS[action].plain})\b", re.IGNORECASE
    )
    others = {name: re.compile(rf"\b({words})\b", re.IGNORECASE) for name, words in _SAYS.items() if name != action}
    for caption in _captions(action):
        assert own.search(caption), f"{caption!r} says nothing of {action}"
        said = {name for name, words in others.items() if words.search(caption)}
        assert not said, f"{caption!r} of {action} says {said}"


@pytest.mark.parametrize("action", ACTIONS)
def test_the_plain_form_is_frequent_but_not_everywhere(action):
    captions = _captions(action)
    share = sum(WORDINGS[action].plain.split()[0] in caption.lower() for caption in captions) / len(captions)
    assert 0.35 < share < 0.93


def test_captions_of_a_scene_differ_and_a_smaller_number_gives_the_first():
    for action in ACTIONS:
        scene = describe_scene(action, 2)
        captions = caption_scene(scene, 8)
        assert len({caption.lower().rstrip(".") for caption in captions}) == 8
        assert caption_scene(scene, 3) == captions[:3]
        assert caption_scene(describe_scene(action, 2), 8) == captions


def test_captions_are_varied_short_and_long():
    captions = [caption for action in ACTIONS for caption in _captions(action, range(12), 4)]
    lengths = [len(caption.split()) for caption in captions]
    assert min(lengths) <= 3
    assert max(lengths) >= 16
    assert len(set(captions)) > 0.8 * len(captions)
    starts = Counter(" ".join(caption.lower().split()[:3]) for caption in captions)
    assert starts["a photo of"] > 0.08 * len(captions)
    assert starts.most_common(1)[0][1] < 0.3 * len(captions)
    assert not [caption for caption in captions if "{" in caption or "  " in caption or " ," in caption]
    assert not [caption for caption in captions if re.search(r"\ba [aeio]|\ban [^aeiou]|\ba a\b", caption)]


def test_captions_name_the_vessel_that_is_drunk_from():
    named, vessels = 0, "cup of coffee|glass of water|paper cup|bottle|glass|mug|cup|can"
    for seed in range(40):
        scene = describe_scene("drinking", seed)
        vessel = dict(scene.actors[0].objects)["vessel"]
        for caption in caption_scene(scene, 6):
            match = re.search(rf"(?:from|with) an? ({vessels})(?: at the mouth| |\.|$)", caption)
            if match and f"{match[1]} nearby" not in caption:
                named += 1
                assert match[1] == vessel, caption
    assert named > 20


def test_light_place_and_dials_are_told():
    told = Counter()
    for seed in range(60):
        scene = describe_scene("walking", seed)
        text = " ".join(caption_scene(scene, 6))
        told["place"] += scene.place.word in text
        told["light"] += bool(scene.light.word) and scene.light.word in text
    assert told["place"] > 40
    assert told["light"] > 5
    assert any("blur" in caption for caption in _captions("walking", range(10), blur=1.0))
    assert not any("blur" in caption for caption in _captions("walking", range(10)))
    dark = re.compile("dark photo of|dim picture of")
    assert any(dark.search(caption) for caption in _captions("waving", range(10), light=1.0))


def test_pictures_without_colour_are_not_told_in_colours():
    colours = re.compile(r"\b(red|blue|yellow|pink|purple|orange|teal) (t-shirt|shirt|dress|sweater|jacket|hoodie)\b")
    assert any(colours.search(caption) for caption in _captions("walking"))
    assert not any(colours.search(caption) for caption in _captions("walking", colour=1.0))


@pytest.mark.parametrize("count", [0, 65])
def test_an_impossible_number_of_captions_is_refused(count):
    with pytest.raises(ValueError, match=str(count)):
        caption_scene(describe_scene("sitting", 0), count)
