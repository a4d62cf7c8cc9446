"""Choosing where a scene happens and what belongs there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from clip_har.samples.appearance import choose_tint, pick
from clip_har.samples.furnishing.indoor import (
    furnish_bedroom,
    furnish_cafe,
    furnish_classroom,
    furnish_gym,
    furnish_hall,
    furnish_kitchen,
    furnish_library,
    furnish_living_room,
    furnish_office,
    furnish_studio,
)
from clip_har.samples.furnishing.outdoor import (
    furnish_beach,
    furnish_field,
    furnish_forest,
    furnish_garden,
    furnish_mountains,
    furnish_park,
    furnish_street,
    furnish_yard,
)
from clip_har.samples.palette import CARPETS, GRASS, GREENS, SKIES, STONES, WALLS, WOODS
from clip_har.samples.scene import Place, Thing, Tint


@dataclass(frozen=True, slots=True)
class _Recipe:
    words: tuple[str, ...]
    indoor: bool
    depth: tuple[float, float]
    walls: tuple[Tint, ...]
    floors: tuple[Tint, ...]
    trims: tuple[Tint, ...]
    surfaces: tuple[str, ...]
    backdrops: tuple[str, ...]
    furnish: Callable[[Random, Place], list[Thing]]


RECIPES: dict[str, _Recipe] = {
    "living room": _Recipe(("in a living room", "at home", "in a room at home"), True, (1.3, 2.8), WALLS, WOODS + CARPETS[:2], WOODS, ("planks", "carpet"), ("wall",), furnish_living_room),
    "bedroom": _Recipe(("in a bedroom", "in a bedroom at home"), True, (1.2, 2.2), WALLS, WOODS + CARPETS, WOODS, ("planks", "carpet"), ("wall",), furnish_bedroom),
    "kitchen": _Recipe(("in a kitchen", "in the kitchen"), True, (1.3, 2.4), WALLS, STONES + WOODS, (*WOODS, *WALLS[:5]), ("tiles", "planks"), ("wall",), furnish_kitchen),
    "office": _Recipe(("in an office", "in the office", "at work"), True, (1.5, 3.2), WALLS[:4], CARPETS, WOODS, ("carpet", "tiles"), ("wall",), furnish_office),
    "cafe": _Recipe(("in a cafe", "in a coffee shop", "in a restaurant"), True, (2.0, 3.6), WALLS, WOODS, WOODS, ("planks", "tiles"), ("wall",), furnish_cafe),
    "gym": _Recipe(("in a gym", "at the gym"), True, (1.8, 3.6), WALLS[:4], (*STONES[2:3], *CARPETS[:1], *WOODS[1:2]), WOODS, ("plain", "planks"), ("wall",), furnish_gym),
    "hall": _Recipe(("in a hall", "on a stage", "in a club"), True, (2.2, 4.0), (Tint("purple", (86, 60, 104)), Tint("blue", (54, 64, 110)), Tint("dark red", (106, 50, 54)), Tint("dark", (60, 58, 64))), WOODS, WOODS, ("planks", "plain"), ("wall",), furnish_hall),
    "library": _Recipe(("in a library", "in front of bookshelves"), True, (1.3, 2.6), WALLS[:3], WOODS + CARPETS, WOODS, ("planks", "carpet"), ("wall",), furnish_library),
    "classroom": _Recipe(("in a classroom", "at school"), True, (1.6, 3.0), WALLS, WOODS + CARPETS[:1], WOODS, ("planks", "tiles"), ("wall",), furnish_classroom),
    "studio": _Recipe(("in front of a plain wall", "in a photo studio"), True, (1.0, 2.0), (*WALLS, Tint("white", (238, 238, 236)), Tint("white", (232, 232, 230))), (*WALLS[:3], *WOODS[:2]), WOODS, ("plain",), ("wall",), furnish_studio),
    "street": _Recipe(("on a street", "in the street", "in the city"), False, (6, 11), SKIES, STONES[:3], GREENS, ("asphalt",), ("town",), furnish_street),
    "park": _Recipe(("in a park", "in the park"), False, (4, 9), SKIES, GRASS, GREENS, ("grass", "grass", "earth"), ("trees",), furnish_park),
    "garden": _Recipe(("in a garden", "in the backyard"), False, (2.6, 4.5), SKIES, GRASS, GREENS, ("grass",), ("trees",), furnish_garden),
    "beach": _Recipe(("on a beach", "at the beach", "by the sea"), False, (5, 9), SKIES, (Tint("sand", (222, 198, 152)), Tint("sand", (206, 186, 150))), GREENS, ("sand",), ("sea",), furnish_beach),
    "field": _Recipe(("on a sports field", "at a sports ground"), False, (6, 10), SKIES, GRASS[:2], GREENS, ("grass", "track"), ("trees", "town"), furnish_field),
    "forest": _Recipe(("in a forest", "in the woods"), False, (3, 6), SKIES, (Tint("brown", (120, 98, 70)), Tint("green", (86, 104, 58))), GREENS[:3], ("earth",), ("trees",), furnish_forest),
    "mountains": _Recipe(("in the mountains", "in the countryside"), False, (5, 10), SKIES, (*GRASS, Tint("brown", (150, 128, 98))), GREENS, ("grass", "earth"), ("hills",), furnish_mountains),
    "yard": _Recipe(("in front of a wall", "in a courtyard"), False, (1.0, 2.6), SKIES, STONES, GREENS, ("asphalt", "tiles"), ("town",), furnish_yard),
}  # fmt: skip


INDOOR = tuple(kind for kind, recipe in RECIPES.items() if recipe.indoor)


_USUAL = {kind: 1.0 if kind != "studio" else 1.6 for kind in RECIPES}


# habits, not rules: everything can happen nearly everywhere
_HABITS: dict[str, dict[str, float]] = {
    "sleeping": {"bedroom": 12, "living room": 5, "park": 1.5},
    "cycling": {"street": 6, "park": 5, "mountains": 4, "forest": 3, "beach": 2},
    "running": {"park": 4, "street": 3, "field": 5, "beach": 3, "forest": 3, "gym": 3, "mountains": 2},
    "walking": {"street": 5, "park": 4, "beach": 3, "forest": 3},
    "dancing": {"hall": 7, "gym": 2, "street": 2, "studio": 3},
    "using_laptop": {"office": 4, "living room": 3, "cafe": 3, "library": 2, "bedroom": 2},
    "eating": {"kitchen": 4, "cafe": 5, "living room": 2, "park": 2},
    "drinking": {"kitchen": 3, "cafe": 4, "living room": 2, "gym": 2},
    "cooking": {"kitchen": 14, "garden": 2},
    "fighting": {"gym": 4, "street": 3, "yard": 3},
    "lifting_weights": {"gym": 12},
    "kicking_ball": {"field": 8, "park": 4, "beach": 2, "yard": 2},
    "reading": {"library": 4, "living room": 3, "park": 2},
    "painting": {"studio": 3, "living room": 2, "garden": 2},
    "clapping": {"hall": 3, "classroom": 2, "office": 2},
    "sitting": {"park": 3, "living room": 3, "cafe": 2, "street": 2},
    "pushing": {"street": 5, "park": 3},
    "calling": {"street": 3, "office": 3},
    "texting": {"street": 3, "living room": 2},
    "sweeping": {"kitchen": 2, "yard": 4, "street": 3, "garden": 2},
}  # fmt: skip


# what cannot be indoors, or outdoors, without looking absurd
_NEVER = {
    "cycling": {*INDOOR} - {"gym", "hall", "studio"},
    "kicking_ball": {"kitchen", "bedroom", "cafe", "library", "office"},
    "pushing": {"bedroom", "kitchen"},
}


def choose_place(rng: Random, action: str) -> Place:
    """A place for an action: habitual ones oftener, others too."""
    never, habits = _NEVER.get(action, set()), _HABITS.get(action, {})
    weights = tuple((kind, usual * habits.get(kind, 1.0)) for kind, usual in _USUAL.items() if kind not in never)
    kind = pick(rng, weights)
    recipe = RECIPES[kind]
    place = Place(
        kind=kind,
        word=rng.choice(recipe.words),
        indoor=recipe.indoor,
        depth=rng.uniform(*recipe.depth),
        wall=choose_tint(rng, recipe.walls),
        floor=choose_tint(rng, recipe.floors),
        trim=choose_tint(rng, recipe.trims),
        surface=rng.choice(recipe.surfaces),
        backdrop=rng.choice(recipe.backdrops),
        features=(),
        seed=rng.randrange(1 << 30),
    )
    return replace(place, features=tuple(recipe.furnish(rng, place)))
