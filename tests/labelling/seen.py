"""Captured predictions with pictures, to be labelled."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from clip_har.capture import CapturedPrediction, CaptureStore
from clip_har.capture.images import name_of_image
from tests.capture.captured import capture, prediction

LABELS = ("eating", "running", "sitting")


def jpeg(number: int) -> bytes:
    """A small picture of its own."""
    pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
    made = io.BytesIO()
    Image.fromarray(pixels).resize((96, 72)).save(made, "JPEG", quality=90)
    return made.getvalue()


def name(number: int) -> str:
    """Of its picture as it is kept."""
    return name_of_image(jpeg(number))


def seen(number: int, **changes) -> CapturedPrediction:
    """A prediction with a picture, an embedding of its own, and the more doubt the higher its number."""
    embedding = np.random.default_rng(number).normal(size=8).astype(np.float32)
    doubt = min(number, 30) / 100
    values = {"probabilities": np.array([doubt, 1 - 1.5 * doubt, doubt / 2], np.float32), "embedding": embedding}
    return prediction(number, **({"image": jpeg(number)} | values | changes))


def captured(folder: Path, number: int, *, images: bool = True, **changes) -> CaptureStore:
    """So many of them, in a capture folder."""
    capture(folder, [[seen(one, **changes) for one in range(number)]], images=images)
    return CaptureStore(folder)


def identity(number: int) -> str:
    """Id of the prediction of a number."""
    return prediction(number).id
