"""clip_har: human action recognition in images with CLIP.

`import clip_har` is quick and pulls in neither torch nor a server, a UI or an orchestrator; what is named here is
imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "ClipHarError": "clip_har.errors",
    "DualEncoder": "clip_har.models.dual_encoder",
    "Manifest": "clip_har.data.manifest",
    "ModelBundle": "clip_har.models.bundle",
    "Predictor": "clip_har.inference.predictor",
}
__all__ = ["__version__", *sorted(_EXPORTS)]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'clip_har' has no attribute {name!r}")
