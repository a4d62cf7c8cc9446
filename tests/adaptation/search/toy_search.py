"""A method whose figures are a formula, and its search; also a process of its own for tests that kill it:
FOLDER, TRIALS, and where to die ("3 2": in the third fit at its second validation; "3 end": when that trial has ended)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pandas as pd

from clip_har.adaptation import METHODS
from clip_har.adaptation.base import AdaptationContext, AdaptationMethod, AdaptedModel, MethodConfig
from clip_har.adaptation.search import SearchConfig
from clip_har.adaptation.search.result import SearchResult
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.errors import TrainingError
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.head import TextHead
from clip_har.models.prompts import PromptConfig

SAMPLES = 40
FITS = "fits.txt"  # a line for each fit that began


class ToyConfig(MethodConfig):
    method: Literal["toy"] = "toy"
    x: float = 0.9
    kind: Literal["good", "hopeless", "broken", "out_of_memory"] = "good"
    validations: int = 5
    folder: str
    die: str = ""


class Toy(AdaptationMethod):
    """Accuracy falls with the distance of x to 0.3, and grows from one validation to the next."""

    Config = ToyConfig

    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        config, log = self.config, Path(self.config.folder) / FITS
        with open(log, "a") as file:
            file.write(f"{config.kind} {config.x!r}\n")
        number = len(log.read_text().splitlines()) - 1
        assert context.encoder.model == ["as it came"]
        context.encoder.model.append("changed")
        if config.kind == "broken":
            raise TrainingError("the loss is not finite")
        if config.kind == "out_of_memory":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        best = 0.1 if config.kind == "hopeless" else 1 - abs(config.x - 0.3)
        for step in range(config.validations):
            accuracy = best * (step + 1) / config.validations
            if config.die == f"{number} {step}":
                os.kill(os.getpid(), signal.SIGKILL)
            if context.on_validation is not None:
                context.on_validation({"step": step, "accuracy": accuracy, "log_loss": 1 - accuracy})
        right = round(best * SAMPLES)
        truth = context.validation.label_indices
        predicted = np.where(np.arange(SAMPLES) < right, truth, 1 - truth)
        sharpness = np.float32(1 + best)
        return AdaptedModel(
            name=name,
            method="toy",
            recipe=config.model_dump(mode="json"),
            head=TextHead(1.0, 0.0),
            class_matrix=np.eye(2, dtype=np.float32),
            texts={"a": ["a"], "b": ["b"]},
            open_vocabulary=OpenVocabulary(word="kept", basis="nothing was changed"),
            validation_ids=tuple(context.validation.ids),
            validation_logits=sharpness * np.eye(2, dtype=np.float32)[predicted],
            trained_parameters=0,
        )


def toy_context(seed: int = 0) -> AdaptationContext:
    """As much of a context as a toy needs."""
    rows = [
        (f"{n}", f"{n}.jpg", "ab"[n % 2], "validation", f"{n}", 8, 8, "JPEG", "folder", "toy") for n in range(SAMPLES)
    ]
    manifest = Manifest(pd.DataFrame(rows, columns=list(COLUMNS)), ("a", "b"), ".")
    encoder = SimpleNamespace(model=["as it came"], device=SimpleNamespace(type="cpu"))
    return AdaptationContext(encoder, manifest, None, PromptConfig(), seed=seed)


def search(folder: Path, *, die: str = "", on_trial=None, seed: int = 0, method: dict | None = None, **settings):
    """Search for x in a folder; settings are of `SearchConfig`."""
    from clip_har.adaptation.search.study import run_search

    METHODS.register("toy", Toy)
    given = {
        "candidate": "toy",
        "fields": {"x": {"low": 0.0, "high": 1.0}},
        "trials": 10,
        "select_by": "accuracy",
    } | settings
    config = ToyConfig(folder=str(folder), die=die, **(method or {}))
    return run_search(SearchConfig(**given), config, toy_context(seed), folder / "toy.db", on_trial=on_trial)


def fits(folder: Path) -> list[str]:
    return (folder / FITS).read_text().splitlines()


if __name__ == "__main__":
    place, trials, moment = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

    def on_trial(trial) -> None:
        if moment == f"{trial.number} end":
            os.kill(os.getpid(), signal.SIGKILL)

    found: SearchResult = search(place, trials=trials, die=moment, on_trial=on_trial)
    (place / "result.json").write_text(found.model_dump_json())
