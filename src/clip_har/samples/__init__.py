"""The drawn world: photo-like scenes of people who act, made from a seed, any number at any size, with captions.

The 15 actions of the Human Action Recognition data set and twelve others, drawn with Pillow from articulated bodies,
things, places, light and a camera. It is what runs by default, where no photographs are at hand.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from clip_har.samples.actions import ACTIONS, HAR_ACTIONS, OTHER_ACTIONS, UnknownAction

if TYPE_CHECKING:
    from clip_har.samples.captions import caption_scene
    from clip_har.samples.describe import describe_scene
    from clip_har.samples.drawing.render import draw_scene, encode_scene
    from clip_har.samples.nuisances import Nuisances
    from clip_har.samples.pairs import PairsConfig, draw_pairs, write_pairs
    from clip_har.samples.sample import SampleConfig, write_sample
    from clip_har.samples.scene import Scene
    from clip_har.samples.sheet import contact_sheet

_LAZY = {
    "Nuisances": "nuisances",
    "PairsConfig": "pairs",
    "SampleConfig": "sample",
    "Scene": "scene",
    "caption_scene": "captions",
    "contact_sheet": "sheet",
    "describe_scene": "describe",
    "draw_pairs": "pairs",
    "draw_scene": "drawing.render",
    "encode_scene": "drawing.render",
    "write_pairs": "pairs",
    "write_sample": "sample",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)


__all__ = [
    "ACTIONS",
    "HAR_ACTIONS",
    "OTHER_ACTIONS",
    "Nuisances",
    "PairsConfig",
    "SampleConfig",
    "Scene",
    "UnknownAction",
    "caption_scene",
    "contact_sheet",
    "describe_scene",
    "draw_pairs",
    "draw_scene",
    "encode_scene",
    "write_pairs",
    "write_sample",
]
