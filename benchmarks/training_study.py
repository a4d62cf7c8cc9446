"""What the training benchmarks share: photographs, a backbone, and a task whose validation costs nothing."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from measuring import HAR, real_data

from clip_har.adaptation.base import AdaptationContext
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.hashing import sha256_file
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.embeddings import EmbeddingSet
from clip_har.models.prompts import PromptConfig
from clip_har.training.embedding_cache import EmbeddingCache

PLAIN = {
    "patience": None,
    "evaluate_every": 10**9,
    "precision": "fp32",
}  # a validation at the start and one at the end


@dataclass(frozen=True)
class Study:
    """Photographs and a backbone.

    Attributes:
        folder: for what the measurements write.
        quick: whether few are to be used.
    """

    manifest: Manifest
    model: ModelConfig
    folder: Path
    quick: bool

    def load(self) -> DualEncoder:
        """The backbone, its own each time: training changes it."""
        return DualEncoder.load(self.model, "cpu")

    def embeddings(self, encoder: DualEncoder) -> EmbeddingSet:
        """Of all photographs, made once."""
        return EmbeddingCache(self.folder / "kept").embed(self.manifest, encoder)

    def context(self, encoder: DualEncoder, embeddings: EmbeddingSet) -> AdaptationContext:
        """What a method is given."""
        compute = ComputeConfig(device="cpu")
        return AdaptationContext(encoder, self.manifest, embeddings, PromptConfig(), compute)


def photographs(per_class: int, folder: Path) -> Manifest:
    """Real photographs of every class, or drawn ones where there are none; three quarters of each to train on."""
    if real_data():
        with open(HAR / "Training_set.csv", newline="") as file:
            listed = [(HAR / "train" / row["filename"], row["label"]) for row in csv.DictReader(file)]
    else:
        from clip_har.samples import HAR_ACTIONS, describe_scene, draw_scene

        listed = []
        for action in HAR_ACTIONS:
            for number in range(per_class):
                path = folder / f"{action}-{number}.jpg"
                draw_scene(describe_scene(action, number)).save(path, quality=90)
                listed.append((path, action))
    rows, counts, seen = [], dict.fromkeys(sorted({label for _, label in listed}), 0), set()
    for path, label in listed:
        identity = sha256_file(path) if counts[label] < per_class else ""
        if identity and identity not in seen:
            seen.add(identity)
            split = "validation" if counts[label] % 4 == 3 else "train"
            counts[label] += 1
            rows.append((identity, str(path), label, split, identity, 1, 1, "JPEG", "csv", ""))
    return Manifest(pd.DataFrame(rows, columns=list(COLUMNS)), tuple(counts), "")


class Unvalidated:
    """A task as it is, but for its validation: that is not what is measured."""

    def __init__(self, task: Any) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def validate(self) -> dict[str, float]:
        return {"accuracy": 0.0, "log_loss": 0.0}
