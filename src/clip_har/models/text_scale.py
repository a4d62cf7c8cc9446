"""A model's own scoring of pictures against texts, read from its weights without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip_har.errors import ModelError
from clip_har.models.head import TextHead


def stored_text_head(folder: str | Path) -> TextHead | None:
    """Scale (the exponential of the stored parameter) and bias of a Hugging Face folder or a bundle.

    Returns:
        What `DualEncoder.logit_scale` and `logit_bias` say of it; None if its weights are in several files, or of a type
        that numpy does not have.

    Raises:
        ModelError: if the weights cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(folder) / "model.safetensors"
    if not file.is_file():
        return None
    stored = {"logit_bias": np.float32(0)}
    try:
        with safe_open(file, framework="numpy") as weights:
            for name in {"logit_scale", "logit_bias"} & set(weights.keys()):
                if weights.get_slice(name).get_dtype() not in ("F16", "F32", "F64"):
                    return None
                stored[name] = np.float32(weights.get_tensor(name).reshape(()))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from error
    scale = float(np.exp(stored["logit_scale"])) if "logit_scale" in stored else 1.0
    return TextHead(scale, float(stored["logit_bias"]))
