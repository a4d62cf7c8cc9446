"""The self-test of a bundle: a picture and what the model says of it, so that a process can tell before it serves.

    attachments/selftest/
      picture.png      drawn, of nobody
      selftest.json    the embedding and probabilities that the encoders themselves (torch, float32) give it, and how near
                       each runtime has to come

Checksums tell that files are as they were; this tells that what runs them here gives what the model gives.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, ValidationError

from clip_har.component import ComponentConfig
from clip_har.errors import BundleError
from clip_har.models.bundle import ATTACHMENTS, ModelBundle
from clip_har.storage import write_atomic, write_json

if TYPE_CHECKING:
    from clip_har.inference.predictor import Predictor

KIND = "selftest"
_PICTURE, _EXPECTED = "picture.png", "selftest.json"
_LEAST_COSINE = {"torch": 0.999, "onnx": 0.999, "onnx-int8": 0.95}
_LEAST_OF_OTHERS = 0.98  # half precision on a GPU
_SLACK = 0.5  # of what is left to a cosine of 1, below what a form reached where it was made: others round otherwise
_SURE = 0.2  # lead of the best label from which another one is a failure
_UNIT = 1e-3


class SelfTestFailed(BundleError):
    """What runs the image encoder here does not give what the model gives."""


class SelfTest(ComponentConfig):
    """`selftest.json`: what is expected of the picture."""

    embedding: tuple[float, ...] = Field(description="Of the picture, by the encoders in torch: float32 [d].")
    probabilities: tuple[float, ...] = Field(description="Of the bundle's labels, in their order.")
    least_cosine: dict[str, float] = Field(
        {}, description="Runtime → how near to the embedding it has to come, where that is not the usual."
    )


def write_self_test(bundle: ModelBundle) -> Path:
    """Add a self-test to a bundle: its encoders are loaded in torch, and its ONNX forms are held against them.

    Returns:
        The attachment's folder.
    """
    from clip_har.inference.predictor import Predictor
    from clip_har.samples import HAR_ACTIONS, describe_scene, draw_scene

    buffer = io.BytesIO()
    draw_scene(describe_scene(HAR_ACTIONS[0], 0)).save(buffer, format="PNG")
    picture = buffer.getvalue()
    reference = Predictor.load(bundle, "torch", device="cpu")
    embedding = reference.embed_images([picture])
    least = {}
    for name in _cpu_runtimes(bundle):
        cosine = float(Predictor.load(bundle, name, device="cpu").embed_images([picture])[0] @ embedding[0])
        slack = _SLACK * (1 - _LEAST_COSINE[name])
        if cosine - slack < _LEAST_COSINE[name]:
            least[name] = cosine - slack
    expected = SelfTest(
        embedding=tuple(embedding[0].tolist()),
        probabilities=tuple(reference.score_embeddings(embedding)[0].tolist()),
        least_cosine=least,
    )

    def fill(folder: Path) -> None:
        write_atomic(folder / _PICTURE, picture)
        write_json(folder / _EXPECTED, expected.model_dump(mode="json"))

    return bundle.attach(KIND, fill)


def has_self_test(bundle: ModelBundle) -> bool:
    """Whether a bundle carries one."""
    return (bundle.path / ATTACHMENTS / KIND / _EXPECTED).is_file()


def run_self_test(predictor: Predictor) -> str:
    """Hold a runtime against what its bundle expects; one without expectations is only asked for sound embeddings.

    Returns:
        What was found, as a sentence.

    Raises:
        SelfTestFailed: if it is not what is expected.
        BundleError: if the bundle's self-test cannot be read.
    """
    name = predictor.runtime.name
    if not has_self_test(predictor.bundle):
        _require_sound(predictor)
        return f"{name} gives sound embeddings; the bundle carries no self-test to hold them against."
    folder = predictor.bundle.attachment(KIND)
    try:
        expected = SelfTest.model_validate(json.loads((folder / _EXPECTED).read_text(encoding="utf-8")))
        picture = (folder / _PICTURE).read_bytes()
    except (OSError, ValueError, ValidationError) as error:
        raise BundleError(f"The self-test in {folder} cannot be read: {error}") from error
    found = predictor.embed_images([picture])
    wanted = np.asarray(expected.embedding, dtype=np.float32)
    if found.shape != (1, len(wanted)):
        raise SelfTestFailed(f"{name} gives embeddings of {found.shape[1]} numbers; the model's have {len(wanted)}.")
    cosine = float(found[0] @ wanted)
    least = expected.least_cosine.get(name, _LEAST_COSINE.get(name, _LEAST_OF_OTHERS))
    if not cosine >= least:  # a NaN is no success either
        raise SelfTestFailed(
            f"The self-test picture is not recognised: the embedding that {name} gives has a cosine of {cosine:.4f} with the "
            f"model's own, and at least {least:.4f} is wanted. The form of the encoder is not this model's, or does not run "
            "rightly here. Export the model again, or choose another runtime."
        )
    labels = predictor.bundle.labels
    order = np.argsort(expected.probabilities)[::-1]
    lead = expected.probabilities[order[0]] - expected.probabilities[order[1]] if len(order) > 1 else 0.0
    best = int(predictor.score_embeddings(found)[0].argmax())
    if lead >= _SURE and best != order[0]:
        raise SelfTestFailed(f"{name} calls the self-test picture {labels[best]}; the model, {labels[order[0]]}.")
    return f"{name} recognised the self-test picture as {labels[best]} (cosine {cosine:.4f} with the model's own)."


def _cpu_runtimes(bundle: ModelBundle) -> list[str]:
    """The ONNX runtimes that have a form to run on a CPU."""
    from clip_har.inference.exported import Exports

    forms = [form for form in Exports.read(bundle).forms if (form.encoder, form.format) == ("image", "onnx")]
    precisions = {form.precision for form in forms}
    return [name for name, precision in (("onnx", "fp32"), ("onnx-int8", "int8")) if precision in precisions]


def _require_sound(predictor: Predictor) -> None:
    """Finite, of unit length, alike twice, and not the same for everything."""
    height, width = predictor.preprocessing.output_size
    shades = np.linspace(0, 255, height * width * 3).reshape(height, width, 3).astype(np.uint8)
    found = np.concatenate([predictor.embed_images([picture]) for picture in (shades, shades, shades[::-1, ::-1] // 2)])
    name = predictor.runtime.name
    if not np.isfinite(found).all() or (np.abs(np.linalg.norm(found, axis=1) - 1) > _UNIT).any():
        raise SelfTestFailed(f"{name} gives embeddings that are not finite, or not of unit length.")
    if not np.allclose(found[0], found[1], atol=1e-5):
        raise SelfTestFailed(f"{name} gives one picture two embeddings.")
    if np.allclose(found[0], found[2], atol=1e-6):
        raise SelfTestFailed(f"{name} gives different pictures the same embedding.")
