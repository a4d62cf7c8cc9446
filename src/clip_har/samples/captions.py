"""From a scene to sentences about it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from clip_har.samples.appearance import pick
from clip_har.samples.geometry import dot, unit
from clip_har.samples.scene import Look, Person, Scene
from clip_har.samples.wording import PLURAL, PREFIXES, SEATS, SEVERAL, WHO, WORDINGS, Wording

_MOST = 64
_TRIES = 100  # for each caption


def caption_scene(scene: Scene, count: int = 4) -> list[str]:
    """Different captions of one scene, in English, short and long.

    Only what the scene shows is said; of the actions only the scene's own, even where an actor sits or walks meanwhile.

    Args:
        scene: from `describe_scene`.
        count: how many; a smaller number gives the first ones of a larger.

    Returns:
        Captions that depend on the scene only, no two of them alike.

    Raises:
        ValueError: if `count` is not from 1 to 64, or wordings run out.
    """
    if not 1 <= count <= _MOST:
        raise ValueError(f"1 to {_MOST} captions of a scene are possible, not {count}.")
    words = _Words(scene, Random(f"{scene.action}/{scene.seed}/captions"))
    captions: dict[str, str] = {}
    for _ in range(_TRIES * count):
        caption = words.caption()
        captions.setdefault(caption.lower().rstrip("."), caption)
        if len(captions) == count:
            return list(captions.values())
    raise ValueError(f"This scene has only {len(captions)} different captions, not {count}.")


class _Words:
    """Words for the parts of one scene, chosen anew at each call."""

    def __init__(self, scene: Scene, rng: Random) -> None:
        self.scene, self.rng = scene, rng
        self.actors = scene.actors
        self.first = self.actors[0]
        self.wording: Wording = WORDINGS[scene.action]
        self.objects = _with_articles({part: word for person in self.actors for part, word in person.objects})
        self.coloured = scene.capture.saturation > 0.35

    def caption(self) -> str:
        """One caption in one of the styles."""
        styles: tuple[tuple[str, float], ...] = (
            ("prompt", 4), ("plain", 3), ("placed", 4), ("full", 4), ("finite", 1.6), ("fragment", 1.4), ("state", 1.5), ("tag", 0.6),
        )  # fmt: skip
        style: Callable[[], str] = getattr(self, f"_{pick(self.rng, styles)}")
        caption = " ".join(style().split()).replace(" ,", ",")
        if self.rng.random() < 0.15:
            caption = caption[0].upper() + caption[1:] + "."
        return caption

    # -- styles --------------------------------------------------------------------------------------------------

    def _prompt(self) -> str:
        where = self._where() if self.rng.random() < 0.3 else ""
        return self._prefix().format(f"{self._people()} {self._doing()} {where}")

    def _plain(self) -> str:
        return f"{self._people(described=0.3)} {self._doing()}"

    def _placed(self) -> str:
        light = self.scene.light.word if self.rng.random() < 0.6 else ""
        return f"{self._people(described=0.3)} {self._doing()} {self._where()} {light}"

    def _full(self) -> str:
        r = self.rng
        said = f"{self._people(described=0.9)} {self._doing()} {self._where(seat=0.8)}"
        extras = [extra for extra in (self.scene.light.word, self._around(), self._seen()) if extra]
        said += "".join(f", {extra}" for extra in r.sample(extras, min(len(extras), r.choice((0, 1, 1, 2)))))
        prefix = self._prefix() if r.random() < 0.5 and not said.endswith("close up") else "{}"
        return prefix.format(said)

    def _finite(self) -> str:
        one, several = self.rng.choice(self.wording.does)
        does = (one if len(self.actors) == 1 else several).format(**self.objects)
        return f"{self._people(described=0.4)} {does} {self._where()}"

    def _fragment(self) -> str:
        return f"{self._doing()} {self._where()}"

    def _state(self) -> str:
        r = self.rng
        if self.wording.roles and len(self.actors) == 1 and r.random() < 0.45:
            said = r.choice(self.wording.roles)
        elif self.wording.state:
            said = f"{self._people()} {r.choice(self.wording.state).format(**self.objects)}"
        else:
            said = f"{self._people()} {self._doing()}"
        said += f" {self._where()}" if r.random() < 0.5 else ""
        return self._prefix().format(said) if r.random() < 0.4 else said

    def _tag(self) -> str:
        tags = [self.wording.plain, self.scene.place.kind]
        tags += [self.scene.light.word.removeprefix("in ").removeprefix("at ")] if self.scene.light.word else []
        return ", ".join(tags[: self.rng.choice((2, 3))])

    # -- parts ---------------------------------------------------------------------------------------------------

    def _prefix(self) -> str:
        scene, r = self.scene, self.rng
        special = []
        if not self.coloured:
            special.append("a black and white photo of {}")
        if scene.camera.framing == "close-up":
            special += ["a close-up of {}", "a close-up photo of {}", "a portrait of {}"]
        if max(scene.light.gain) < 0.75:
            special += ["a dark photo of {}", "a dim picture of {}"]
        if scene.capture.blur > 0.006:
            special += ["a blurry photo of {}", "a blurred picture of {}"]
        if scene.capture.noise > 0.06:
            special.append("a grainy photo of {}")
        if special and r.random() < 0.4:
            return r.choice(special)
        return pick(r, PREFIXES)

    def _doing(self) -> str:
        if self.rng.random() < 0.42:
            phrase = self.wording.plain
        else:
            phrase = self.rng.choice(self.wording.doing).format(**self.objects)
        if self.scene.action == "sitting" and self.first.seat and self.rng.random() < 0.6:
            phrase = f"sitting {self._seat()}"
        return phrase

    def _seat(self) -> str:
        """Where the first actor sits or lies, as far as it can be seen."""
        seat = self.first.seat
        if seat is None or seat not in SEATS or self.scene.camera.framing == "close-up":
            return ""
        if self.scene.action == "sleeping" and seat == "bed" and self.rng.random() < 0.5:
            return "in bed"
        if self.first.legs_behind and self.rng.random() < 0.5:
            return "at a table"
        if seat == "ground" and self.scene.place.surface in ("grass", "sand"):
            return self.rng.choice(("on the ground", f"on the {self.scene.place.surface}"))
        return self.rng.choice(SEATS[seat])

    def _where(self, seat: float = 0.4) -> str:
        r, place = self.rng, self.scene.place
        words = []
        if r.random() < seat and self.scene.action != "sitting":
            words.append(self._seat())
        inside = r.choice(("indoors", "inside")) if place.indoor else r.choice(("outdoors", "outside"))
        words.append(place.word if r.random() < 0.85 else inside)
        return " ".join(words)

    def _people(self, described: float = 0.0) -> str:
        r = self.rng
        if len(self.actors) == 1:
            who = r.choice(WHO[self.first.look.who])
            return self._described(who, self.first) if r.random() < described else who
        kinds = [person.look.who for person in self.actors]
        number = {2: "two", 3: "three"}[len(kinds)]
        children = [kind in ("boy", "girl") for kind in kinds]
        general = ["children" if all(children) else "people"] * 2 + ["friends"] * (not any(children))
        if len(set(kinds)) == 1:
            return f"{number} {r.choice((*general[1:], SEVERAL[kinds[0]], SEVERAL[kinds[0]]))}"
        if len(kinds) == 2 and r.random() < 0.6:
            return f"a {kinds[0]} and a {kinds[1]}"
        return r.choice((f"{number} {r.choice(general)}", "a group of people" if len(kinds) > 2 else "two people"))

    def _described(self, who: str, person: Person) -> str:
        look, r = person.look, self.rng
        if who == "someone":
            who = "a person"
        options = [f"{who} {clothes}" for clothes in self._clothes(look)] * 2
        if look.beard == "full" and look.who == "man":
            options += ["a bearded man", "a man with a beard"]
        if look.glasses and look.headwear != "helmet":
            options.append(f"{who} with glasses")
        if look.headwear:
            tint = f"{look.headwear_tint.name} " if self.coloured else ""
            options.append(f"{who} with {_article(tint + look.headwear)}")
        elif look.hair == "bald":
            options.append("a bald man" if look.who == "man" else who)
        elif self.coloured:
            long = "long " if look.hair == "long" else "curly " if look.hair == "curly" else ""
            options.append(f"{who} with {long}{look.hair_tint.name} hair")
        if (
            look.hair_tint.name == "grey"
            and look.headwear is None
            and look.hair != "bald"
            and look.who in ("man", "woman")
        ):
            options.append(f"an old {look.who}")
        return r.choice(options)

    def _clothes(self, look: Look) -> list[str]:
        kind = {"stripes": "striped ", "checks": "checked "}.get(look.pattern, "")
        tint = f"{look.top_tint.name} " if self.coloured else ""
        top = _article(f"{tint}{kind}{look.top}")
        words = [f"in {top}", f"wearing {top}"]
        if self.scene.camera.framing == "full body" and look.top != "dress" and self.coloured:
            bottom = f"{look.bottom_tint.name} {look.bottom}"
            words.append(f"in {top} and {_article(bottom) if look.bottom == 'skirt' else bottom}")
        return words

    def _around(self) -> str:
        """What else is there: other people, things that play no part, parts of the place."""
        r, scene = self.rng, self.scene
        options = []
        others = len(scene.bystanders)
        if others == 1:
            options += ["with someone in the background", "another person in the background"]
        elif others > 1:
            options += ["with people in the background", "other people around"]
            options += ["in a crowd"] * (others > 4)
        near = [thing.word for thing in scene.things if thing.relation == "near" and thing.word not in ("", "table")]
        options += [f"with {_article(word)} nearby" for word in near if word != "headphones"]
        behind = [thing.word for thing in scene.place.features if thing.word]
        options += [f"{_article(word)} in the background" for word in behind[:2]]
        carried = dict(self.first.objects).get("carried")
        if carried and scene.camera.framing != "close-up":
            options += [f"{_article(carried)} in one hand"] * 2
        return r.choice(options) if options else ""

    def _seen(self) -> str:
        """From which side the first actor is seen, or how large."""
        scene, r = self.scene, self.rng
        front = unit(self.first.body.chest_frame[2])
        facing = dot(front, scene.camera.axes()[2])
        options = [
            {"full body": "full body", "waist up": "from the waist up", "close-up": "close up"}[scene.camera.framing]
        ]
        if self.first.posture != "lying" and len(self.actors) == 1:
            if facing < -0.4:
                options += ["seen from behind"] * 2
            elif abs(facing) < 0.35:
                options += ["seen from the side", "in profile"]
            elif facing > 0.85:
                options.append("facing the camera")
        return r.choice(options)


_NAMED = {"a", "an", "food", "soup", "ice"}


def _with_articles(objects: dict[str, str]) -> dict[str, str]:
    """Words to fill into wordings; weights are said with their article, as they may be one or two."""
    if "weight" in objects:
        objects = objects | {"weight": _article(objects["weight"]) if objects["weight"] != "dumbbells" else "dumbbells"}
    return objects


def _article(noun: str) -> str:
    if noun in PLURAL or noun.split()[0] in _NAMED:
        return noun
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
