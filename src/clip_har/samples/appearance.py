"""Choosing how people look."""

from __future__ import annotations

from random import Random

from clip_har.samples.scene import Look, Rgb, Tint

CLOTH_TINTS = (
    Tint("red", (186, 44, 46)),
    Tint("dark red", (120, 30, 38)),
    Tint("orange", (220, 120, 46)),
    Tint("yellow", (226, 190, 66)),
    Tint("green", (62, 130, 74)),
    Tint("dark green", (40, 76, 56)),
    Tint("blue", (48, 92, 170)),
    Tint("light blue", (132, 176, 214)),
    Tint("navy", (36, 44, 82)),
    Tint("purple", (112, 66, 140)),
    Tint("pink", (222, 134, 158)),
    Tint("white", (232, 230, 224)),
    Tint("grey", (136, 138, 142)),
    Tint("dark grey", (72, 74, 80)),
    Tint("black", (38, 38, 44)),
    Tint("brown", (116, 82, 58)),
    Tint("beige", (204, 186, 156)),
    Tint("teal", (38, 124, 128)),
)
_TROUSER_TINTS = tuple(
    t for t in CLOTH_TINTS if t.name in ("navy", "grey", "dark grey", "black", "brown", "beige", "blue", "white")
)
_JEANS = (
    Tint("blue", (66, 92, 138)),
    Tint("light blue", (120, 148, 184)),
    Tint("dark blue", (44, 56, 88)),
    Tint("black", (44, 44, 50)),
)
_SHOE_TINTS = (
    Tint("black", (36, 34, 36)),
    Tint("white", (226, 224, 218)),
    Tint("brown", (98, 66, 44)),
    Tint("red", (170, 48, 46)),
    Tint("blue", (60, 84, 140)),
    Tint("grey", (126, 124, 126)),
)
_SKINS: tuple[Rgb, ...] = (
    (246, 208, 178), (236, 188, 152), (222, 168, 130), (198, 142, 104), (168, 112, 78), (132, 86, 60), (98, 64, 46), (240, 196, 168),
)  # fmt: skip
_HAIR_TINTS = (
    Tint("black", (34, 28, 28)),
    Tint("dark brown", (62, 42, 32)),
    Tint("brown", (98, 66, 44)),
    Tint("blond", (206, 168, 98)),
    Tint("red", (158, 78, 42)),
    Tint("grey", (150, 148, 146)),
)
_HAIR_OF = {
    "man": (("short", 6), ("buzz", 3), ("bald", 1.5), ("curly", 1.2), ("long", 0.4), ("bun", 0.3)),
    "woman": (("long", 5), ("bob", 3), ("ponytail", 3), ("bun", 2), ("curly", 1.5), ("short", 0.8)),
    "boy": (("short", 6), ("buzz", 2), ("curly", 1.5)),
    "girl": (("long", 4), ("ponytail", 4), ("bob", 2), ("bun", 1), ("curly", 1)),
}  # fmt: skip
_TOP_OF = {
    "man": (("t-shirt", 4), ("shirt", 3), ("sweater", 2), ("hoodie", 2), ("jacket", 2.5), ("tank top", 0.6)),
    "woman": (("t-shirt", 3.5), ("shirt", 2), ("sweater", 2.5), ("dress", 2.2), ("jacket", 1.8), ("tank top", 1.5), ("hoodie", 0.8)),
    "boy": (("t-shirt", 5), ("hoodie", 2), ("sweater", 2), ("shirt", 1)),
    "girl": (("t-shirt", 4), ("dress", 3), ("sweater", 2), ("hoodie", 1)),
}  # fmt: skip
_BOTTOM_OF = {
    "man": (("trousers", 4), ("jeans", 4), ("shorts", 1.6)),
    "woman": (("trousers", 2.5), ("jeans", 3.5), ("leggings", 1.8), ("skirt", 2.2), ("shorts", 1)),
    "boy": (("jeans", 4), ("shorts", 3), ("trousers", 2)),
    "girl": (("jeans", 3), ("leggings", 2.5), ("skirt", 2.5), ("shorts", 1.5)),
}  # fmt: skip
_SPORTS_TOPS = (("t-shirt", 5), ("tank top", 3), ("hoodie", 1))
_SPORTS_BOTTOMS = (("shorts", 4), ("leggings", 3), ("trousers", 1))


def pick(rng: Random, weighted: tuple[tuple[str, float], ...]) -> str:
    """One of the names, by weight."""
    at = rng.random() * sum(weight for _, weight in weighted)
    for name, weight in weighted:
        at -= weight
        if at < 0:
            return name
    return weighted[-1][0]


def _varied(rng: Random, tint: Tint, by: float = 0.1) -> Tint:
    light = 1 + rng.uniform(-by, by)
    return Tint(tint.name, tuple(min(250, max(8, int(c * light + rng.uniform(-7, 7)))) for c in tint.rgb))


def choose_tint(rng: Random, tints: tuple[Tint, ...] = CLOTH_TINTS) -> Tint:
    """One of the tints, slightly varied under the same name."""
    return _varied(rng, rng.choice(tints))


def choose_look(rng: Random, style: str = "casual", who: str | None = None) -> Look:
    """A person.

    Args:
        rng: source of all choices.
        style: "casual", or "sports" for people who are likelier to wear sportswear.
        who: "man", "woman", "boy" or "girl"; any if not given.
    """
    who = who or pick(rng, (("man", 4.6), ("woman", 4.6), ("boy", 0.9), ("girl", 0.9)))
    child = who in ("boy", "girl")
    height = rng.uniform(1.12, 1.42) if child else rng.gauss(1.78 if who == "man" else 1.66, 0.06)
    sporty = style == "sports" and rng.random() < 0.75
    top = pick(rng, _SPORTS_TOPS if sporty else _TOP_OF[who])
    bottom = pick(rng, _SPORTS_BOTTOMS if sporty else _BOTTOM_OF[who])
    short_sleeves = {"t-shirt": 0.24, "tank top": 0.0, "dress": rng.choice((0.0, 0.2, 0.9))}
    sleeves = short_sleeves.get(top, rng.choice((1.0, 1.0, 0.55)) if top == "shirt" else 1.0)
    bare = {"shorts": rng.uniform(0.28, 0.46), "skirt": 0.0}
    legs = 0.0 if top == "dress" else bare.get(bottom, 1.0)
    skin = rng.choice(_SKINS)
    dark_skin = sum(skin) < 330
    hair_tint = choose_tint(rng, _HAIR_TINTS[:2] if dark_skin else _HAIR_TINTS[: 5 if child else 6])
    headwear = None
    if rng.random() < 0.1:
        headwear = "headscarf" if who == "woman" and rng.random() < 0.4 else pick(rng, (("cap", 3), ("beanie", 2)))
    hair = pick(rng, _HAIR_OF[who])
    if headwear in ("cap", "beanie") and hair in ("curly", "bun"):
        hair = "short" if who in ("man", "boy") else "bob"
    bottoms = _JEANS if bottom == "jeans" else _TROUSER_TINTS if bottom in ("trousers", "leggings") else CLOTH_TINTS
    top_tint = choose_tint(rng)
    inner = choose_tint(
        rng, tuple(t for t in CLOTH_TINTS if t.name in ("white", "grey", "light blue", "black", "beige"))
    )
    light_top = sum(top_tint.rgb) > 330
    contrast = choose_tint(rng, tuple(t for t in CLOTH_TINTS if (sum(t.rgb) > 330) != light_top))
    patterned = 0.34 if top in ("t-shirt", "shirt", "sweater", "dress") else 0.0
    patterns = (
        ("stripes", 3),
        ("checks", 2 if top == "shirt" else 0.4),
        ("print", 3 if top == "t-shirt" else 0),
        ("dots", 1),
    )
    return Look(
        who=who,
        height=height,
        build=min(1.45, max(0.84, rng.gauss(1.04, 0.13))),
        head_scale=rng.uniform(1.1, 1.2) * (1.22 if child else 1.0),
        skin=tuple(min(252, max(20, c + rng.randint(-8, 8))) for c in skin),
        hair=hair,
        hair_tint=hair_tint,
        fringe=rng.random() ** 1.5 if who in ("man", "boy") else rng.random(),
        headwear=headwear,
        headwear_tint=choose_tint(rng),
        beard=pick(rng, (("full", 2), ("stubble", 2), ("moustache", 0.6)))
        if who == "man" and rng.random() < 0.38
        else None,
        glasses=rng.random() < (0.07 if child else 0.16),
        top=top,
        top_tint=top_tint,
        inner_tint=inner,
        pattern=pick(rng, patterns) if rng.random() < patterned else "plain",
        pattern_tint=contrast,
        sleeves=sleeves,
        bottom=bottom,
        bottom_tint=choose_tint(rng, bottoms),
        legs=legs,
        shoe_tint=choose_tint(rng, _SHOE_TINTS),
    )
