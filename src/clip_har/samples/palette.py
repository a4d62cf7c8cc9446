"""Colours of walls, floors, woods, plants, skies and houses, with their names."""

from __future__ import annotations

from clip_har.samples.appearance import CLOTH_TINTS
from clip_har.samples.scene import Tint

WALLS = (
    Tint("white", (222, 219, 212)),
    Tint("cream", (222, 208, 180)),
    Tint("grey", (176, 178, 180)),
    Tint("blue", (148, 170, 190)),
    Tint("green", (156, 174, 150)),
    Tint("pink", (212, 178, 170)),
    Tint("yellow", (220, 200, 146)),
    Tint("brown", (150, 124, 102)),
    Tint("teal", (96, 132, 136)),
)


WOODS = (
    Tint("brown", (140, 98, 66)),
    Tint("light brown", (186, 148, 106)),
    Tint("dark brown", (88, 60, 44)),
    Tint("grey", (140, 132, 124)),
)


STONES = (
    Tint("grey", (150, 150, 150)),
    Tint("beige", (186, 176, 158)),
    Tint("dark grey", (104, 104, 108)),
    Tint("red", (150, 94, 78)),
)


CARPETS = (
    Tint("grey", (138, 136, 136)),
    Tint("beige", (180, 164, 140)),
    Tint("blue", (92, 104, 128)),
    Tint("red", (136, 72, 66)),
)


GREENS = (
    Tint("green", (66, 112, 50)),
    Tint("dark green", (44, 82, 44)),
    Tint("light green", (112, 146, 62)),
    Tint("yellow", (176, 142, 56)),
)


GRASS = (Tint("green", (92, 132, 62)), Tint("green", (112, 146, 74)), Tint("dry", (150, 146, 92)))


SKIES = (
    Tint("blue", (186, 210, 232)),
    Tint("pale blue", (206, 220, 230)),
    Tint("grey", (204, 208, 210)),
    Tint("white", (226, 230, 232)),
)


FACADES = (
    Tint("beige", (190, 172, 144)),
    Tint("brick red", (156, 96, 78)),
    Tint("grey", (158, 158, 158)),
    Tint("yellow", (206, 178, 122)),
    Tint("white", (214, 210, 202)),
)


BARK = Tint("brown", (86, 66, 50))


SOFA_TINTS = tuple(t for t in CLOTH_TINTS if t.name not in ("black", "pink", "orange"))
