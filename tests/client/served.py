"""A real service over a tiny model, for the clients, the commands and the document."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from clip_har.inference.predictor import Predictor
from clip_har.inference.self_test import write_self_test
from tests.serving.engines import Served, serving_process


class Model(NamedTuple):
    """A tiny trained bundle.

    Attributes:
        bundle: its folder.
        photos: files of its study.
        predictor: the same model, in this process.
    """

    bundle: Path
    photos: list[Path]
    predictor: Predictor


def make_model(folder: Path) -> Model:
    """A linear probe on a tiny CLIP. Without exported forms, whose making would take longest by far."""
    from clip_har.adaptation import METHODS
    from tests.adaptation.tiny_study import tiny_study

    study = tiny_study(folder / "study")
    bundle = study.assemble(folder / "bundle", study.fit(METHODS.get("linear_probe").Config()))
    write_self_test(bundle)
    return Model(
        bundle.path, list(study.manifest.split("test").paths), Predictor.load(bundle.path, "torch", device="cpu")
    )


@contextmanager
def served(model: Model, folder: Path) -> Iterator[Served]:
    """It, served."""
    with serving_process(model.bundle, folder, "serving.runtime=torch", "serving.device=cpu") as running:
        yield running
